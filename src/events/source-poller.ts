import type { Clock } from "../core/clock.ts";
import { isPlatformError } from "../core/errors.ts";
import { type Filter, filterView, parseFilter } from "../core/event-filter.ts";
import { INSTANCES_PER_FUNCTION_DEFAULT, PAYLOAD_BYTES_MAX } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import type { Source } from "../core/source.ts";
import type { EventQueue } from "../store/event-queue.ts";
import type { CallAttemptParts } from "./call-attempt.ts";
import type { Identity } from "./destinations.ts";
import type { Places } from "./places.ts";
import { type BatchEnd, type BatchItem, callWithBatch, givenUpEvent } from "./source-batch.ts";
import type { QueueMessage, SourceQueue } from "./source-queue.ts";
import type { SourceReport } from "./source-report.ts";

export interface PollerParts extends CallAttemptParts {
  readonly source: Source;
  readonly queue: SourceQueue;
  /** Where destinations are told. */
  readonly events: Pick<EventQueue, "enqueue">;
  readonly identity: Identity;
  /** Shared by all sources. */
  readonly places: Places;
  readonly report: SourceReport;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Calls a function with what its source has until `signal` aborts, and resolves when nothing is in flight: batches
 * that run are finished and removed, those that wait for an instance are given back.
 *
 * A message stays in its queue, hidden, until the function has worked on it. So nothing is lost whatever dies here;
 * what had been worked on and not removed by then comes again.
 */
export async function runPoller(parts: PollerParts, stopping: Stopping): Promise<void> {
  await new SourcePoller(parts, stopping).run();
}

export interface Stopping {
  readonly signal: AbortSignal;
  /**
   * Aborts too if there is no time to wait for messages that may be on their way: they would come again when they are
   * not hidden any more. Otherwise they are taken and given back.
   */
  readonly hurry: AbortSignal;
}

/** How long to wait for messages in one go. */
const POLL_MS = 20_000;
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 30_000;
const PAUSE_MS = 200;
/** Removals go on at least so long, and while we stop at most. */
const REMOVE_MS_MIN = 30_000;
const REMOVE_MS_STOPPING = 10_000;
/** Messages that are remembered as done because they could not be removed. */
const DONE_KEPT_MAX = 10_000;
const ENVELOPE_BYTES = Buffer.byteLength('{"Records":[]}');
const NEVER = new AbortController().signal;

class SourcePoller {
  readonly #parts: PollerParts;
  readonly #signal: AbortSignal;
  readonly #hurry: AbortSignal;
  readonly #filters: readonly Filter[];
  /** All that was received and is neither removed nor given back, by key. */
  readonly #held = new Map<string, QueueMessage>();
  /** Resolves when something is held. */
  #holds = Promise.withResolvers<void>();
  /** Keys of messages that are done and may come again. */
  readonly #done = new Set<string>();
  readonly #work = new Set<Promise<void>>();
  /** Received, and too much for the last batch. */
  #carried: BatchItem[] = [];
  #batches = 0;
  /** Batches whose function cannot be called for now: no more are fetched meanwhile. */
  #stuck = 0;
  #problems = 0;
  #changed = Promise.withResolvers<void>();

  constructor(parts: PollerParts, { signal, hurry }: Stopping) {
    this.#parts = parts;
    this.#signal = signal;
    this.#hurry = hurry;
    this.#filters = parts.source.filters.map(parseFilter);
  }

