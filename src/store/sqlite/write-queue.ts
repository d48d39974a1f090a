import type { Worker } from "node:worker_threads";
import { PlatformError } from "../../core/errors.ts";
import type { Fault } from "../../core/fault.ts";
import type { OperationName, Operations } from "./operations.ts";
import { storeError } from "./store-error.ts";
import { startThread } from "./thread.ts";
import type { Reply, WriteRequest, WriterMessage } from "./writer-messages.ts";

/** Hands operations to the writer. */
export interface WriteQueue extends AsyncDisposable {
  /**
   * Resolves with the operation's result once it is on disk. Calls made in one go are done in that order.
   *
   * @throws PlatformError whatever the operation throws; `StorageFull` or `StoreUnavailable` if it could not be
   * written. It has not happened then, but for one case: where the sync itself failed and the daemon ends before
   * another write succeeds, what had reached the disk by then counts after the restart.
   */
  write<N extends OperationName>(name: N, args: Operations[N]["args"]): Promise<Operations[N]["result"]>;
  /** Rejects if the writer dies; nothing can be written any more. */
  readonly failed: Promise<never>;
}

interface Waiting {
  readonly request: WriteRequest;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: PlatformError) => void;
}

/** Writes that wait for the disk; more are refused, since the callers' patience ends before their turn comes. */
const WAITING_MAX = 20_000;
/** Writes in one transaction; bounds how long the first of them waits for the last. */
const GROUP_MAX = 1_000;

/**
 * Starts the writer and returns at once; the first write waits until it runs.
 *
 * Group commit: one group is with the writer at a time, and what arrives meanwhile is the next group. So a slow disk
 * makes larger groups, and a lone write is not kept waiting for company.
 */
export function startWriteQueue(file: string, fault?: Fault): WriteQueue {
  return new GroupingQueue(startThread("writer", { file, fault }));
}

class GroupingQueue implements WriteQueue {
  readonly failed: Promise<never>;
  readonly #worker: Worker;
  readonly #gone: Promise<unknown>;
  #waiting: Waiting[] = [];
  #group: readonly Waiting[] = [];
  #hasTurn = false;
  /** Why nothing is taken any more. */
  #refusal: PlatformError | undefined;
  #drained: (() => void) | undefined;

  constructor(worker: Worker) {
    this.#worker = worker;
    this.failed = new Promise((_, reject) => {
      const die = (cause: unknown) => {
        const error = storeError(cause, "the writer of the database stopped");
        this.#refuse(error);
        reject(error);
      };
      worker.on("error", die);
      worker.on("messageerror", die);
      worker.on("exit", (exitCode) => {
        if (!this.#refusal) die(new Error(`exit code ${exitCode}`));
      });
    });
    // Whoever races `failed` sees it; a rejection that nobody waits for must not count as unhandled.
    this.failed.catch(() => undefined);
    this.#gone = new Promise((resolve) => worker.once("exit", resolve));
    worker.on("message", (replies: readonly Reply[]) => this.#settle(replies));
  }

  async write<N extends OperationName>(
    name: N,
    args: Operations[N]["args"],
  ): Promise<Operations[N]["result"]> {
    if (this.#refusal) throw this.#refusal;
    if (this.#waiting.length >= WAITING_MAX) {
      throw new PlatformError(
        "StoreUnavailable",
        `${WAITING_MAX} writes wait for the disk already; retry later`,
      );
    }
    const value = await new Promise<unknown>((resolve, reject) => {
      this.#waiting.push({ request: { name, args } as WriteRequest, resolve, reject });
      this.#takeTurn();
    });
    return value as Operations[N]["result"];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#refusal) {
      this.#refusal = new PlatformError("ShuttingDown", "the store is closed");
      if (this.#isBusy()) await new Promise<void>((resolve) => (this.#drained = resolve));
      this.#post({ kind: "close" });
    }
    await this.#gone;
  }

  /** Sends a group in the next microtask, so that everything asked for until then is in it. */
  #takeTurn(): void {
    if (this.#hasTurn || this.#group.length > 0) return;
    this.#hasTurn = true;
    queueMicrotask(() => {
      this.#hasTurn = false;
      this.#group = this.#waiting.splice(0, GROUP_MAX);
      this.#post({ kind: "write", requests: this.#group.map(({ request }) => request) });
    });
  }

  #settle(replies: readonly Reply[]): void {
    const group = this.#group;
    this.#group = [];
    group.forEach(({ resolve, reject }, index) => {
      const reply = replies[index];
      if (reply?.isDone) resolve(reply.value);
      else if (reply) reject(new PlatformError(reply.code, reply.message));
      else reject(new PlatformError("StoreUnavailable", "the writer of the database gave no answer"));
    });
    if (this.#waiting.length > 0) this.#takeTurn();
    else this.#drained?.();
  }

  #refuse(error: PlatformError): void {
    this.#refusal = error;
    const lost = [...this.#group, ...this.#waiting];
    this.#group = [];
    this.#waiting = [];
    for (const { reject } of lost) reject(error);
    this.#drained?.();
  }

  #isBusy(): boolean {
    return this.#group.length > 0 || this.#waiting.length > 0;
  }

  #post(message: WriterMessage): void {
    this.#worker.postMessage(message);
  }
}
