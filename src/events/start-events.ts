import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { inBackground } from "../core/scope.ts";
import type { Invocations } from "../invoker/invocations.ts";
import type { EventMeters } from "../records/metrics/metrics.ts";
import type { Functions } from "../registry/functions.ts";
import type { Store } from "../store/store.ts";
import type { Identity } from "./destinations.ts";
import { runEventUpkeep } from "./event-upkeep.ts";
import { runEventWorker } from "./event-worker.ts";
import { type Deliver, newHttpDelivery } from "./http-delivery.ts";
import { openWebhookSecret } from "./webhook-secret.ts";

const SCHEDULER_AFTER_MS = 200;

/** Works on events, makes those that schedules ask for, and tidies up behind them, until disposed; then what runs is finished. */
export function startEvents(parts: {
  readonly config: {
    readonly dataDir: string;
    readonly eventResultsMs: number;
    readonly deadLettersMs: number;
    readonly privateDestinations: boolean;
  };
  readonly store: Pick<Store, "events" | "schedules">;
  readonly functions: Pick<Functions, "resolve" | "resolveCached">;
  readonly invocations: Pick<Invocations, "invoke">;
  readonly identity: Identity;
  readonly meters: EventMeters;
  /** Tells subjects of NATS. */
  readonly deliverToNats: Deliver;
  readonly clock: Clock;
  readonly log: Log;
}): AsyncDisposable & { readonly failed: Promise<never> } {
  const { config, store, functions, invocations, identity, meters, clock, log } = parts;
  const { events, schedules } = store;
  const { eventResultsMs, deadLettersMs } = config;
  const deliver = lazyDelivery(config.dataDir, config.privateDestinations, parts.deliverToNats);
  const worker = inBackground((signal) =>
    runEventWorker({ events, functions, invocations, deliver, identity, meters, clock, log }, { signal }),
  );
  const upkeep = inBackground((signal) =>
    runEventUpkeep({ ledger: events, resultsMs: eventResultsMs, deadLettersMs, clock, log }, { signal }),
  );
  // Loaded a moment later, since cron takes its time to load and the daemon's start is waited for.
  const scheduler = inBackground(async (signal) => {
    await clock.sleep(SCHEDULER_AFTER_MS, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    const { runScheduler } = await import("./scheduler.ts");
    const { accountId: account, region } = identity;
    await runScheduler({ schedules, events, identity: { account, region }, clock, log }, { signal });
  });
  const failed = Promise.race([worker.failed, upkeep.failed, scheduler.failed]);
  failed.catch(() => undefined);
  return {
    failed,
    async [Symbol.asyncDispose]() {
      await Promise.all([worker, upkeep, scheduler].map((part) => part[Symbol.asyncDispose]()));
    },
  };
}

/** Most daemons never tell an address anything, and need no secret. */
function lazyDelivery(dir: string, allowsPrivate: boolean, toNats: Deliver): Deliver {
  let deliver: Deliver | undefined;
  return async (delivery, options) => {
    if (/^(nats|tls):/.test(delivery.url)) {
      if (allowsPrivate) return await toNats(delivery, options);
      // Where a name leads is the client's business, so none is taken for public.
      const message = "servers of NATS are inside networks; set private-destinations to allow those";
      return { kind: "hopeless", condition: "DeliveryRefused", message };
    }
    deliver ??= newHttpDelivery({ secret: openWebhookSecret(dir), allowsPrivate });
    return await deliver(delivery, options);
  };
}
