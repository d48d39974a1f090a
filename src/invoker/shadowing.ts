import type { Clock } from "../core/clock.ts";
import { newInvocationId } from "../core/ids.ts";
import type { CallInput, ResponseHead, ResponseSink } from "../core/invocation.ts";
import {
  answerOf,
  compareAnswers,
  excerptsOf,
  INVOKE_METHOD,
  isShadowed,
  SHADOW_AT_ONCE_MAX,
  SHADOW_BODY_BYTES_MAX,
  SHADOW_IN_HAND_MAX,
  type ShadowAnswer,
  type ShadowSide,
} from "../core/shadow.ts";
import type { ShadowRecorder } from "../records/shadow-reports.ts";
import type { ShadowCopies, Target } from "../registry/target.ts";
import type { InvocationRequest, InvocationResult, Invocations } from "./invocations.ts";

export interface ShadowingParts {
  readonly invocations: Invocations;
  /** Where copies run. */
  readonly copies: Pick<Invocations, "invoke">;
  readonly reports: ShadowRecorder;
  readonly clock: Clock;
  readonly random?: () => number;
}

/**
 * Calls that somebody waits for, of which a share is copied where a shadow is given. The copy begins when the live call has
 * ended and its answer is on its way, so that it delays nothing, and whatever becomes of it is told to nobody but its report.
 */
export function newShadowing(parts: ShadowingParts): Invocations {
  const shadowing = new Shadowing(parts);
  const { invocations } = parts;
  return {
    invoke: (target, request, options) =>
      target.shadow === undefined
        ? invocations.invoke(target, request, options)
        : shadowing.invoke(target, target.shadow, request, options),
    tunnel: (target, tunnel, options) => invocations.tunnel(target, tunnel, options),
  };
}

interface Ended {
  readonly request: InvocationRequest;
  readonly answer: ShadowAnswer;
  readonly durationMs: number;
}

/** For the caller to see what is copied, and what is not. */
const SHADOW_HEADER = "Lambda-Shadow";
const SHADOW_CONTEXT = JSON.stringify({ custom: { "lambda-shadow": "1" } });

class Shadowing {
  readonly #parts: ShadowingParts;
  readonly #random: () => number;
  /** Copies that run, by their shadow. */
  readonly #running = new Map<string, number>();
  /** Calls that are to be copied, from their begin on. */
  #inHand = 0;

  constructor(parts: ShadowingParts) {
    this.#parts = parts;
    this.#random = parts.random ?? Math.random;
  }

  invoke(
    target: Target,
    shadow: ShadowCopies,
    request: InvocationRequest,
    options: { readonly signal: AbortSignal },
  ): Promise<InvocationResult> {
    const { invocations, reports } = this.#parts;
    if (this.#random() >= shadow.share) return invocations.invoke(target, request, options);
    const skip = this.#whyNot(shadow, request);
    if (skip !== undefined) {
      reports.skipped(shadow.report, skip);
      return invocations.invoke(target, request, options);
    }
    this.#inHand += 1;
    // What is read into may be used again once the call has ended.
    const input = copied(request.input);
    const kept = request.sink && new KeptResponse(request.sink);
    const result = invocations.invoke(target, kept ? { ...request, sink: kept } : request, options);
    result.then(
      ({ outcome, durationMs }) => {
        const ended = { request: { ...request, input }, answer: answerOf(outcome, kept), durationMs };
        // The answer goes first.
        setImmediate(() => void this.#copy(shadow, ended));
      },
      () => {
        this.#inHand -= 1;
        reports.skipped(shadow.report, "failed");
      },
    );
    return result;
  }

  #whyNot({ plan }: ShadowCopies, { method = INVOKE_METHOD, input }: InvocationRequest) {
    if (!isShadowed(plan, method)) return "method";
    const body = input.kind === "event" ? input.payload : input.body;
    const isSmall =
      body === undefined || (body instanceof Uint8Array && body.length <= SHADOW_BODY_BYTES_MAX);
    if (!isSmall) return "size";
    return this.#inHand >= SHADOW_IN_HAND_MAX ? "busy" : undefined;
  }

  /** Never rejects. */
  async #copy({ tried, report }: ShadowCopies, live: Ended): Promise<void> {
    const { reports } = this.#parts;
    const running = this.#running.get(report.key) ?? 0;
    if (running >= SHADOW_AT_ONCE_MAX) {
      this.#inHand -= 1;
      reports.skipped(report, "busy");
      return;
    }
    this.#running.set(report.key, running + 1);
    try {
      const copy = await this.#run(tried, live.request);
      this.#record({ tried, report }, live, copy);
    } finally {
      this.#inHand -= 1;
      const left = (this.#running.get(report.key) ?? 1) - 1;
      if (left > 0) this.#running.set(report.key, left);
      else this.#running.delete(report.key);
    }
  }

  async #run(tried: Target, live: InvocationRequest): Promise<Ended> {
    const kept = live.sink && new KeptResponse(undefined);
    const request: InvocationRequest = {
      ...live,
      invocationId: newInvocationId(),
      input: marked(live.input),
      clientContext: live.clientContext ?? SHADOW_CONTEXT,
      wantsTail: false,
      sink: kept,
    };
    try {
      const { signal } = new AbortController();
      const { outcome, durationMs } = await this.#parts.copies.invoke(tried, request, { signal });
      return { request, answer: answerOf(outcome, kept), durationMs };
    } catch (error) {
      const message = `it could not run: ${error instanceof Error ? error.message : String(error)}`;
      const answer = {
        kind: "crashed",
        status: undefined,
        body: undefined,
        isTooLarge: false,
        error: message,
      } as const;
      return { request, answer, durationMs: 0 };
    }
  }

