import type { BoxParts, Jail } from "./box.ts";
import type { StartRequest } from "./messages.ts";
import { canFork } from "./start-fork.ts";
import { Zygote } from "./zygote.ts";

/** All children of one have the same secret for their hash tables, and the same layout of memory; so it is renewed. */
const FORKS_MAX = 2_000;
const AGE_MS_MAX = 3_600_000;
const AFTER_FAILURE_MS = 60_000;
/** Interpreters in use at once. */
const KINDS_MAX = 8;

interface Kind {
  current: Zygote | undefined;
  bornAt: number;
  isStarting: boolean;
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
  /** Those that have been renewed, until their last child has gone. */
  readonly #old = new Set<Zygote>();
  #isClosing = false;

  constructor(hooks: ZygoteHooks) {
    this.#hooks = hooks;
  }

  /** One that can fork into what is asked for, at once or not at all. */
  find(parts: BoxParts, request: StartRequest): Zygote | undefined {
    if (!canFork(parts, request)) return undefined;
    const { forkFrom, runtimeDir, toolDirs } = request;
    const key = JSON.stringify([forkFrom, runtimeDir, toolDirs]);
    let kind = this.#kinds.get(key);
    if (!kind) {
      if (this.#kinds.size >= KINDS_MAX) return undefined;
      kind = { current: undefined, bornAt: 0, isStarting: false, notBefore: 0 };
      this.#kinds.set(key, kind);
    }
    const { current } = kind;
    const isUsable = current?.isAlive === true;
    if (!isUsable || this.#isOld(kind, current)) void this.#renew(kind, request);
    return isUsable ? current : undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    const all = [...this.#kinds.values()].flatMap(({ current }) => current ?? []);
    await Promise.all([...all, ...this.#old].map((zygote) => zygote[Symbol.asyncDispose]()));
  }

  #isOld({ bornAt }: Kind, { counts }: Zygote): boolean {
    return counts.made >= FORKS_MAX || performance.now() - bornAt > AGE_MS_MAX;
  }

  async #renew(kind: Kind, like: StartRequest): Promise<void> {
    if (kind.isStarting || this.#isClosing || performance.now() < kind.notBefore) return;
    kind.isStarting = true;
    try {
      const own = this.#hooks.newParts();
      if (!own) return;
      const zygote = await Zygote.start(own.parts, own.jail, like);
      this.#retire(kind.current);
      kind.current = zygote;
      void zygote
        .died()
        .then((how) => this.#hooks.failed(new Error(`the one that was kept is gone: ${how}`)));
      kind.bornAt = performance.now();
      if (this.#isClosing) await zygote[Symbol.asyncDispose]();
    } catch (error) {
      this.#hooks.failed(error);
      kind.notBefore = performance.now() + AFTER_FAILURE_MS;
    } finally {
      kind.isStarting = false;
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
