import type { InvocationId } from "../core/ids.ts";
import { Alarm } from "./alarm.ts";
import type { ServedCall } from "./served-call.ts";

/** Longer than this no call waits for another that was begun before it. */
const AHEAD_MS_MAX = 5;

/**
 * The calls that an instance has: those that its program has begun, and those that were handed over behind them. Says when
 * one's time is up, and when one has waited too long for another.
 *
 * Lists, since each call enters and leaves: a Map makes a new table every few of them, and one that was promoted keeps all
 * tables after it, and the calls in them, until a full collection.
 */
export class CallsInHand implements Disposable {
  /** Begun and not over, in that order. */
  readonly #begun: ServedCall[] = [];
  /** Handed over and not begun, in that order. */
  readonly #ahead: ServedCall[] = [];
  readonly #timeouts: Alarm;
  readonly #patience: Alarm;

  constructor(parts: {
    /** A call's time is up. */
    readonly timeOut: (served: ServedCall) => void;
    /** Who waits behind a call that turned out to be slow may be served elsewhere sooner. */
    readonly recall: (invocationId: InvocationId) => void;
  }) {
    this.#timeouts = new Alarm((now) => this.#timeOutLate(now, parts.timeOut));
    this.#patience = new Alarm((now) => this.#recallLate(now, parts.recall));
  }

  /** Begun and not over. */
  get count(): number {
    return this.#begun.length;
  }

  /** The one begun first of those that are not over. */
  get first(): ServedCall | undefined {
    return this.#begun[0];
  }

  find(invocationId: string): ServedCall | undefined {
    return this.#begun.find(({ call }) => call.invocationId === invocationId);
  }

  begun(): ServedCall[] {
    return [...this.#begun];
  }

  standsBehind(served: ServedCall): void {
    served.handedAt = performance.now();
    this.#ahead.push(served);
    this.#patience.setFor(served.handedAt + AHEAD_MS_MAX);
  }

  /** `dueAt`: monotonic ms. */
  begin(served: ServedCall, dueAt: number): void {
    takeOut(this.#ahead, served);
    this.#begun.push(served);
    this.#timeouts.setFor(dueAt);
  }

  /** It is over, or was never begun. */
  leave(served: ServedCall): void {
    takeOut(this.#ahead, served);
    takeOut(this.#begun, served);
  }

  /** Says nothing more. */
  [Symbol.dispose](): void {
    this.#timeouts[Symbol.dispose]();
    this.#patience[Symbol.dispose]();
  }

  #recallLate(now: number, recall: (invocationId: InvocationId) => void): number | undefined {
    let late = 0;
    for (const { handedAt, call } of this.#ahead) {
      if (handedAt + AHEAD_MS_MAX > now) break;
      recall(call.invocationId);
      late += 1;
    }
    this.#ahead.splice(0, late);
    const [first] = this.#ahead;
    return first && first.handedAt + AHEAD_MS_MAX;
  }

  #timeOutLate(now: number, timeOut: (served: ServedCall) => void): number | undefined {
    let next: number | undefined;
    for (const served of this.#begun) {
      const { begunAs, isSettled } = served;
      if (!begunAs || isSettled) continue;
      if (begunAs.dueAt > now) next = Math.min(begunAs.dueAt, next ?? begunAs.dueAt);
      else timeOut(served);
    }
    return next;
  }
}

function takeOut(list: ServedCall[], served: ServedCall): void {
  const at = list.indexOf(served);
  if (at >= 0) list.splice(at, 1);
}
