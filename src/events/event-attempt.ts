/** One attempt of a claimed event, from the look at its age to the step that ends or delays it. */
import type { Clock } from "../core/clock.ts";
import { isPlatformError } from "../core/errors.ts";
import type { Attempt, AttemptOutcome, EndCondition, EndState, EventFacts, NewEvent } from "../core/event.ts";
import type { FunctionRecord } from "../core/function.ts";
import { EVENT_DEPTH_MAX } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import { formatRelease, type ReleaseRef } from "../core/project.ts";
import {
  afterFunctionError,
  afterSetback,
  isTooOld,
  type RetryDecision,
  type RetryFacts,
  type RetryPolicy,
} from "../core/retry.ts";
import type { EventMeters } from "../records/metrics/metrics.ts";
import type { ClaimedEvent, EventQueue } from "../store/event-queue.ts";
import { attemptCall, type CallAttemptParts, type Verdict } from "./call-attempt.ts";
import { configFor, followUp, type Identity } from "./destinations.ts";
import type { Deliver } from "./http-delivery.ts";

export interface EventAttemptParts extends CallAttemptParts {
  readonly events: Pick<EventQueue, "end" | "delay">;
  readonly deliver: Deliver;
  readonly identity: Identity;
  /** Without it nothing is counted. */
  readonly meters?: EventMeters | undefined;
  readonly policy: RetryPolicy;
  readonly random: () => number;
  readonly clock: Clock;
  readonly log: Log;
  /** How long to wait when the store could not take the outcome. */
  readonly storeRetryMs: number;
}

/** Resolves with how the attempt ended, when that is on disk or no longer counts. Never rejects. */
export async function workOn(
  parts: EventAttemptParts,
  claim: ClaimedEvent,
  { signal }: { readonly signal: AbortSignal },
): Promise<AttemptOutcome | undefined> {
  const attempt = new EventAttempt(parts, claim);
  try {
    const ending = await attempt.run(signal);
    await attempt.keep(ending, signal);
    return attempt.outcome;
  } catch (error) {
    parts.log.error("an event was left as it is; its claim ends by itself", {
      eventId: claim.facts.id,
      error,
    });
    return attempt.outcome;
  }
}

/** The step that ends the attempt; false if it no longer counts. */
type Step = () => Promise<boolean>;

class EventAttempt {
  readonly #parts: EventAttemptParts;
  readonly #claim: ClaimedEvent;
  readonly #startedAt: number;
  /** The function as it was found. */
  #record: FunctionRecord | undefined;
  /** The release of the call, where the destination is in it, too. */
  #lasting: ReleaseRef | undefined;
  outcome: AttemptOutcome | undefined;

  constructor(parts: EventAttemptParts, claim: ClaimedEvent) {
    this.#parts = parts;
    this.#claim = claim;
    this.#startedAt = parts.clock.now();
  }

