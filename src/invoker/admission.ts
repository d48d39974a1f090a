import { PlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";

/**
 * Counts the calls of each function that are running or waiting, over all its versions, and refuses those beyond
 * the function's own limit at once, as Lambda does for reserved concurrency.
 */
export class Admission {
  readonly #running = new Map<FunctionName, number>();

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
    this.#running.set(record.name, running + 1);
  }

  leave(name: FunctionName): void {
    const running = (this.#running.get(name) ?? 1) - 1;
    if (running > 0) this.#running.set(name, running);
    else this.#running.delete(name);
  }

  get total(): number {
    let total = 0;
    for (const running of this.#running.values()) total += running;
    return total;
  }
}
