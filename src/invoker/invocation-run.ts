import { isPlatformError } from "../core/errors.ts";
import type { Call } from "../core/invocation.ts";
import { NotBegun } from "../protocol/protocol.ts";
import type { CallMeter } from "../records/metrics/metrics.ts";
import type { Target } from "../registry/target.ts";
import { functionArn, type Identity } from "./environment.ts";
import type { Instance } from "./instance.ts";
import type { InvocationRequest, InvocationResult } from "./invocations.ts";
import type { PlaceWanted, Pool } from "./pool.ts";
import type { ServedFor } from "./served-call.ts";
import { StartFailed } from "./starter.ts";

/** A runtime that has calls ahead keeps them in its memory, which the function paid for. */
const AHEAD_BYTES_MAX = 64 * 1024;
/** Of a call that was taken back once. */
const NEXT_PLACE: PlaceWanted = { isFirst: true, mayStandBehind: false };
const SMALL_PLACE: PlaceWanted = { mayStandBehind: true, mayComeEarly: true };
const LARGE_PLACE: PlaceWanted = { mayStandBehind: false };
const UNATTENDED_NEXT_PLACE: PlaceWanted = { ...NEXT_PLACE, isUnattended: true };
const UNATTENDED_SMALL_PLACE: PlaceWanted = { ...SMALL_PLACE, isUnattended: true };
const UNATTENDED_LARGE_PLACE: PlaceWanted = { ...LARGE_PLACE, isUnattended: true };

/** What one needs of the invoker that it belongs to. */
export interface RunOwner {
  readonly identity: Identity;
  readonly streamBytesMax: number;
  /** A call waits for an instance this long and then as long as it may run: an initialisation may take all of it. */
  readonly waitMsMin: number;
  /** Tells the caller that it is not served; not at once, if many are to be told so. */
  refuse(target: Target, error: unknown, reject: (error: unknown) => void): void;
  failedStart(target: Target, request: InvocationRequest, failure: StartFailed): InvocationResult;
  /** It is over. */
  left(target: Target, meter: CallMeter | undefined): void;
}

export interface RunFacts {
  readonly target: Target;
  readonly request: InvocationRequest;
  readonly meter: CallMeter | undefined;
  readonly resolve: (result: InvocationResult) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One admitted invocation, from its place in the pool to its end. It goes on by being told, since each promise on the way of
 * a warm call costs as much as what is done there.
 */
export class InvocationRun implements ServedFor {
  readonly #owner: RunOwner;
  readonly #facts: RunFacts;
  readonly #pool: Pool;
  readonly #signal: AbortSignal;

  constructor(
    owner: RunOwner,
    facts: RunFacts,
    { pool, signal }: { readonly pool: Pool; readonly signal: AbortSignal },
  ) {
    this.#owner = owner;
    this.#facts = facts;
    this.#pool = pool;
    this.#signal = signal;
  }

  start(): void {
    this.#acquire(firstPlace(this.#facts.request));
  }

  /** From the instance. */
  ended(result: InvocationResult): void {
    const { target, meter, resolve } = this.#facts;
    this.#pool.served(result.durationMs);
    meter?.ended(result.outcome.kind, result.durationMs, result.initMs);
    this.#owner.left(target, meter);
    resolve(result);
  }

  /** From the instance, or there is none. */
  failed(error: unknown): void {
    const { target, request, meter, resolve, reject } = this.#facts;
    if (error instanceof NotBegun) {
      // It stood behind a call that was slow or the instance's last, and no code has seen it.
      this.#acquire(request.isUnattended ? UNATTENDED_NEXT_PLACE : NEXT_PLACE);
      return;
    }
    if (error instanceof StartFailed) {
      meter?.ended(error.outcome.kind, error.afterMs, undefined);
      const result = this.#owner.failedStart(target, request, error);
      this.#owner.left(target, meter);
      resolve(result);
      return;
    }
    if (isPlatformError(error, "TooManyInvocations")) meter?.throttled();
    this.#owner.left(target, meter);
    this.#owner.refuse(target, error, reject);
  }

  #acquire(place: PlaceWanted): void {
    const waitMsMax = this.#owner.waitMsMin + this.#facts.target.version.config.timeoutMs;
    let acquired: Instance | Promise<Instance>;
    try {
      acquired = this.#pool.acquire(waitMsMax, this.#signal, place);
    } catch (error) {
      this.failed(error);
      return;
    }
    if (acquired instanceof Promise) {
      acquired.then(
        (instance) => this.#serve(instance),
        (error: unknown) => this.failed(error),
      );
    } else this.#serve(acquired);
  }

  #serve(instance: Instance): void {
    const { request } = this.#facts;
    instance.serve(this.#callOn(instance), request.wantsTail, this);
  }

  #callOn(instance: Instance): Call {
    const { target, request } = this.#facts;
    const { invocationId, input, traceId, clientContext, sink } = request;
    return {
      invocationId,
      input,
      functionArn: arnOf(this.#owner.identity, target),
      deadlineAt: Date.now() + instance.timeLeftMs,
      traceId,
      clientContext,
      sink,
      streamBytesMax: this.#owner.streamBytesMax,
    };
  }
}

/** The same one mostly comes again. */
let lastArn: { readonly identity: Identity; readonly target: Target; readonly text: string } | undefined;

function arnOf(identity: Identity, target: Target): string {
  if (lastArn?.target !== target || lastArn.identity !== identity) {
    lastArn = { identity, target, text: functionArn(identity, target.record.name, target.qualifier) };
  }
  return lastArn.text;
}

function firstPlace({ input, isUnattended }: InvocationRequest): PlaceWanted {
  const isLarge = input.kind === "event" && input.payload.length > AHEAD_BYTES_MAX;
  if (isUnattended) return isLarge ? UNATTENDED_LARGE_PLACE : UNATTENDED_SMALL_PLACE;
  return isLarge ? LARGE_PLACE : SMALL_PLACE;
}
