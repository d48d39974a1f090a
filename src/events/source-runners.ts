import type { Clock } from "../core/clock.ts";
import { isPlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import type { FunctionName, SourceId } from "../core/ids.ts";
import { SOURCE_BATCHES_MAX } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import { isOfLiveRelease } from "../core/project.ts";
import type { Source, SourceStatus } from "../core/source.ts";
import type { Invocations } from "../invoker/invocations.ts";
import type { Functions } from "../registry/functions.ts";
import { Turns } from "../registry/turns.ts";
import type { EventQueue } from "../store/event-queue.ts";
import type { Sources } from "../store/sources.ts";
import type { Identity } from "./destinations.ts";
import { Places } from "./places.ts";
import type { SourceQueue } from "./source-queue.ts";
import { SourceReport } from "./source-report.ts";

export interface SourceRunnersParts {
  readonly sources: Pick<Sources, "find" | "list">;
  /** Loads what speaks to that kind of queue. */
  readonly openQueue: (source: Source) => Promise<SourceQueue>;
  readonly functions: Pick<Functions, "resolve">;
  readonly invocations: Pick<Invocations, "invoke">;
  readonly events: Pick<EventQueue, "enqueue">;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly log: Log;
}

interface Runner extends AsyncDisposable {
  readonly source: Source;
  readonly report: SourceReport;
}

/** How long after the start the sources are looked up: the start itself is waited for. */
const START_AFTER_MS = 300;
const STORE_RETRY_MS = 5_000;
const PAGE = 500;

/**
 * Runs a poller for each source that is stored, not paused, and of what is live. A source that was changed first finishes what it has
 * in flight under its old settings. Disposing waits for the batches that run.
 */
export class SourceRunners implements AsyncDisposable {
  readonly #parts: SourceRunnersParts;
  readonly #places = new Places(SOURCE_BATCHES_MAX);
  readonly #runners = new Map<SourceId, Runner>();
  readonly #turns = new Turns();
  readonly #stopping = new AbortController();
  readonly #died = Promise.withResolvers<never>();
  readonly #starting: Promise<void>;
  /** Changes that are being followed. */
  readonly #work = new Set<Promise<void>>();

  constructor(parts: SourceRunnersParts) {
    this.#parts = parts;
    this.#died.promise.catch(() => undefined);
    this.#starting = this.#startAll();
    this.#starting.catch(this.#died.reject);
  }

  /** Rejects if a poller died of what is no trouble with its queue. */
  get failed(): Promise<never> {
    return this.#died.promise;
  }

  /** Tells that the source was created, changed or removed. */
  changed(id: SourceId): void {
    const work: Promise<void> = this.#follow(id)
      .catch(this.#died.reject)
      .finally(() => this.#work.delete(work));
    this.#work.add(work);
  }

  /** The sources of a function that was deleted are gone with it. */
  functionChanged(name: FunctionName, record: FunctionRecord | undefined): void {
    if (record) return;
    for (const { source } of this.#runners.values()) {
      if (source.functionName === name) this.changed(source.id);
    }
  }

  /** Undefined if it does not run. */
  status(id: SourceId): SourceStatus | undefined {
    return this.#runners.get(id)?.report.status();
  }

  async #startAll(): Promise<void> {
    const { signal } = this.#stopping;
    await this.#parts.clock.sleep(START_AFTER_MS, { signal }).catch(() => undefined);
    let after: string | undefined;
    do {
      const page = await this.#untilRead(() =>
        this.#parts.sources.list({ functionName: undefined, after, limit: PAGE }),
      );
      for (const { id } of page ?? []) this.changed(id);
      after = page && page.length === PAGE ? page.at(-1)?.id : undefined;
    } while (after !== undefined);
  }

  /** Brings what runs in line with what is stored. */
  async #follow(id: SourceId): Promise<void> {
    await this.#turns.take(id, async () => {
      const source = await this.#untilRead(() => this.#parts.sources.find(id));
      const runner = this.#runners.get(id);
      if (runner) {
        if (runner.source.generation === source?.generation) return;
        await runner[Symbol.asyncDispose]();
        this.#runners.delete(id);
      }
      if (source && !source.isPaused && isOfLiveRelease(source) && !this.#stopping.signal.aborted) {
        this.#runners.set(id, this.#start(source));
      }
    });
  }

  #start(source: Source): Runner {
    const { log, clock } = this.#parts;
    const report = new SourceReport(clock);
    const stop = new AbortController();
    const running = this.#run(source, report, AbortSignal.any([stop.signal, this.#stopping.signal]));
    running.catch((error: unknown) => {
      log.error("a source died", { source: source.id, error });
      this.#died.reject(error);
    });
    return {
      source,
      report,
      async [Symbol.asyncDispose]() {
        report.is("stopping");
        stop.abort();
        await running.catch(() => undefined);
      },
    };
  }

  async #run(source: Source, report: SourceReport, signal: AbortSignal): Promise<void> {
    const { runPoller } = await import("./source-poller.ts");
    await using queue = await this.#open(source, report, signal);
    const parts = { ...this.#parts, source, report, places: this.#places };
    if (queue) await runPoller({ ...parts, queue }, { signal, hurry: this.#stopping.signal });
  }

  /** Undefined once it is to stop. What is missing may come with the next start of the daemon; the others go on. */
  async #open(source: Source, report: SourceReport, signal: AbortSignal): Promise<SourceQueue | undefined> {
    try {
      return await this.#parts.openQueue(source);
    } catch (error) {
      if (!isPlatformError(error)) throw error;
      this.#parts.log.error("a source cannot be opened", { source: source.id, error: error.message });
      report.is("waiting");
      report.problem(error.message);
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      return undefined;
    }
  }

  /** Undefined once we are stopping. */
  async #untilRead<T>(read: () => Promise<T>): Promise<T | undefined> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        return await read();
      } catch (error) {
        if (!isPlatformError(error)) throw error;
        this.#parts.log.error("sources cannot be read; trying again", { error });
        await this.#parts.clock.sleep(STORE_RETRY_MS, { signal }).catch(() => undefined);
      }
    }
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#starting.catch(() => undefined);
    await Promise.all(this.#work);
    await Promise.all([...this.#runners.values()].map((runner) => runner[Symbol.asyncDispose]()));
  }
}
