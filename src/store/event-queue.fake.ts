import type { Clock } from "../core/clock.ts";
import { PlatformError } from "../core/errors.ts";
import {
  type Attempt,
  type EventFacts,
  type EventResult,
  type EventWork,
  isDeadLetter,
  isEnded,
  type NewEvent,
} from "../core/event.ts";
import type { EventId } from "../core/ids.ts";
import { IDEMPOTENCY_MS } from "../core/limits.ts";
import { type ClaimedEvent, type EventLedger, type EventQueue, type Lane, laneOf } from "./event-queue.ts";

interface Held {
  facts: EventFacts;
  work: EventWork;
  result: EventResult | undefined;
  lane: Lane;
  leaseUntil: number;
}

/** A queue in memory, for tests: the promises of event-queue.ts in the plainest way. */
export function fakeEvents(
  clock: Pick<Clock, "now" | "monotonic">,
  limits = { perFunctionMax: 100_000, totalMax: 1_000_000 },
): EventQueue & EventLedger {
  const events = new Map<EventId, Held>();
  const keys = new Map<string, { id: EventId; at: number }>();
  const served: Lane[] = [];
  let count = 0;
  let changed = Promise.withResolvers<void>();
  const notify = () => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const open = () => [...events.values()].filter(({ facts }) => !isEnded(facts.state));
  const isHeld = (claim: ClaimedEvent) => {
    const held = events.get(claim.facts.id);
    return held?.facts.state === "running" && held.facts.attempt === claim.facts.attempt ? held : undefined;
  };
  const change = (held: Held, facts: Partial<EventFacts>) => {
    held.facts = { ...held.facts, ...facts };
    notify();
  };
  const giveUpLapsed = (now: number) => {
    const moment = clock.monotonic();
    for (const held of open()) {
      if (held.facts.state !== "running" || held.leaseUntil >= moment) continue;
      const lost: Attempt = {
        number: held.facts.attempt,
        startedAt: held.facts.dueAt,
        endedAt: now,
        outcome: "lost",
        error: undefined,
        version: undefined,
        sandboxId: undefined,
      };
      change(held, { state: "queued", dueAt: now, attempts: [...held.facts.attempts, lost] });
    }
  };
  const add = (event: NewEvent): EventId => {
    const now = clock.now();
    const id = `evt_${String(++count).padStart(11, "0")}` as EventId;
    const { work, ...rest } = structuredClone(event);
    events.set(id, {
      work,
      lane: laneOf(event.functionName, event.work),
      result: undefined,
      leaseUntil: 0,
      facts: {
        ...rest,
        id,
        state: "queued",
        kind: work.kind,
        qualifier: work.kind === "call" ? work.qualifier : undefined,
        url: work.kind === "delivery" ? work.url : undefined,
        enqueuedAt: now,
        agedFromAt: now,
        dueAt: now,
        attempt: 0,
        errors: 0,
        setbacks: 0,
        attempts: [],
        endedAt: undefined,
        reason: undefined,
      },
    });
    notify();
    return id;
  };

  return {
    async enqueue(event, { idempotencyKey }) {
      const key = `${event.functionName} ${idempotencyKey}`;
      const known = idempotencyKey === undefined ? undefined : keys.get(key);
      if (known && known.at > clock.now() - IDEMPOTENCY_MS) {
        const invocationId = events.get(known.id)?.facts.invocationId ?? event.invocationId;
        return { id: known.id, invocationId, isDuplicate: true };
      }
      const waiting = open().filter(
        ({ facts }) => facts.functionName === event.functionName && facts.state === "queued",
      );
      if (waiting.length >= limits.perFunctionMax || open().length >= limits.totalMax) {
        throw new PlatformError("TooManyEvents", "full", { retryAfterMs: 5_000 });
      }
      const id = add(event);
      if (idempotencyKey !== undefined) keys.set(key, { id, at: clock.now() });
      return { id, invocationId: event.invocationId, isDuplicate: false };
    },
    async claim({ leaseMs, limit, room }) {
      const now = clock.now();
      giveUpLapsed(now);
      const rooms = new Map<Lane, number>();
      const claims: ClaimedEvent[] = [];
      while (claims.length < limit) {
        const due = open().filter(({ facts, lane }) => {
          if (!rooms.has(lane)) rooms.set(lane, room(lane));
          return facts.state === "queued" && facts.dueAt <= now && (rooms.get(lane) ?? 0) > 0;
        });
        // The lane that was served longest ago, then the oldest in it.
        due.sort(
          (a, b) =>
            served.lastIndexOf(a.lane) - served.lastIndexOf(b.lane) || (a.facts.id < b.facts.id ? -1 : 1),
        );
        const [next] = due;
        if (!next) break;
        served.push(next.lane);
        rooms.set(next.lane, (rooms.get(next.lane) ?? 0) - 1);
        next.leaseUntil = clock.monotonic() + leaseMs;
        change(next, { state: "running", attempt: next.facts.attempt + 1 });
        claims.push(structuredClone({ lane: next.lane, facts: next.facts, work: withQualifier(next) }));
      }
      return claims;
    },
    nextDueAt() {
      const times = open()
        .filter(({ facts }) => facts.state === "queued" && facts.dueAt > clock.now())
        .map(({ facts }) => facts.dueAt);
      return times.length > 0 ? Math.min(...times) : undefined;
    },
    async changed({ signal }) {
      signal.throwIfAborted();
      const aborted = Promise.withResolvers<never>();
      signal.addEventListener("abort", () => aborted.reject(signal.reason), { once: true });
      await Promise.race([changed.promise, aborted.promise]);
    },
    renew(claims, leaseMs) {
      return [...claims].filter((claim) => {
        const held = isHeld(claim);
        if (held) held.leaseUntil = clock.monotonic() + leaseMs;
        return !held;
      });
    },
    async end(claim, { state, attempt, reason, result, followUps }) {
      const held = isHeld(claim);
      if (!held) return false;
      held.result = structuredClone(result);
      const attempts = attempt ? [...held.facts.attempts, attempt] : held.facts.attempts;
      change(held, { state, attempts, reason, endedAt: clock.now() });
      for (const event of followUps) add(event);
      return true;
    },
    async delay(claim, { attempt, ...delay }) {
      const held = isHeld(claim);
      if (!held) return false;
      change(held, { ...delay, state: "queued", attempts: [...held.facts.attempts, attempt] });
      return true;
    },
    async find(id) {
      return structuredClone(events.get(id)?.facts);
    },
    async findWork(id) {
      const held = events.get(id);
      return held && structuredClone(withQualifier(held));
    },
    async findResult(id) {
      return structuredClone(events.get(id)?.result);
    },
    async list({ functionName, states, after, limit }) {
      const found = [...events.values()]
        .map(({ facts }) => facts)
        .filter(
          (facts) =>
            (functionName === undefined || facts.functionName === functionName) &&
            (states === undefined || states.includes(facts.state)) &&
            (after === undefined || facts.id < after),
        );
      return structuredClone(found.sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, limit));
    },
    counts(name) {
      const own = open().filter(({ facts }) => name === undefined || facts.functionName === name);
      const queued = own.filter(({ facts }) => facts.state === "queued").length;
      return { queued, running: own.length - queued };
    },
    async nextChange(known, options) {
      for (;;) {
        const facts = events.get(known.id)?.facts;
        if (!facts || facts.state !== known.state || facts.attempt !== known.attempt) return facts;
        await this.changed(options);
      }
    },
    async cancel(id, reason) {
      const held = events.get(id);
      if (!held || isEnded(held.facts.state)) return false;
      change(held, { state: "cancelled", reason, endedAt: clock.now() });
      return true;
    },
    async cancelAll(name, reason) {
      const own = open().filter(({ facts }) => facts.functionName === name);
      for (const held of own) change(held, { state: "cancelled", reason, endedAt: clock.now() });
      return own.length;
    },
    async requeue(ids, { qualifier }) {
      return ids.filter((id) => {
        const held = events.get(id);
        if (!held || !isEnded(held.facts.state) || held.facts.state === "done") return false;
        const now = clock.now();
        held.result = undefined;
        change(held, {
          state: "queued",
          dueAt: now,
          agedFromAt: now,
          errors: 0,
          setbacks: 0,
          endedAt: undefined,
          reason: undefined,
          ...(qualifier !== undefined && held.work.kind === "call" && { qualifier }),
        });
        return true;
      });
    },
    async removeDeadLetters(name, ids, limit) {
      const found = [...events.values()]
        .filter(({ facts }) => facts.functionName === name && isDeadLetter(facts.state))
        .filter(({ facts }) => ids === undefined || ids.includes(facts.id))
        .slice(0, limit);
      for (const { facts } of found) events.delete(facts.id);
      return found.length;
    },
    async prune({ endedBefore, deadLettersBefore }) {
      for (const [id, { facts }] of events) {
        const before = isDeadLetter(facts.state) ? deadLettersBefore : endedBefore;
        if (facts.endedAt !== undefined && facts.endedAt < before) events.delete(id);
      }
      return false;
    },
  };
}

function withQualifier({ work, facts }: Held): EventWork {
  return work.kind === "call" ? { ...work, qualifier: facts.qualifier } : work;
}
