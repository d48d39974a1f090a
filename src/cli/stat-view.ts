import type { Fields } from "./wire.ts";

/** What was counted in a span of time, as `GET …/stats` tells it. */
export interface StatView {
  readonly invocations: number;
  readonly errors: number;
  readonly timeouts: number;
  readonly crashes: number;
  readonly throttles: number;
  /** Undefined where nothing ran. */
  readonly duration: SpansView | undefined;
  readonly coldStarts: number;
  readonly init: SpansView | undefined;
  readonly concurrencyMax: number;
  readonly instancesMax: number;
  readonly memoryMibMax: number;
  readonly events: { readonly received: number; readonly dropped: number; readonly undelivered: number };
}

/** ms */
interface SpansView {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export function readStat(fields: Fields): StatView {
  const events = fields.object("events");
  return {
    invocations: fields.number("invocations"),
    errors: fields.number("errors"),
    timeouts: fields.number("timeouts"),
    crashes: fields.number("crashes"),
    throttles: fields.number("throttles"),
    duration: readSpans(fields.optionalObject("durationMs")),
    coldStarts: fields.number("coldStarts"),
    init: readSpans(fields.optionalObject("initMs")),
    concurrencyMax: fields.number("concurrencyMax"),
    instancesMax: fields.number("instancesMax"),
    memoryMibMax: fields.number("memoryMibMax"),
    events: {
      received: events.number("received"),
      dropped: events.number("dropped"),
      undelivered: events.number("undelivered"),
    },
  };
}

function readSpans(fields: Fields | undefined): SpansView | undefined {
  if (!fields) return undefined;
  const [p50, p90, p99, max] = [
    fields.number("p50"),
    fields.number("p90"),
    fields.number("p99"),
    fields.number("max"),
  ];
  return { p50, p90, p99, max };
}
