import type { InvocationOutcome } from "../core/invocation.ts";
import type { Target } from "../registry/target.ts";
import type { InvocationRequest, Invocations, Tunnel } from "./invocations.ts";

/** What a test makes of a call. */
export type FakeFunction = (
  request: InvocationRequest,
  context: { readonly target: Target; readonly signal: AbortSignal },
) => InvocationOutcome | Promise<InvocationOutcome>;

export interface FakeInvocations extends Invocations {
  /** Every call so far, in order. */
  readonly calls: readonly { readonly target: Target; readonly request: InvocationRequest }[];
}

/** An invoker without instances: `run` is every function. Without `tunnel`, upgraded connections are ended. */
export function fakeInvocations(
  run: FakeFunction,
  tunnel: (tunnel: Tunnel, context: { readonly signal: AbortSignal }) => Promise<void> = async ({
    client,
  }) => {
    client.end();
  },
): FakeInvocations {
  const calls: { readonly target: Target; readonly request: InvocationRequest }[] = [];
  return {
    calls,
    async invoke(target, request, { signal }) {
      signal.throwIfAborted();
      calls.push({ target, request });
      return {
        outcome: await run(request, { target, signal }),
        durationMs: 1,
        initMs: undefined,
        logTail: request.wantsTail ? "START\nEND\nREPORT\n" : "",
      };
    },
    tunnel: (_target, opened, options) => tunnel(opened, options),
  };
}

/** A function that answered with these bytes, or this text, all at once. */
export function returned(payload: Uint8Array | string): InvocationOutcome {
  const bytes = typeof payload === "string" ? Buffer.from(payload) : payload;
  return { kind: "returned", payload: bytes, head: undefined, isStreamed: false };
}

/** A function that has sent its answer to the sink. */
export const streamed: InvocationOutcome = {
  kind: "returned",
  payload: new Uint8Array(0),
  head: undefined,
  isStreamed: true,
};
