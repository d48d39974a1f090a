import type { Clock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import type { QueueMessage, SourceQueue } from "./source-queue.ts";

/** A queue in memory that hides what it hands out, for tests. */
export interface FakeQueue extends SourceQueue {
  /** Adds messages with these payloads; their ids are `m1`, `m2`, … */
  send(...payloads: string[]): void;
  /** Payloads that are in it, hidden or not. */
  readonly left: readonly string[];
  /** Payloads that were given up. */
  readonly dropped: readonly string[];
  /** Payloads that were handed back before they were tried. */
  readonly released: readonly string[];
  /** How often messages were asked for. */
  readonly polls: number;
  /** What fails from now on, and how. */
  broken: { receive?: boolean; remove?: boolean; extend?: boolean };
}

interface Kept {
  readonly number: number;
  readonly payload: string;
  hiddenUntil: number;
  deliveries: number;
}

const RETRY_MS = 1_000;

export function fakeQueue(
  clock: Clock,
  options: { readonly hiddenMs?: number; readonly attemptsMax?: number } = {},
): FakeQueue {
  const hiddenMs = options.hiddenMs ?? 30_000;
  const kept = new Map<string, Kept>();
  const dropped: string[] = [];
  const released: string[] = [];
  let sent = 0;
  let polls = 0;
  let woken = Promise.withResolvers<void>();

  const wake = () => {
    woken.resolve();
    woken = Promise.withResolvers();
  };
  const fail = (isBroken: boolean | undefined) => {
    if (isBroken) throw new PlatformError("SourceUnavailable", "cannot reach the queue");
  };
  const hide = (messages: readonly QueueMessage[], ms: number) => {
    for (const { id } of messages) {
      const one = kept.get(id);
      if (one) one.hiddenUntil = clock.now() + ms;
    }
    wake();
  };
  const visible = (max: number) =>
    [...kept.entries()].filter(([, one]) => one.hiddenUntil <= clock.now()).slice(0, max);

  const queue: FakeQueue = {
    broken: {},
    payloadField: "body",
    hiddenMs,
    attemptsMax: options.attemptsMax,
    dropped,
    released,
    get left() {
      return [...kept.values()].map(({ payload }) => payload);
    },
    get polls() {
      return polls;
    },
    send(...payloads) {
      for (const payload of payloads) {
        sent += 1;
        kept.set(`m${sent}`, { number: sent, payload, hiddenUntil: 0, deliveries: 0 });
      }
      wake();
    },
    async receive({ max, waitMs }, { signal }) {
      signal.throwIfAborted();
      polls += 1;
      fail(queue.broken.receive);
      const endsAt = clock.now() + waitMs;
      while (visible(max).length === 0 && clock.now() < endsAt) {
        const over = new AbortController();
        const next = Math.min(endsAt, ...[...kept.values()].map(({ hiddenUntil }) => hiddenUntil));
        const either = AbortSignal.any([signal, over.signal]);
        const sleeping = clock.sleep(next - clock.now(), { signal: either });
        sleeping.catch(() => undefined);
        await Promise.race([sleeping, woken.promise]);
        over.abort();
      }
      fail(queue.broken.receive);
      return visible(max).map(([id, one]) => {
        one.hiddenUntil = clock.now() + hiddenMs;
        one.deliveries += 1;
        const { payload, deliveries } = one;
        return { id, key: id, payload, deliveries, record: { messageId: id, body: payload } };
      });
    },
    async extend(messages) {
      fail(queue.broken.extend);
      hide(messages, hiddenMs);
    },
    async remove(messages) {
      fail(queue.broken.remove);
      for (const { id } of messages) kept.delete(id);
      return [];
    },
    async retry(messages) {
      hide(messages, RETRY_MS);
    },
    async release(messages) {
      released.push(...messages.map(({ payload }) => payload));
      hide(messages, 0);
    },
    async giveUp(messages) {
      for (const { id, payload } of messages) {
        dropped.push(payload);
        kept.delete(id);
      }
    },
    adopt() {},
    async [Symbol.asyncDispose]() {},
  };
  return queue;
}
