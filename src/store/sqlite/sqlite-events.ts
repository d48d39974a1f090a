import type { Clock } from "../../core/clock.ts";
import type { EndReason, EventFacts, EventResult, EventWork, NewEvent } from "../../core/event.ts";
import type { EventId, FunctionName } from "../../core/ids.ts";
import { IDEMPOTENCY_MS } from "../../core/limits.ts";
import type {
  ClaimedEvent,
  ClaimOptions,
  Delay,
  Ending,
  Enqueued,
  EventLedger,
  EventQuery,
  EventQueue,
  Lane,
} from "../event-queue.ts";
import { eventIdOf, newEventSequence, sequenceAt, sequenceOf } from "../event-sequence.ts";
import type { Access } from "./access.ts";
import type { Row } from "./connection.ts";
import { EventIndex, type EventLimits } from "./event-index.ts";
import { type EventRow, PAYLOAD_PART, RESULT_PART } from "./event-operations.ts";
import {
  attemptsText,
  EVENT_FACTS,
  eventRow,
  factsOf,
  invocationIdOf,
  resultOf,
  resultRow,
  stateNumber,
  workOf,
} from "./event-rows.ts";

/** Rows that are changed in one step of what concerns many. */
const STEP_ROWS = 500;
/** How often what was passed over as not old enough is looked at again. */
const PRUNE_ROUND_MS = 30 * 60_000;
const NO_BYTES = new Uint8Array(0);

/** Opens the queue: what ran when the last process went away is queued again. */
export async function openEvents(parts: {
  readonly access: Access;
  readonly clock: Clock;
  readonly limits: EventLimits;
}): Promise<SqliteEvents> {
  const { access, clock, limits } = parts;
  const ran = access.read((db) =>
    db.get("SELECT 1 FROM event INDEXED BY event_open WHERE state < 2 AND state = 1 LIMIT 1"),
  );
  if (ran) await access.write("recoverEvents", { now: clock.now() });
  const last = Number(access.read((db) => db.get("SELECT max(sequence) AS last FROM event"))?.last ?? 0);
  const index = new EventIndex(limits);
  const now = clock.now();
  const open = access.read((db) =>
    db.all(
      "SELECT sequence, function_name, lane, due_at FROM event INDEXED BY event_open WHERE state < 2 ORDER BY function_name, sequence",
    ),
  );
  for (const row of open) {
    const name = String(row.function_name) as FunctionName;
    index.queued(name, laneIn(row), Number(row.sequence), Number(row.due_at), now);
  }
  return new SqliteEvents(
    access,
    clock,
    index,
    newEventSequence(() => clock.now(), last),
  );
}

/** The events of one machine: reads here, writes by the writer, what waits in memory. */
export class SqliteEvents implements EventQueue, EventLedger {
  readonly #access: Access;
  readonly #clock: Clock;
  readonly #index: EventIndex;
  readonly #nextSequence: () => number;
  #pruned = { upTo: 0, roundAt: 0 };

  constructor(access: Access, clock: Clock, index: EventIndex, nextSequence: () => number) {
    this.#access = access;
    this.#clock = clock;
    this.#index = index;
    this.#nextSequence = nextSequence;
  }

  async enqueue(
    event: NewEvent,
    { idempotencyKey }: { readonly idempotencyKey: string | undefined },
  ): Promise<Enqueued> {
    const { functionName, invocationId } = event;
    const now = this.#clock.now();
    const validFrom = sequenceAt(now - IDEMPOTENCY_MS);
    if (idempotencyKey !== undefined) {
      // A known key is answered even when the queue is full.
      const holder = this.#access.read((db) =>
        db.get(
          "SELECT sequence FROM event_key WHERE function_name = ? AND key = ? AND sequence >= ?",
          functionName,
          idempotencyKey,
          validFrom,
        ),
      );
      if (holder) return this.#first(Number(holder.sequence), event);
    }
    this.#index.reserve(functionName);
    const row = eventRow(this.#nextSequence(), event, now);
    const key = idempotencyKey === undefined ? undefined : { key: idempotencyKey, validFrom };
    let holder: number | undefined;
    try {
      holder = await this.#access.write("enqueueEvent", { row, key });
    } catch (error) {
      this.#index.release(functionName);
      throw error;
    }
    if (holder !== undefined) {
      this.#index.release(functionName);
      return this.#first(holder, event);
    }
    this.#index.arrived(row.lane ?? functionName, row.sequence, now);
    return { id: eventIdOf(row.sequence), invocationId, isDuplicate: false };
  }

