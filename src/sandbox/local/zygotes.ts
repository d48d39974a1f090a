import type { ForkSource } from "../driver.ts";
import type { BoxParts, Jail } from "./box.ts";
import type { StartRequest } from "./messages.ts";
import { canFork } from "./start-fork.ts";
import { Zygote } from "./zygote.ts";

/** All children of one have the same secret for their hash tables, and the same layout of memory; so it is renewed. */
const FORKS_MAX = 2_000;
const AGE_MS_MAX = 3_600_000;
const AFTER_FAILURE_MS = 60_000;
/** What a kind that has loaded more has failed with, it will fail with again. */
const SPECIAL_AFTER_FAILURE_MS = 3_600_000;
/** Interpreters in use at once. */
const KINDS_MAX = 8;
/** Of those that have loaded more, whatever they are asked to be; who is asked for seldom makes room. */
const SPECIAL_KINDS_MAX = 16;
/** As long as a daemon keeps sets of modules for which nothing is started, and a little more. */
const SPECIAL_QUIET_MS = 900_000;

interface Kind {
  current: Zygote | undefined;
  bornAt: number;
  askedAt: number;
  starting: Promise<void> | undefined;
  notBefore: number;
}

export interface ZygoteHooks {
  /** A user and all else that a sandbox of its own needs; undefined if there is none to be had. */
  readonly newParts: () => { readonly parts: BoxParts; readonly jail: Jail } | undefined;
  readonly ended: (uid: number | null) => void;
  /** Sandboxes are started without, which takes longer. */
  readonly failed: (error: unknown) => void;
}

/**
 * The zygotes of this host, one for each kind of program that can fork. The first sandbox of a kind is started without,
 * and has one started behind it.
 */
export class Zygotes {
  readonly #hooks: ZygoteHooks;
  readonly #kinds = new Map<string, Kind>();
  /** Those that have loaded more than every function needs, and can do without. */
  readonly #special = new Map<string, Kind>();
  /** Those that have been renewed, until their last child has gone. */
  readonly #old = new Set<Zygote>();
  #isClosing = false;

  constructor(hooks: ZygoteHooks) {
    this.#hooks = hooks;
  }

  /** One that can fork into what is asked for, at once or not at all; of those that will do, the one that has loaded most. */
  find(parts: BoxParts, request: StartRequest): Zygote | undefined {
    if (!canFork(parts, request)) return undefined;
    for (let source = request.forkFrom; source; source = source.otherwise ?? null) {
      const like = { ...request, forkFrom: source };
      const kind = this.#kindOf(like, source);
      if (!kind) continue;
      const { current } = kind;
      const isUsable = current?.isAlive === true;
      if (!isUsable || this.#isOld(kind, current)) void this.#renew(kind, like);
      if (isUsable) return current;
    }
    return undefined;
  }

  /** Has the one that is asked for started, for somebody who can wait rather than have one that has loaded less. */
  async prepare(parts: BoxParts, request: StartRequest): Promise<void> {
    const { forkFrom } = request;
    if (!forkFrom?.otherwise || !canFork(parts, request)) return;
    const kind = this.#kindOf(request, forkFrom);
    if (kind && kind.current?.isAlive !== true) await this.#renew(kind, request);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    const all = [...this.#kinds.values(), ...this.#special.values()].flatMap(({ current }) => current ?? []);
    await Promise.all([...all, ...this.#old].map((zygote) => zygote[Symbol.asyncDispose]()));
  }

  #kindOf(request: StartRequest, source: ForkSource): Kind | undefined {
    const { runtimeDir, toolDirs } = request;
    const { command, environment, otherwise } = source;
    const key = JSON.stringify([command, environment, runtimeDir, toolDirs]);
    const kinds = otherwise ? this.#special : this.#kinds;
    let kind = kinds.get(key);
    if (!kind) {
      if (otherwise) this.#makeRoom();
      else if (kinds.size >= KINDS_MAX) return undefined;
      kind = { current: undefined, bornAt: 0, askedAt: 0, starting: undefined, notBefore: 0 };
      kinds.set(key, kind);
    }
    kind.askedAt = performance.now();
    return kind;
  }

  /** Before another comes: those that nobody asks for any more go, and of too many the one that was asked for longest ago. */
  #makeRoom(): void {
    const now = performance.now();
    const byUse = [...this.#special].sort(([, a], [, b]) => b.askedAt - a.askedAt);
    for (const [index, [key, kind]] of byUse.entries()) {
      if (index < SPECIAL_KINDS_MAX - 1 && now - kind.askedAt < SPECIAL_QUIET_MS) continue;
      this.#special.delete(key);
      this.#retire(kind.current);
      kind.current = undefined;
      // One that is being started goes when it is there.
      kind.notBefore = Number.POSITIVE_INFINITY;
    }
  }

  #isOld({ bornAt }: Kind, { counts }: Zygote): boolean {
    return counts.made >= FORKS_MAX || performance.now() - bornAt > AGE_MS_MAX;
  }

  #renew(kind: Kind, like: StartRequest): Promise<void> {
    if (this.#isClosing || performance.now() < kind.notBefore) return Promise.resolve();
    kind.starting ??= this.#start(kind, like).finally(() => {
      kind.starting = undefined;
    });
    return kind.starting;
  }

  async #start(kind: Kind, like: StartRequest): Promise<void> {
    let own: ReturnType<ZygoteHooks["newParts"]>;
    try {
      own = this.#hooks.newParts();
      if (!own) return;
      const zygote = await Zygote.start(own.parts, own.jail, like);
      this.#retire(kind.current);
      kind.current = undefined;
      if (kind.notBefore === Number.POSITIVE_INFINITY) {
        this.#retire(zygote);
        return;
      }
      kind.current = zygote;
      void zygote.died().then((how) => {
        // Its plain kin serve meanwhile; of those there must be one.
        if (like.forkFrom?.otherwise) kind.notBefore = performance.now() + AFTER_FAILURE_MS;
        this.#hooks.failed(new Error(`the one that was kept is gone: ${how}`));
      });
      kind.bornAt = performance.now();
      if (this.#isClosing) await zygote[Symbol.asyncDispose]();
    } catch (error) {
      this.#hooks.ended(own?.jail.user.kind === "host" ? own.jail.user.uid : null);
      this.#hooks.failed(error);
      kind.notBefore = Math.max(
        kind.notBefore,
        performance.now() + (like.forkFrom?.otherwise ? SPECIAL_AFTER_FAILURE_MS : AFTER_FAILURE_MS),
      );
    }
  }

  #retire(zygote: Zygote | undefined): void {
    if (!zygote) return;
    this.#old.add(zygote);
    void zygote.untilChildless().then(async () => {
      await zygote[Symbol.asyncDispose]();
      this.#old.delete(zygote);
      this.#hooks.ended(zygote.uid);
    });
  }
}
