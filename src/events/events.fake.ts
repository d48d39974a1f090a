import { PlatformError } from "../core/errors.ts";
import type { EventInvokeConfig } from "../core/event.ts";
import type { FunctionRecord } from "../core/function.ts";
import { silentLog } from "../core/log.ts";
import { RETRY_POLICY_DEFAULT } from "../core/retry.ts";
import { type FakeFunction, fakeInvocations } from "../invoker/invocations.fake.ts";
import type { Target } from "../registry/target.ts";
import { fakeEvents } from "../store/event-queue.fake.ts";
import { type StoppedClock, stoppedClock } from "../store/event-samples.fake.ts";
import { sampleFunction } from "../store/samples.fake.ts";
import type { EventAttemptParts } from "./event-attempt.ts";
import { workOn } from "./event-attempt.ts";

/** A queue on a stopped clock, and functions that do what a test says. */
export function startFakeWork(options: {
  readonly run: FakeFunction;
  readonly functions?: Readonly<Record<string, Partial<FunctionRecord>>>;
  readonly deliver?: EventAttemptParts["deliver"];
}) {
  const clock: StoppedClock = stoppedClock();
  const events = fakeEvents(clock);
  const known = options.functions ?? { f: {} };
  const resolveCached = (name: string, qualifier?: string): Target | undefined => {
    const record = known[name] && sampleFunction(name, known[name]);
    return record && { record, version: record.latest, qualifier };
  };
  const parts: EventAttemptParts = {
    events,
    functions: {
      async resolve(name, qualifier) {
        const target = resolveCached(name, qualifier);
        if (!target) throw new PlatformError("FunctionNotFound", `no function is called "${name}"`);
        return target;
      },
    },
    invocations: fakeInvocations(options.run),
    deliver: options.deliver ?? (async () => ({ kind: "delivered", status: 200 })),
    identity: { accountId: "123456789012", region: "us-east-1" },
    policy: RETRY_POLICY_DEFAULT,
    random: () => 0,
    clock,
    log: silentLog,
    storeRetryMs: 1,
  };
  return {
    clock,
    events,
    parts,
    resolveCached,
    /** Works on all that is due, then lets time go on to the next, until nothing waits any more. */
    async runAll(): Promise<void> {
      const signal = new AbortController().signal;
      for (;;) {
        const claims = await events.claim({ leaseMs: 60_000, limit: 100, room: () => 10 });
        for (const claim of claims) await workOn(parts, claim, { signal });
        const next = events.nextDueAt();
        if (claims.length === 0 && next === undefined) return;
        if (claims.length === 0 && next !== undefined) clock.advance(next - clock.now());
      }
    },
  };
}

export function sampleEventConfig(more: Partial<EventInvokeConfig> = {}): EventInvokeConfig {
  return {
    qualifier: undefined,
    retriesMax: undefined,
    eventAgeMsMax: undefined,
    onSuccess: undefined,
    onFailure: undefined,
    modifiedAt: 1,
    ...more,
  };
}

/** A function's own error, as its runtime shapes it. */
export function threw(message: string) {
  const payload = Buffer.from(JSON.stringify({ errorType: "Error", errorMessage: message }));
  return { kind: "threw", payload, errorType: "Error", isStreamed: false } as const;
}