  async claim({ leaseMs, limit, room }: ClaimOptions): Promise<ClaimedEvent[]> {
    await this.#giveUpLapsed();
    for (;;) {
      const now = this.#clock.now();
      const taken = this.#index.pending.take(now, limit, room);
      const claims = await Promise.all(
        taken.map((next) => this.#claim(next.lane, next.sequence, now, leaseMs)),
      );
      const held = claims.filter((claim) => claim !== undefined);
      // Where all that were taken had been cancelled, others behind them may be due.
      if (held.length > 0 || taken.length === 0) return held;
    }
  }

  nextDueAt(): number | undefined {
    return this.#index.pending.nextDueAt();
  }

  changed({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    return this.#index.change(signal);
  }

  renew(claims: Iterable<ClaimedEvent>, leaseMs: number): ClaimedEvent[] {
    const untilAt = this.#clock.monotonic() + leaseMs;
    const lost: ClaimedEvent[] = [];
    for (const claim of claims) {
      const { sequence, attempt } = namedBy(claim);
      if (this.#index.holds(sequence, attempt)) this.#index.prolong(sequence, untilAt);
      else lost.push(claim);
    }
    return lost;
  }

  async end(claim: ClaimedEvent, ending: Ending): Promise<boolean> {
    const { facts } = claim;
    const now = this.#clock.now();
    const followUps = ending.followUps.map((event) => eventRow(this.#nextSequence(), event, now));
    const counts = await this.#access.write("endEvent", {
      ...namedBy(claim),
      state: stateNumber(ending.state),
      endedAt: now,
      attempts: attemptsText(facts.attempts, ending.attempt),
      reason: ending.reason ? JSON.stringify(ending.reason) : null,
      ...resultRow(ending.result),
      followUps,
    });
    if (!counts) return false;
    this.#index.ended(facts.functionName, namedBy(claim).sequence);
    for (const row of followUps) this.#follow(row, now);
    return true;
  }

  async delay(claim: ClaimedEvent, delay: Delay): Promise<boolean> {
    const { facts, lane } = claim;
    const { sequence, attempt } = namedBy(claim);
    const { dueAt, errors, setbacks } = delay;
    const attempts = attemptsText(facts.attempts, delay.attempt);
    const counts = await this.#access.write("delayEvent", {
      sequence,
      attempt,
      dueAt,
      attempts,
      errors,
      setbacks,
    });
    if (counts) this.#index.putBack(facts.functionName, lane, sequence, dueAt, this.#clock.now());
    return counts;
  }

  async find(id: EventId): Promise<EventFacts | undefined> {
    const row = this.#rowOf(id, EVENT_FACTS);
    return row && factsOf(row);
  }

  async findWork(id: EventId): Promise<EventWork | undefined> {
    const row = this.#rowOf(id, `${EVENT_FACTS}, payload`);
    return row && workOf(row, this.#bytes(row, PAYLOAD_PART, row.payload));
  }

  async findResult(id: EventId): Promise<EventResult | undefined> {
    const row = this.#rowOf(id, "sequence, result_head, result");
    return row && resultOf(row.result_head, this.#bytes(row, RESULT_PART, row.result));
  }

  async list({ functionName, states, after, limit }: EventQuery): Promise<EventFacts[]> {
    const before = after === undefined ? undefined : sequenceOf(after);
    const wanted = states?.map(stateNumber);
    // Written out, so that the planner can use the partial indexes.
    const isDead = wanted?.every((state) => state === 3 || state === 4);
    const isOpen = wanted?.every((state) => state < 2);
    const conditions = [
      isDead ? "state IN (3, 4)" : isOpen ? "state < 2" : "TRUE",
      ...(wanted ? [`state IN (${wanted.join(", ")})`] : []),
      ...(functionName === undefined ? [] : ["function_name = ?"]),
      ...(before === undefined ? [] : ["sequence < ?"]),
    ];
    const values = [functionName, before].filter((value) => value !== undefined);
    const sql = `SELECT ${EVENT_FACTS} FROM event WHERE ${conditions.join(" AND ")} ORDER BY sequence DESC LIMIT ?`;
    return this.#access.read((db) => db.all(sql, ...values, limit)).map(factsOf);
  }

  counts(name?: FunctionName): { readonly queued: number; readonly running: number } {
    return this.#index.counts(name);
  }

  async nextChange(
    known: EventFacts,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<EventFacts | undefined> {
    const sequence = sequenceOf(known.id) ?? 0;
    for (;;) {
      // Asked for before it is read, so that nothing can happen in between unseen.
      const change = this.#index.changeOf(sequence, signal);
      change.catch(() => undefined);
      const now = await this.find(known.id);
      if (!now || now.state !== known.state || now.attempt !== known.attempt) {
        this.#index.tell(sequence);
        return now;
      }
      await change;
    }
  }

  async cancel(id: EventId, reason: EndReason): Promise<boolean> {
    const facts = await this.find(id);
    const sequence = sequenceOf(id);
    if (!facts || sequence === undefined) return false;
    const isCancelled = await this.#access.write("cancelEvent", {
      sequence,
      now: this.#clock.now(),
      reason: JSON.stringify(reason),
    });
    if (isCancelled) this.#index.ended(facts.functionName, sequence);
    return isCancelled;
  }

  async cancelAll(name: FunctionName, reason: EndReason): Promise<number> {
    this.#index.pending.drop(name);
    let count = 0;
    for (;;) {
      const cancelled = await this.#access.write("cancelEvents", {
        functionName: name,
        limit: STEP_ROWS,
        now: this.#clock.now(),
        reason: JSON.stringify(reason),
      });
      for (const sequence of cancelled) this.#index.ended(name, sequence);
      count += cancelled.length;
      if (cancelled.length < STEP_ROWS) return count;
    }
  }

