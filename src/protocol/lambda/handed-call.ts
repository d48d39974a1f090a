import type { InvocationId } from "../../core/ids.ts";
import type { Call, InvocationOutcome } from "../../core/invocation.ts";
import type { CallKeeper } from "../protocol.ts";
import { Answer } from "./answer.ts";

/** Outcomes that are known and not yet told. */
export class Outcomes {
  #known: HandedCall[] = [];

  add(handed: HandedCall): void {
    this.#known.push(handed);
  }

  tell(): void {
    if (this.#known.length === 0) return;
    const known = this.#known;
    this.#known = [];
    for (const { keeper, outcome } of known) if (outcome) keeper.settled(outcome);
  }
}

/** One call on its way through a runtime. */
export class HandedCall {
  readonly callId: number;
  readonly invocationId: InvocationId;
  readonly keeper: CallKeeper;
  readonly answer: Answer;
  readonly #outcomes: Outcomes;
  outcome: InvocationOutcome | undefined;
  #over: PromiseWithResolvers<void> | undefined;
  isRecalled = false;

  constructor(callId: number, call: Call, keeper: CallKeeper, outcomes: Outcomes) {
    this.callId = callId;
    this.invocationId = call.invocationId;
    this.keeper = keeper;
    this.#outcomes = outcomes;
    this.answer = new Answer(call, this);
  }

  /** From its answer: an outcome is known. */
  settle(outcome: InvocationOutcome): void {
    this.outcome = outcome;
    this.#outcomes.add(this);
  }

  /** The runtime has asked for the next. */
  end(): void {
    this.#over?.resolve();
  }

  over(): Promise<void> {
    this.#over ??= Promise.withResolvers<void>();
    return this.#over.promise;
  }

  refuse(error: unknown): void {
    this.answer.abandon();
    // An outcome that is known already was first.
    if (!this.outcome) this.keeper.refused(error);
  }
}
