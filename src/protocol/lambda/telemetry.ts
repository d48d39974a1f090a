/** The Telemetry API (2022-07-01) and its predecessor, the Logs API (2020-08-15), of one sandbox. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TelemetryEvent } from "../../core/telemetry.ts";
import type { TelemetrySink } from "../protocol.ts";
import { readText, refuse, reply } from "./runtime-api-wire.ts";
import { type Connect, TelemetryDelivery } from "./telemetry-delivery.ts";
import { parseSubscription, type TelemetrySubscription } from "./telemetry-subscription.ts";

const SUBSCRIPTION_BYTES_MAX = 16 * 1024;
/** Of what was told before anybody could subscribe. */
const EARLY_EVENTS_MAX = 1_000;

export class Telemetry implements TelemetrySink, Disposable {
  readonly #connect: Connect;
  readonly #deliveries = new Map<string, TelemetryDelivery>();
  /** Kept for those who subscribe during initialisation; undefined once nobody else can. */
  #early: TelemetryEvent[] | undefined = [];

  constructor(connect: Connect) {
    this.#connect = connect;
  }

  get isWanted(): boolean {
    return this.#early !== undefined || this.#deliveries.size > 0;
  }

  take(event: TelemetryEvent): void {
    if (this.#early && this.#early.length < EARLY_EVENTS_MAX) this.#early.push(event);
    for (const delivery of this.#deliveries.values()) deliver(delivery, event);
  }

  /** Initialisation is over: nobody else can subscribe. */
  close(): void {
    this.#early = undefined;
  }

  async subscribe(
    api: TelemetrySubscription["api"],
    extensionName: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const title = api === "telemetry" ? "Telemetry" : "Logs";
    const text = await readText(request, SUBSCRIPTION_BYTES_MAX);
    if (!this.#early) {
      const message = `${title} API subscription is closed already`;
      return refuse(response, 403, `${title}.SubscriptionClosed`, message);
    }
    const subscription = parseSubscription(api, text);
    if (typeof subscription === "string") return refuse(response, 400, "ValidationError", subscription);
    this.#deliveries.get(extensionName)?.[Symbol.dispose]();
    const delivery = new TelemetryDelivery(subscription, this.#connect);
    this.#deliveries.set(extensionName, delivery);
    reply(response, 200, "OK");
    for (const event of this.#early) deliver(delivery, event);
    this.take({
      at: Date.now(),
      type: api === "telemetry" ? "platform.telemetrySubscription" : "platform.logsSubscription",
      record: { name: extensionName, state: "Subscribed", types: subscription.types },
    });
  }

  /** Sends what is still waiting. */
  async flush(): Promise<void> {
    await Promise.all([...this.#deliveries.values()].map((delivery) => delivery.flush()));
  }

  [Symbol.dispose](): void {
    for (const delivery of this.#deliveries.values()) delivery[Symbol.dispose]();
  }
}

function deliver(delivery: TelemetryDelivery, event: TelemetryEvent): void {
  const { api, types } = delivery.subscription;
  const category = event.type.split(".", 1)[0];
  if (!types.some((type) => type === category)) return;
  for (const shown of api === "telemetry" ? [event] : inLogsWords(event)) delivery.add(shown);
}

/** The Logs API knows no initialisation, and says the end of an invocation apart from its report. */
function inLogsWords(event: TelemetryEvent): readonly TelemetryEvent[] {
  if (/^platform\.(init|telemetrySubscription)/.test(event.type)) return [];
  if (event.type !== "platform.runtimeDone") return [event];
  const { requestId, status } = Object(event.record);
  return [
    { ...event, record: { requestId, status } },
    { at: event.at, type: "platform.end", record: { requestId } },
  ];
}