  async requeue(
    ids: readonly EventId[],
    { qualifier }: { readonly qualifier: string | undefined },
  ): Promise<EventId[]> {
    const now = this.#clock.now();
    const requeued: EventId[] = [];
    for (let from = 0; from < ids.length; from += STEP_ROWS) {
      const sequences = ids.slice(from, from + STEP_ROWS).flatMap((id) => sequenceOf(id) ?? []);
      for (const sequence of await this.#access.write("requeueEvents", { sequences, qualifier, now })) {
        const row = this.#row(sequence);
        if (row) {
          const name = String(row.function_name) as FunctionName;
          this.#index.queued(name, laneIn(row), sequence, now, now);
        }
        this.#index.tell(sequence);
        requeued.push(eventIdOf(sequence));
      }
    }
    return requeued;
  }

  async removeDeadLetters(
    name: FunctionName,
    ids: readonly EventId[] | undefined,
    limit: number,
  ): Promise<number> {
    const sequences = ids?.slice(0, limit).flatMap((id) => sequenceOf(id) ?? []);
    return await this.#access.write("removeDeadLetters", { functionName: name, sequences, limit });
  }

  async prune(kept: { readonly endedBefore: number; readonly deadLettersBefore: number }): Promise<boolean> {
    const now = this.#clock.now();
    if (now - this.#pruned.roundAt >= PRUNE_ROUND_MS) this.#pruned = { upTo: 0, roundAt: now };
    const from = this.#pruned.upTo;
    // What arrived later cannot have ended before.
    const limit = sequenceAt(Math.max(kept.endedBefore, kept.deadLettersBefore));
    const row = this.#access.read((db) =>
      db.get(
        `SELECT sequence FROM event WHERE sequence >= ? AND sequence < ? ORDER BY sequence LIMIT 1 OFFSET ${STEP_ROWS}`,
        from,
        limit,
      ),
    );
    const to = row ? Number(row.sequence) : limit;
    if (to > from) await this.#access.write("pruneEvents", { from, to, ...kept });
    this.#pruned = { ...this.#pruned, upTo: Math.max(from, to) };
    const keys = await this.#pruneKeys(now);
    return row !== undefined || keys === STEP_ROWS;
  }

  /** The row of an event that has just been put there by a schedule. */
  follow(row: EventRow): void {
    this.#follow(row, this.#clock.now());
  }

