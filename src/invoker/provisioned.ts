/**
 * Keeps as many instances started as functions ask for (AWS: provisioned concurrency; `--min` for `$LATEST`), whether
 * they are called or not. What is wanted is read from the registry once and with every change of a function after that;
 * what has gone is started again within a second, and what cannot start is tried again ever more slowly.
 */
import type { Clock } from "../core/clock.ts";
import { isPlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { Log } from "../core/log.ts";
import { inBackground } from "../core/scope.ts";
import type { Functions } from "../registry/functions.ts";
import type { Target } from "../registry/target.ts";
import type { Invoker } from "./invoker.ts";
import { poolKey } from "./pool-key.ts";
import { StartFailed } from "./starter.ts";

export interface ProvisionedParts {
  readonly functions: Pick<Functions, "list" | "getVersion" | "resolve">;
  readonly invoker: Pick<Invoker, "keepStarted" | "startedOf">;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ProvisionedProgress {
  /** Instances that are up. */
  readonly available: number;
  /** Why the last attempt to start more has failed. */
  readonly problem: string | undefined;
}

export interface ProvisionedInstances extends AsyncDisposable {
  /** To be told of each change; `undefined`: it was deleted. */
  functionChanged(name: FunctionName, record: FunctionRecord | undefined): void;
  progress(name: FunctionName, qualifier: string): ProvisionedProgress;
  /** Rejects if it dies. */
  readonly failed: Promise<never>;
}

/** One version's part of what a qualifier asks for: an alias with two versions has two. */
interface Share {
  readonly target: Target;
  readonly instances: number;
  problem: string | undefined;
  isStarting: boolean;
  retryMs: number;
  /** Monotonic ms. */
  retryAt: number;
}

const TICK_MS = 1_000;
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 60_000;
const FUNCTIONS_PER_STEP = 500;

export function openProvisioned(parts: ProvisionedParts): ProvisionedInstances {
  const keeper = new Keeper(parts);
  const running = inBackground((signal) => keeper.run({ signal }));
  return {
    functionChanged: (name, record) => keeper.functionChanged(name, record),
    progress: (name, qualifier) => keeper.progress(name, qualifier),
    failed: running.failed,
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  };
}

class Keeper {
  readonly #parts: ProvisionedParts;
  /** By function, then by qualifier. Functions that ask for nothing are not in it. */
  readonly #wanted = new Map<FunctionName, Map<string, Share[]>>();
  /** Changes are taken one after the other: the last one must win. */
  #turn = Promise.resolve();

  constructor(parts: ProvisionedParts) {
    this.#parts = parts;
  }

  functionChanged(name: FunctionName, record: FunctionRecord | undefined): void {
    if (!record?.settings.provisioned.length && !this.#wanted.has(name)) return;
    this.#turn = this.#turn.then(() => this.#apply(name, record));
  }

  progress(name: FunctionName, qualifier: string): ProvisionedProgress {
    const shares = this.#wanted.get(name)?.get(qualifier) ?? [];
    const { invoker } = this.#parts;
    return {
      available: shares.reduce((sum, { target, instances }) => {
        return sum + Math.min(instances, invoker.startedOf(target));
      }, 0),
      problem: shares.find(({ problem }) => problem !== undefined)?.problem,
    };
  }

  async run({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    let isRead = false;
    while (!signal.aborted) {
      if (!isRead) isRead = await this.#readSafely(signal);
      this.#startMissing();
      await this.#parts.clock.sleep(TICK_MS, { signal }).catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    }
  }

  /** False if it cannot be read now. */
  async #readSafely(signal: AbortSignal): Promise<boolean> {
    try {
      await this.#readAll(signal);
      return true;
    } catch (error) {
      if (!isPlatformError(error)) throw error;
      this.#parts.log.warn("cannot read which instances to keep started; trying again", { error });
      return false;
    }
  }

  async #readAll(signal: AbortSignal): Promise<void> {
    let after: string | undefined;
    while (!signal.aborted) {
      const page = await this.#parts.functions.list({ after, limit: FUNCTIONS_PER_STEP });
      for (const record of page) this.functionChanged(record.name, record);
      after = page.at(-1)?.name;
      if (page.length < FUNCTIONS_PER_STEP) return;
    }
  }

  async #apply(name: FunctionName, record: FunctionRecord | undefined): Promise<void> {
    const before = [...(this.#wanted.get(name)?.values() ?? [])].flat();
    const now = new Map<string, Share[]>();
    try {
      for (const { qualifier, instances } of record?.settings.provisioned ?? []) {
        if (record) now.set(qualifier, await this.#shares(record, qualifier, instances));
      }
    } catch (error) {
      this.#parts.log.warn("cannot tell which instances to keep started; they stay as they are", {
        name,
        error,
      });
      return;
    }
    if (now.size > 0) this.#wanted.set(name, now);
    else this.#wanted.delete(name);
    const kept = [...now.values()].flat();
    for (const { target } of before) {
      if (kept.some((share) => isSamePool(share.target, target))) continue;
      // Taking away starts nothing, so nothing can go wrong.
      void this.#parts.invoker.keepStarted(target, 0);
    }
    this.#startMissing();
  }

  async #shares(record: FunctionRecord, qualifier: string, instances: number): Promise<Share[]> {
    const alias = record.aliases.find(({ name }) => name === qualifier);
    const second = alias?.split ? Math.round(instances * alias.split.weight) : 0;
    const labels = [
      { label: alias?.version ?? qualifier, instances: instances - second },
      { label: alias?.split?.version ?? "", instances: second },
    ].filter((share) => share.instances > 0);
    return await Promise.all(
      labels.map(async ({ label, instances }) => {
        const isLatest = label === "$LATEST";
        const { functions } = this.#parts;
        const target =
          isLatest && record.membership
            ? await functions.resolve(record.name, "$LATEST")
            : {
                record,
                version: isLatest ? record.latest : await functions.getVersion(record.name, Number(label)),
                qualifier: isLatest ? undefined : qualifier,
              };
        return {
          target,
          instances,
          problem: undefined,
          isStarting: false,
          retryMs: RETRY_MS_MIN,
          retryAt: 0,
        };
      }),
    );
  }

  #startMissing(): void {
    for (const byQualifier of this.#wanted.values()) {
      for (const shares of byQualifier.values()) for (const share of shares) void this.#start(share);
    }
  }

  /** Never rejects: why it failed is kept in the share. */
  async #start(share: Share): Promise<void> {
    const { invoker, clock } = this.#parts;
    if (share.isStarting || clock.monotonic() < share.retryAt) return;
    share.isStarting = true;
    try {
      await invoker.keepStarted(share.target, share.instances);
      share.problem = undefined;
      share.retryMs = RETRY_MS_MIN;
    } catch (error) {
      share.problem = wordsFor(error);
      share.retryAt = clock.monotonic() + share.retryMs;
      share.retryMs = Math.min(RETRY_MS_MAX, share.retryMs * 2);
    } finally {
      share.isStarting = false;
    }
  }
}

function isSamePool(a: Target, b: Target): boolean {
  return poolKey(a) === poolKey(b);
}

/** What a user may read of it. */
function wordsFor(error: unknown): string {
  if (error instanceof StartFailed) return "the function could not be initialised; its log says why";
  return isPlatformError(error) ? error.message : "internal error";
}