  async run(): Promise<void> {
    const beating = new AbortController();
    const beats = this.#beat(beating.signal);
    try {
      while (!this.#signal.aborted) await this.#round();
    } finally {
      this.#parts.report.is("stopping");
      await this.#release(this.#carried);
      // What ends may leave something to be removed.
      while (this.#work.size > 0) await Promise.all(this.#work);
      beating.abort();
      await beats;
    }
  }

  async #round(): Promise<void> {
    const { report, clock, log, source } = this.#parts;
    try {
      const max = await this.#batchesMax();
      if (this.#batches >= max || this.#stuck > 0) {
        await this.#untilChanged();
        return;
      }
      if (this.#problems === 0) report.is("polling");
      const items = await this.#collect();
      this.#problems = 0;
      report.is("polling");
      if (items.length === 0) report.said("No records processed");
      else await this.#start(items);
    } catch (error) {
      if (this.#signal.aborted) return;
      if (!isPlatformError(error)) throw error;
      this.#problems += 1;
      report.is("waiting");
      report.problem(error.message);
      const facts = { source: source.id, function: source.functionName, error: error.message };
      // Said once; the state goes on saying it.
      if (this.#problems === 1) log.warn("a source cannot go on; trying again", facts);
      const waitMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(10, this.#problems - 1));
      await clock.sleep(waitMs, { signal: this.#signal }).catch(() => undefined);
    }
  }

  /** 0 while the function may not be called at all. @throws PlatformError if there is no such function, version or alias. */
  async #batchesMax(): Promise<number> {
    const { source, functions, report } = this.#parts;
    const { record, version } = await functions.resolve(source.functionName, source.qualifier);
    if (record.concurrencyMax === 0) {
      report.is("waiting");
      report.problem("the function's reserved concurrency is 0");
      return 0;
    }
    const own = record.concurrencyMax ?? INSTANCES_PER_FUNCTION_DEFAULT * version.config.slotsPerInstance;
    return Math.min(own, source.concurrencyMax ?? own);
  }

  /** Until a batch has ended, or for a moment: what a function may do can change without us. */
  async #untilChanged(): Promise<void> {
    const over = new AbortController();
    const signal = AbortSignal.any([this.#signal, over.signal]);
    const sleeping = this.#parts.clock.sleep(RETRY_MS_MAX / 10, { signal }).catch(() => undefined);
    await Promise.race([this.#changed.promise, sleeping]);
    over.abort();
  }

  #tellChange(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** A batch, or nothing if nothing came. What was received and is not in it is given back or carried over. */
  async #collect(): Promise<readonly BatchItem[]> {
    const { source, queue, clock } = this.#parts;
    const items = this.#carried;
    this.#carried = [];
    const take = async (waitMs: number) => {
      const max = source.batchMax - items.length;
      const received = await queue.receive({ max, waitMs }, { signal: this.#hurry });
      items.push(...this.#admit(received));
      return received.length;
    };
    try {
      if (items.length === 0) await take(POLL_MS);
      this.#signal.throwIfAborted();
      const endsAt = clock.monotonic() + source.windowMs;
      while (items.length > 0 && items.length < source.batchMax && bytesOf(items) < PAYLOAD_BYTES_MAX) {
        const leftMs = endsAt - clock.monotonic();
        if (leftMs <= 0) break;
        const count = await take(leftMs);
        this.#signal.throwIfAborted();
        // A queue cannot wait for less than a second.
        if (count === 0 && leftMs < 1_000) {
          await clock.sleep(Math.min(PAUSE_MS, leftMs), { signal: this.#signal });
        }
      }
    } catch (error) {
      if (this.#signal.aborted) {
        await this.#release(items);
        return [];
      }
      // What there is is worked on; the next round meets the problem again.
      if (!isPlatformError(error) || items.length === 0) throw error;
    }
    const fits = countThatFits(items);
    this.#carried = items.slice(fits);
    return items.slice(0, fits);
  }

  /** Those that the function is to get. */
  #admit(received: readonly QueueMessage[]): BatchItem[] {
    const { queue, report } = this.#parts;
    const fresh: QueueMessage[] = [];
    const over: QueueMessage[] = [];
    for (const message of received) {
      const held = this.#held.get(message.key);
      if (held) {
        // Its queue thought us gone; it is still being worked on.
        queue.adopt(held, message);
        report.count("repeated");
        continue;
      }
      this.#held.set(message.key, message);
      this.#holds.resolve();
      if (this.#done.has(message.key)) {
        report.count("repeated");
        over.push(message);
      } else if (this.#isWanted(message)) {
        fresh.push(message);
      } else {
        report.count("filtered");
        over.push(message);
      }
    }
    if (over.length > 0) this.#track(this.#remove(over));
    return fresh.map((message) => ({ message, json: JSON.stringify(message.record) }));
  }

  #isWanted({ record, payload }: QueueMessage): boolean {
    if (this.#filters.length === 0) return true;
    const view = filterView(record, this.#parts.queue.payloadField, payload);
    return this.#filters.some((fits) => fits(view));
  }

  async #start(items: readonly BatchItem[]): Promise<void> {
    const { places, report } = this.#parts;
    let giveBack: () => void;
    try {
      giveBack = await places.take({ signal: this.#signal });
    } catch {
      await this.#release(items);
      return;
    }
    this.#batches += 1;
    report.began();
    report.count("batches");
    this.#track(
      this.#run(items).finally(() => {
        this.#batches -= 1;
        report.ended();
        giveBack();
        this.#tellChange();
      }),
    );
  }

  #track(work: Promise<void>): void {
    const tracked: Promise<void> = work.finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }

  async #run(items: readonly BatchItem[]): Promise<void> {
    const { report } = this.#parts;
    let isStuck = false;
    const held = (why: string) => {
      if (!isStuck) this.#stuck += 1;
      isStuck = true;
      report.is("waiting");
      report.problem(why);
    };
    const end = await callWithBatch({ ...this.#parts, held }, items, { signal: this.#signal });
    if (isStuck) this.#stuck -= 1;
    if (end.kind === "released") {
      await this.#release(items);
      return;
    }
    if (end.problem !== undefined) report.problem(end.problem);
    // A batch that was begun before its queue went away says nothing of the queue.
    else if (this.#problems === 0) report.said("OK");
    report.count("done", end.done.length);
    report.count("failed", end.failed.length);
    await Promise.all([this.#remove(end.done), this.#putBack(items, end)]);
  }

  async #putBack(items: readonly BatchItem[], end: Extract<BatchEnd, { kind: "worked" }>): Promise<void> {
    const { queue, report, log, source, events, identity, clock } = this.#parts;
    if (end.failed.length === 0) return;
    const attemptsMax = queue.attemptsMax ?? Number.POSITIVE_INFINITY;
    const last = end.failed.filter(({ deliveries }) => deliveries >= attemptsMax);
    const again = end.failed.filter(({ deliveries }) => deliveries < attemptsMax);
    this.#forget(again);
    await this.#tryTo("put messages back", () => queue.retry(again));
    if (last.length === 0) return;
    try {
      const told = items.filter(({ message }) => last.includes(message));
      const event = givenUpEvent(source, told, end.answer, identity, clock.now());
      if (event) await events.enqueue(event, { idempotencyKey: undefined });
    } catch (error) {
      if (!isPlatformError(error)) throw error;
      // Given up only when somebody knows of it.
      log.warn("messages cannot be given up, since their destination cannot be told", { error });
      this.#forget(last);
      await this.#tryTo("put messages back", () => queue.retry(last));
      return;
    }
    report.count("givenUp", last.length);
    log.warn("messages were given up", {
      source: source.id,
      messages: last.map(({ id }) => id).slice(0, 10),
    });
    this.#forget(last);
    await this.#tryTo("give messages up", () => queue.giveUp(last));
  }

  async #release(items: readonly BatchItem[]): Promise<void> {
    const messages = items.map(({ message }) => message);
    this.#forget(messages);
    if (messages.length > 0)
      await this.#tryTo("give messages back", () => this.#parts.queue.release(messages));
  }

  /** Once; what could not be removed is tried again without holding up the next batch. */
  async #remove(messages: readonly QueueMessage[]): Promise<void> {
    const left = await this.#tryToRemove(messages);
    const kept = new Set(left);
    this.#forget(messages.filter((message) => !kept.has(message)));
    if (left.length > 0) this.#track(this.#removeLater(left));
  }

  /** Gives those that could not be. */
  async #tryToRemove(messages: readonly QueueMessage[]): Promise<readonly QueueMessage[]> {
    if (messages.length === 0) return [];
    const { queue } = this.#parts;
    const left = (await this.#tryTo("remove messages", () => queue.remove(messages))) ?? messages;
    if (left.length === 0) for (const { key } of messages) this.#done.delete(key);
    return left;
  }

  /** Again and again, as long as they may be hidden; what is left is remembered, and removed when it comes again. */
  async #removeLater(messages: readonly QueueMessage[]): Promise<void> {
    const { queue, clock, log, source } = this.#parts;
    const startedAt = clock.monotonic();
    let left = messages;
    for (let count = 0; left.length > 0; count += 1) {
      const msMax = this.#signal.aborted ? REMOVE_MS_STOPPING : Math.max(REMOVE_MS_MIN, queue.hiddenMs);
      if (clock.monotonic() - startedAt > msMax) {
        const ids = left.map(({ id }) => id).slice(0, 10);
        log.warn("messages that are done could not be removed", { source: source.id, messages: ids });
        for (const { key } of left) this.#remember(key);
        break;
      }
      await clock.sleep(Math.min(5_000, PAUSE_MS * 2 ** Math.min(10, count)), { signal: NEVER });
      left = await this.#tryToRemove(left);
    }
    this.#forget(messages);
  }

  #remember(key: string): void {
    this.#done.add(key);
    const [oldest] = this.#done;
    if (this.#done.size > DONE_KEPT_MAX && oldest !== undefined) this.#done.delete(oldest);
  }

  #forget(messages: readonly QueueMessage[]): void {
    for (const { key } of messages) this.#held.delete(key);
  }

  /** Undefined if the queue could not be told: then its own time limit decides. */
  async #tryTo<T>(what: string, act: () => Promise<T>): Promise<T | undefined> {
    try {
      return await act();
    } catch (error) {
      if (!isPlatformError(error)) throw error;
      const { source, log } = this.#parts;
      log.warn(`a source cannot ${what}`, { source: source.id, error: error.message });
      return undefined;
    }
  }

  /** Keeps what is held hidden. */
  async #beat(signal: AbortSignal): Promise<void> {
    const { queue, clock } = this.#parts;
    const over = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => over.resolve(), { once: true });
    while (!signal.aborted) {
      // How long they are hidden is known when there are some.
      await Promise.race([this.#holds.promise, over.promise]);
      await clock.sleep(queue.hiddenMs / 3, { signal }).catch(() => undefined);
      const held = [...this.#held.values()];
      if (held.length === 0) this.#holds = Promise.withResolvers();
      else if (!signal.aborted) await this.#tryTo("keep its messages hidden", () => queue.extend(held));
    }
  }
}

function bytesOf(items: readonly BatchItem[]): number {
  return items.reduce((sum, { json }) => sum + Buffer.byteLength(json) + 1, ENVELOPE_BYTES);
}

/** One at least: a message that is too large by itself is refused by the function's limit, and fails. */
function countThatFits(items: readonly BatchItem[]): number {
  let bytes = ENVELOPE_BYTES;
  for (const [index, { json }] of items.entries()) {
    bytes += Buffer.byteLength(json) + 1;
    if (bytes > PAYLOAD_BYTES_MAX && index > 0) return index;
  }
  return items.length;
}