  newRow(event: NewEvent): EventRow {
    return eventRow(this.#nextSequence(), event, this.#clock.now());
  }

  /**
   * Adds an event in a step of somebody else's, who says whether it was put there.
   *
   * @throws PlatformError `TooManyEvents`
   */
  async addBy(event: NewEvent, write: (row: EventRow) => Promise<boolean>): Promise<void> {
    this.#index.reserve(event.functionName);
    const row = this.newRow(event);
    let isThere = false;
    try {
      isThere = await write(row);
    } finally {
      if (isThere) this.#index.arrived(row.lane ?? event.functionName, row.sequence, this.#clock.now());
      else this.#index.release(event.functionName);
    }
  }

  async #pruneKeys(now: number): Promise<number> {
    const before = sequenceAt(now - IDEMPOTENCY_MS);
    const old = this.#access.read((db) =>
      db.get("SELECT 1 FROM event_key WHERE sequence < ? LIMIT 1", before),
    );
    return old ? await this.#access.write("pruneEventKeys", { before, limit: STEP_ROWS }) : 0;
  }

  #follow(row: EventRow, now: number): void {
    const name = row.functionName as FunctionName;
    this.#index.queued(name, row.lane ?? name, row.sequence, now, now);
  }

  /** Undefined if it was cancelled meanwhile, or sent on its way again for a later time. */
  async #claim(
    lane: Lane,
    sequence: number,
    now: number,
    leaseMs: number,
  ): Promise<ClaimedEvent | undefined> {
    try {
      if (!(await this.#access.write("claimEvent", { sequence, now }))) return undefined;
    } catch (error) {
      this.#index.pending.putBack(lane, sequence, now, now);
      throw error;
    }
    const row = this.#row(sequence);
    if (!row) return undefined;
    const facts = factsOf(row);
    const claim = { attempt: facts.attempt, lane, untilAt: this.#clock.monotonic() + leaseMs };
    this.#index.claimed(facts.functionName, sequence, claim);
    this.#index.tell(sequence);
    return { lane, facts, work: workOf(row, this.#bytes(row, PAYLOAD_PART, row.payload)) };
  }

  /** Claims whose holder was not heard of in time go back; what the holder says later no longer counts. */
  async #giveUpLapsed(): Promise<void> {
    const now = this.#clock.now();
    for (const { sequence, lane, attempt } of this.#index.lapsed(this.#clock.monotonic())) {
      const row = this.#row(sequence);
      if (!row) continue;
      const facts = factsOf(row);
      const claim: ClaimedEvent = {
        lane,
        facts,
        work: workOf(row, this.#bytes(row, PAYLOAD_PART, row.payload)),
      };
      if (facts.attempt !== attempt) continue;
      await this.delay(claim, {
        dueAt: now,
        errors: facts.errors,
        setbacks: facts.setbacks,
        attempt: {
          number: attempt,
          startedAt: Number(row.started_at),
          endedAt: now,
          outcome: "lost",
          error: undefined,
          version: undefined,
          sandboxId: undefined,
        },
      });
    }
  }

  /** What a repeated key is answered with. */
  #first(sequence: number, event: NewEvent): Enqueued {
    const row = this.#row(sequence);
    const invocationId = row ? invocationIdOf(row) : event.invocationId;
    return { id: eventIdOf(sequence), invocationId, isDuplicate: true };
  }

  #row(sequence: number): Row | undefined {
    return this.#access.read((db) =>
      db.get(`SELECT ${EVENT_FACTS}, lane, payload FROM event WHERE sequence = ?`, sequence),
    );
  }

  #rowOf(id: EventId, columns: string): Row | undefined {
    const sequence = sequenceOf(id);
    if (sequence === undefined) return undefined;
    return this.#access.read((db) => db.get(`SELECT ${columns} FROM event WHERE sequence = ?`, sequence));
  }

  #bytes(row: Row, part: number, inline: unknown): Uint8Array {
    if (inline instanceof Uint8Array) return inline;
    const found = this.#access.read((db) =>
      db.get("SELECT bytes FROM event_bytes WHERE sequence = ? AND part = ?", Number(row.sequence), part),
    );
    return found?.bytes instanceof Uint8Array ? found.bytes : NO_BYTES;
  }
}

function namedBy({ facts }: ClaimedEvent): { readonly sequence: number; readonly attempt: number } {
  return { sequence: sequenceOf(facts.id) ?? 0, attempt: facts.attempt };
}

function laneIn(row: Row): Lane {
  return row.lane === null || row.lane === undefined ? String(row.function_name) : String(row.lane);
}