  #record({ tried, report }: Pick<ShadowCopies, "tried" | "report">, live: Ended, copy: Ended): void {
    const comparison = compareAnswers(live.answer, copy.answer);
    const spans = { liveMs: live.durationMs, shadowMs: copy.durationMs };
    if (comparison.kind === "same" || comparison.kind === "not-compared") {
      this.#parts.reports.compared(report, { ...spans, kind: comparison.kind });
      return;
    }
    const { kind, what } = comparison;
    const [liveExcerpt, shadowExcerpt] = what.includes("body")
      ? excerptsOf(live.answer.body, copy.answer.body)
      : [undefined, undefined];
    const difference = {
      at: this.#parts.clock.now(),
      functionName: tried.record.name,
      method: live.request.method ?? INVOKE_METHOD,
      what,
      live: sideOf(live, liveExcerpt),
      shadow: sideOf(copy, shadowExcerpt),
    };
    this.#parts.reports.compared(report, { ...spans, kind, difference });
  }
}

function sideOf({ request, answer, durationMs }: Ended, excerpt: string | undefined): ShadowSide {
  const { status, error } = answer;
  return {
    invocationId: request.invocationId,
    durationMs,
    ...(status !== undefined && { status }),
    ...(error !== undefined && { error }),
    ...(excerpt !== undefined && { excerpt }),
  };
}

function copied(input: CallInput): CallInput {
  if (input.kind === "event") return { ...input, payload: Buffer.from(input.payload) };
  const { body } = input;
  return body instanceof Uint8Array ? { ...input, body: Buffer.from(body) } : input;
}

/** A server is told that nobody gets its answer; a handler finds the same in its client context. */
function marked(input: CallInput): CallInput {
  if (input.kind === "event") return input;
  return { ...input, rawHeaders: [...input.rawHeaders, SHADOW_HEADER, "1"] };
}

/** Passes a response on, if to anybody, and keeps it as far as it is compared. */
class KeptResponse implements ResponseSink {
  readonly #to: ResponseSink | undefined;
  #chunks: Buffer[] = [];
  #bytes = 0;
  head: ResponseHead | undefined;

  constructor(to: ResponseSink | undefined) {
    this.#to = to;
  }

  /** Undefined if it is too large. */
  get body(): Buffer | undefined {
    return this.#bytes > SHADOW_BODY_BYTES_MAX ? undefined : Buffer.concat(this.#chunks);
  }

  start(head: ResponseHead): void {
    this.head = head;
    this.#to?.start(head);
  }

  write(chunk: Uint8Array): boolean {
    this.#bytes += chunk.byteLength;
    if (this.#bytes > SHADOW_BODY_BYTES_MAX) this.#chunks = [];
    // The bytes may be the sender's own buffer, which it uses again.
    else this.#chunks.push(Buffer.from(chunk));
    return this.#to?.write(chunk) ?? true;
  }

  async drained(): Promise<void> {
    await this.#to?.drained();
  }
}