  async run(signal: AbortSignal): Promise<Step> {
    const { facts, work } = this.#claim;
    if (facts.depth > EVENT_DEPTH_MAX) {
      const message = `${facts.depth} events led to one another by destinations, which looks like a loop`;
      return this.#giveUp({ state: "failed", condition: "LoopDetected", message });
    }
    if (work.kind === "delivery") {
      const { id, depth } = facts;
      const delivery = { id, url: work.url, body: work.body, depth, now: this.#parts.clock.now() };
      const verdict = await this.#parts.deliver(delivery, { signal });
      return verdict.kind === "delivered" ? this.#delivered() : this.#afterCall(verdict);
    }
    const { functions, meters } = this.#parts;
    meters?.attempted(facts.functionName, this.#startedAt - facts.agedFromAt, facts.attempt === 1);
    this.#record = await functions.resolve(facts.functionName, work.qualifier).then(
      ({ record }) => record,
      // The attempt itself finds the same, and says it.
      () => undefined,
    );
    if (isTooOld(this.#policy(), facts.agedFromAt, this.#parts.clock.now())) {
      return this.#giveUp({ state: "expired", condition: "EventAgeExceeded", message: TOO_OLD });
    }
    const { verdict, target } = await attemptCall(this.#parts, this.#claim, { signal });
    this.#lasting = target?.release && (await this.#lastingRelease(target.release));
    return this.#afterCall(verdict);
  }

  /** Does the step, again and again while the disk does not take it: what a function has done must not be forgotten. */
  async keep(step: Step, signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        const counts = await step();
        if (!counts) {
          this.#parts.log.info("the outcome of an event came too late and was dropped", {
            eventId: this.#claim.facts.id,
            attempt: this.#claim.facts.attempt,
          });
        }
        return;
      } catch (error) {
        if (!isPlatformError(error) || error.code === "ShuttingDown" || signal.aborted) throw error;
        this.#parts.log.warn("the outcome of an event cannot be written; trying again", { error });
        await this.#parts.clock.sleep(this.#parts.storeRetryMs, { signal });
      }
    }
  }

  #afterCall(verdict: Verdict): Step {
    const { facts } = this.#claim;
    switch (verdict.kind) {
      case "answered": {
        this.outcome = verdict.outcome;
        if (verdict.functionError === undefined) return this.#done(verdict);
        const errors = facts.errors + 1;
        const decision = afterFunctionError(this.#policy(), this.#retryFacts({ errors, setbacks: 0 }));
        return this.#retryOrGiveUp(decision, { errors, setbacks: 0 }, verdict);
      }
      case "setback": {
        this.outcome = verdict.outcome;
        const counts = { errors: facts.errors, setbacks: facts.setbacks + 1 };
        const decision = afterSetback(this.#policy(), this.#retryFacts(counts));
        return this.#retryOrGiveUp(decision, counts, verdict);
      }
      case "hopeless":
        this.outcome = "unavailable";
        return this.#giveUp(
          { state: "failed", condition: verdict.condition, message: verdict.message },
          this.#attempt("unavailable", verdict),
        );
      case "released": {
        this.outcome = "released";
        const { errors, setbacks } = facts;
        const attempt = this.#attempt("released", undefined);
        return () =>
          this.#parts.events.delay(this.#claim, {
            dueAt: this.#parts.clock.now(),
            attempt,
            errors,
            setbacks,
          });
      }
    }
  }

  #done(answer: Answer): Step {
    const attempt = this.#attempt(answer.outcome, answer);
    const followUps = this.#followUps("onSuccess", "Success", answer);
    return () =>
      this.#parts.events.end(this.#claim, {
        state: "done",
        attempt,
        reason: undefined,
        result: resultOf(answer),
        followUps,
      });
  }

  #delivered(): Step {
    this.outcome = "delivered";
    const attempt = this.#attempt("delivered", undefined);
    return () =>
      this.#parts.events.end(this.#claim, {
        state: "done",
        attempt,
        reason: undefined,
        result: undefined,
        followUps: [],
      });
  }

  #retryOrGiveUp(
    decision: RetryDecision,
    counts: Pick<RetryFacts, "errors" | "setbacks">,
    verdict: Exclude<Verdict, { readonly kind: "hopeless" | "released" }>,
  ): Step {
    const attempt = this.#attempt(verdict.outcome, verdict);
    if (decision.kind === "retry") {
      return () => this.#parts.events.delay(this.#claim, { ...counts, dueAt: decision.dueAt, attempt });
    }
    const last = verdict.error ? `: ${verdict.error.type}: ${verdict.error.message}` : "";
    const isTooOld = decision.condition === "EventAgeExceeded";
    return this.#giveUp(
      {
        state: isTooOld ? "expired" : "failed",
        condition: decision.condition,
        message: `${isTooOld ? TOO_OLD : TRIED_ENOUGH}${last}`,
      },
      attempt,
      verdict.kind === "answered" ? verdict : undefined,
    );
  }

  #giveUp(
    end: { readonly state: EndState; readonly condition: EndCondition; readonly message: string },
    attempt?: Attempt,
    answer?: Answer,
  ): Step {
    const { state, condition, message } = end;
    const { facts, work } = this.#claim;
    if (work.kind === "delivery") this.#parts.meters?.undelivered(facts.functionName);
    else this.#parts.meters?.dropped(facts.functionName);
    const hasTold = condition === "LoopDetected";
    const followUps = hasTold ? [] : this.#followUps("onFailure", condition, answer);
    return () =>
      this.#parts.events.end(this.#claim, {
        state,
        attempt,
        reason: { condition, message },
        result: answer && resultOf(answer),
        followUps,
      });
  }

  #followUps(which: "onSuccess" | "onFailure", condition: string, answer: Answer | undefined): NewEvent[] {
    const { facts, work } = this.#claim;
    const destination = configFor(this.#record, facts.qualifier)?.[which];
    if (!destination || work.kind === "delivery") return [];
    const invokeCount = facts.attempts.filter(isCall).length + (answer ? 1 : 0);
    const now = this.#parts.clock.now();
    return [
      followUp(
        destination,
        { facts, work, condition, answer, invokeCount, now },
        this.#parts.identity,
        this.#lasting,
      ),
    ];
  }

  /** The release, if what the function's events lead to is in it. */
  async #lastingRelease(release: ReleaseRef): Promise<ReleaseRef | undefined> {
    const config = configFor(this.#record, this.#claim.facts.qualifier);
    for (const destination of [config?.onSuccess, config?.onFailure]) {
      if (destination?.kind !== "function") continue;
      const isInIt = await this.#parts.functions
        .resolve(destination.functionName, formatRelease(release))
        .then(() => true)
        .catch(() => false);
      if (!isInIt) return undefined;
    }
    return release;
  }

  #attempt(outcome: AttemptOutcome, verdict: Verdict | undefined): Attempt {
    const answer = verdict?.kind === "answered" ? verdict : undefined;
    return {
      number: this.#claim.facts.attempt,
      startedAt: this.#startedAt,
      endedAt: this.#parts.clock.now(),
      outcome,
      error: errorOf(verdict),
      version: answer?.version,
      sandboxId: answer?.sandboxId,
    };
  }

  /** The function's own settings for that qualifier, on top of the usual ones. */
  #policy(): RetryPolicy {
    const { policy } = this.#parts;
    const config = configFor(this.#record, this.#claim.facts.qualifier);
    return {
      ...policy,
      retriesMax: config?.retriesMax ?? policy.retriesMax,
      ageMsMax: config?.eventAgeMsMax ?? policy.ageMsMax,
    };
  }

  #retryFacts(counts: Pick<RetryFacts, "errors" | "setbacks">): RetryFacts {
    const { agedFromAt } = this.#claim.facts;
    return { ...counts, agedFromAt, now: this.#parts.clock.now(), random: this.#parts.random() };
  }
}

function errorOf(verdict: Verdict | undefined): Attempt["error"] {
  switch (verdict?.kind) {
    case "answered":
    case "setback":
      return verdict.error;
    case "hopeless":
      return { type: verdict.condition, message: verdict.message };
    case "released":
    case undefined:
      return undefined;
  }
}

type Answer = Extract<Verdict, { readonly kind: "answered" }>;

const TRIED_ENOUGH = "the function failed, and it is not to be tried again";
const TOO_OLD = "the event would be older than it may be before it could be tried again";

const CALL_OUTCOMES: ReadonlySet<AttemptOutcome> = new Set([
  "returned",
  "threw",
  "timed-out",
  "crashed",
  "lost",
]);

function isCall({ outcome }: EventFacts["attempts"][number]): boolean {
  return CALL_OUTCOMES.has(outcome);
}

function resultOf({ payload, isCut, functionError, version }: Answer) {
  return { payload, isCut, functionError, executedVersion: version };
}
