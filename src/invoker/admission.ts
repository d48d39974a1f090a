import { PlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";

/**
 * Counts the calls of each function that are running or waiting, over all its versions, and refuses those beyond
 * the function's own limit at once, as Lambda does for reserved concurrency.
 */
export class Admission {
  /** Also functions with none: a Map whose keys come and go with each call makes a new table every few of them. */
  readonly #running = new Map<FunctionName, number>();
  readonly #concurrencyMax: number;
  #total = 0;

  /** `concurrencyMax` bounds the calls over all functions. */
  constructor(concurrencyMax = Number.POSITIVE_INFINITY) {
    this.#concurrencyMax = concurrencyMax;
  }

  /** @throws PlatformError `TooManyInvocations`. */
  enter(record: FunctionRecord): void {
    const running = this.#running.get(record.name) ?? 0;
    if (record.concurrencyMax !== undefined && running >= record.concurrencyMax) {
      throw new PlatformError(
        "TooManyInvocations",
        `${record.name} runs ${running} calls already and may run ${record.concurrencyMax}; try again, or raise its concurrency`,
        { reason: "ReservedFunctionConcurrentInvocationLimitExceeded", retryAfterMs: 1_000 },
      );
    }
    if (this.#total >= this.#concurrencyMax) {
      throw new PlatformError(
        "TooManyInvocations",
        `${this.#total} calls run already and ${this.#concurrencyMax} may; try again, or raise concurrency-max`,
        { reason: "ConcurrentInvocationLimitExceeded", retryAfterMs: 1_000 },
      );
    }
    this.#running.set(record.name, running + 1);
    this.#total += 1;
  }

  leave(name: FunctionName): void {
    const running = (this.#running.get(name) ?? 1) - 1;
    this.#total -= 1;
    this.#running.set(name, running);
  }

  /** The function was deleted: nothing is remembered of it once nothing runs. */
  forget(name: FunctionName): void {
    if (this.#running.get(name) === 0) this.#running.delete(name);
  }

  get total(): number {
    return this.#total;
  }
}
