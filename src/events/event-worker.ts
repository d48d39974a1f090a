import { setImmediate as nextTurn, setTimeout as sleepFor } from "node:timers/promises";
import type { Clock } from "../core/clock.ts";
import { isPlatformError } from "../core/errors.ts";
import { type FunctionName, parseFunctionName } from "../core/ids.ts";
import { EVENTS_IN_FLIGHT_MAX, INSTANCES_PER_FUNCTION_DEFAULT } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import { RETRY_POLICY_DEFAULT, type RetryPolicy } from "../core/retry.ts";
import type { Invocations } from "../invoker/invocations.ts";
import type { EventMeters } from "../records/metrics/metrics.ts";
import type { Functions } from "../registry/functions.ts";
import type { ClaimedEvent, EventQueue, Lane } from "../store/event-queue.ts";
import type { Identity } from "./destinations.ts";
import { workOn } from "./event-attempt.ts";
import type { Deliver } from "./http-delivery.ts";

export interface EventWorkerParts {
  readonly events: EventQueue;
  readonly functions: Pick<Functions, "resolve" | "resolveCached">;
  readonly invocations: Pick<Invocations, "invoke">;
  readonly deliver: Deliver;
  readonly identity: Identity;
  readonly meters?: EventMeters | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** For retries' jitter. */
  readonly random?: () => number;
  readonly policy?: RetryPolicy;
  readonly inFlightMax?: number;
  readonly leaseMs?: number;
}

/**
 * Works on events until `signal` aborts, and resolves when none is in flight: those whose calls run are finished,
 * those that still wait for an instance are given back.
 *
 * Lanes are served in turn, so one function's backlog never delays another's; within one, in the order of arrival as
 * far as its concurrency allows. A function that is throttled is left alone for a moment instead of being asked once
 * for every event that waits.
 */
export async function runEventWorker(
  parts: EventWorkerParts,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  await new EventWorker(parts, signal).run();
}

const LEASE_MS = 60_000;
/** Claims are prolonged when a third of their time is over. */
const RENEWALS_PER_LEASE = 3;
/** At most this long, a wake-up that got lost would cost. */
const IDLE_MS_MAX = 30_000;
/** After the store has failed. */
const STORE_RETRY_MS = 1_000;
const DELIVERIES_PER_HOST = 8;
const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 5_000;

interface LaneState {
  running: number;
  /** Throttled attempts in a row. */
  throttled: number;
  pausedUntil: number;
}

/** When the worker looks again by itself. */
interface NextLook {
  /** Monotonic ms. */
  readonly at: number;
  readonly off: AbortController;
  readonly comes: Promise<void>;
}

class EventWorker {
  readonly #parts: EventWorkerParts;
  readonly #signal: AbortSignal;
  /** Lanes at work or at rest; no others. */
  readonly #lanes = new Map<Lane, LaneState>();
  readonly #inFlight = new Map<ClaimedEvent, Promise<void>>();
  readonly #leaseMs: number;
  #woken = Promise.withResolvers<void>();
  /** Asked for once, and again when it has come: a round has nothing to take back of it. */
  #changed: Promise<void> | undefined;
  #nextLook: NextLook | undefined;
  #renewedAt: number;

  constructor(parts: EventWorkerParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#leaseMs = parts.leaseMs ?? LEASE_MS;
    this.#renewedAt = parts.clock.monotonic();
    this.#signal = signal;
  }

  async run(): Promise<void> {
    const renewing = new AbortController();
    const renewals = this.#renew(renewing.signal);
    try {
      while (!this.#signal.aborted) await this.#round();
    } finally {
      await Promise.all(this.#inFlight.values());
      renewing.abort();
      await renewals;
    }
  }

  /** Takes what there is room for; with nothing to take, waits until that may have changed. */
  async #round(): Promise<void> {
    try {
      const { events, inFlightMax = EVENTS_IN_FLIGHT_MAX } = this.#parts;
      this.#woken = Promise.withResolvers<void>();
      const woken = this.#woken.promise;
      // Asked for before looking, so that nothing comes in unseen between the two.
      const changed = this.#change();
      const limit = inFlightMax - this.#inFlight.size;
      // After this process stood still, what it works on looks given up; a claim would take it from itself.
      this.#renewIfDue();
      const room = (lane: Lane) => this.#roomIn(lane);
      const claims = limit > 0 ? await events.claim({ leaseMs: this.#leaseMs, limit, room }) : [];
      await this.#startAll(claims);
      if (claims.length > 0) return;
      // Where all places are taken, only an end makes room.
      const hasRoom = limit > 0;
      const waits = [woken, this.#wakeIn(this.#untilNext())];
      await Promise.race(hasRoom ? [...waits, changed] : waits);
    } catch (error) {
      if (this.#signal.aborted) return;
      if (!isPlatformError(error)) throw error;
      this.#parts.log.warn("events cannot be claimed; trying again", { error });
      await this.#sleep(STORE_RETRY_MS, this.#signal);
    }
  }

  #change(): Promise<void> {
    const over = () => {
      this.#changed = undefined;
    };
    this.#changed ??= this.#parts.events.changed({ signal: this.#signal }).then(over, over);
    return this.#changed;
  }

  /** One that was set for sooner serves as well: to be woken for nothing costs a look. */
  #wakeIn(ms: number): Promise<void> {
    const at = this.#parts.clock.monotonic() + ms;
    if (this.#nextLook && this.#nextLook.at <= at) return this.#nextLook.comes;
    this.#nextLook?.off.abort();
    const off = new AbortController();
    const comes = this.#sleep(ms, AbortSignal.any([off.signal, this.#signal])).then(() => {
      if (this.#nextLook?.off === off) this.#nextLook = undefined;
    });
    this.#nextLook = { at, off, comes };
    return comes;
  }

  /**
   * Starts one in a turn of the loop: together they would take it, and then all CPUs at once, from calls that somebody waits
   * for. All are in flight from now on, so that claims are prolonged that have not been started.
   */
  async #startAll(claims: readonly ClaimedEvent[]): Promise<void> {
    const turns = claims.map((claim) => {
      const turn = Promise.withResolvers<void>();
      this.#start(claim, turn.promise);
      return turn;
    });
    for (const [index, turn] of turns.entries()) {
      if (index > 0) await nextTurn();
      turn.resolve();
    }
  }

  #start(claim: ClaimedEvent, turn: Promise<void>): void {
    const state = this.#laneOf(claim.lane);
    state.running += 1;
    const work = turn
      .then(() => this.#work(claim, state))
      .finally(() => {
        this.#inFlight.delete(claim);
        state.running -= 1;
        if (state.running === 0 && state.throttled === 0) this.#lanes.delete(claim.lane);
        this.#woken.resolve();
      });
    this.#inFlight.set(claim, work);
  }

  async #work(claim: ClaimedEvent, state: LaneState): Promise<void> {
    const { clock } = this.#parts;
    const settings = {
      ...this.#parts,
      policy: this.#parts.policy ?? RETRY_POLICY_DEFAULT,
      random: this.#parts.random ?? Math.random,
      storeRetryMs: STORE_RETRY_MS,
    };
    const outcome = await workOn(settings, claim, { signal: this.#signal });
    if (outcome !== "throttled") {
      state.throttled = 0;
      return;
    }
    state.throttled += 1;
    const pauseMs = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(10, state.throttled - 1));
    state.pausedUntil = clock.now() + pauseMs;
  }

  #roomIn(lane: Lane): number {
    const state = this.#lanes.get(lane);
    if (!state) return this.#limitOf(lane);
    if (state.pausedUntil > this.#parts.clock.now()) return 0;
    // Whether it has room again is found out with one event, not with all.
    if (state.throttled > 0) return state.running > 0 ? 0 : 1;
    return this.#limitOf(lane) - state.running;
  }

  #limitOf(lane: Lane): number {
    const name: FunctionName | undefined = parseFunctionName(lane);
    if (!name) return DELIVERIES_PER_HOST;
    const target = this.#parts.functions.resolveCached(name, undefined);
    // The first event of a function that is not in memory brings it there.
    if (!target) return 1;
    const { concurrencyMax, latest } = target.record;
    if (concurrencyMax) return concurrencyMax;
    return INSTANCES_PER_FUNCTION_DEFAULT * latest.config.slotsPerInstance;
  }

  #laneOf(lane: Lane): LaneState {
    let state = this.#lanes.get(lane);
    if (!state) {
      state = { running: 0, throttled: 0, pausedUntil: 0 };
      this.#lanes.set(lane, state);
    }
    return state;
  }

  /** How long until an event becomes due, or a pause is over. */
  #untilNext(): number {
    const now = this.#parts.clock.now();
    let next = Math.min(now + IDLE_MS_MAX, this.#parts.events.nextDueAt() ?? Number.POSITIVE_INFINITY);
    for (const { pausedUntil } of this.#lanes.values()) {
      if (pausedUntil > now) next = Math.min(next, pausedUntil);
    }
    return Math.max(1, next - now);
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const everyMs = this.#leaseMs / RENEWALS_PER_LEASE;
    while (!signal.aborted) {
      this.#renewIfDue();
      await sleepFor(everyMs, undefined, { signal }).catch(() => undefined);
    }
  }

  #renewIfDue(): void {
    const now = this.#parts.clock.monotonic();
    // Half of it, since timers come a little early.
    if (now - this.#renewedAt < this.#leaseMs / RENEWALS_PER_LEASE / 2) return;
    this.#renewedAt = now;
    const lost = this.#parts.events.renew(this.#inFlight.keys(), this.#leaseMs);
    for (const { facts } of lost) {
      this.#parts.log.debug("an event that runs was taken away from this worker", { eventId: facts.id });
    }
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.#parts.clock.sleep(ms, { signal }).catch(() => undefined);
  }
}
