/** What an extension asks for when it subscribes: PUT /2022-07-01/telemetry, and the older PUT /2020-08-15/logs. */

export type TelemetryCategory = "platform" | "function" | "extension";

export interface TelemetrySubscription {
  readonly api: "telemetry" | "logs";
  readonly types: readonly TelemetryCategory[];
  readonly itemsMax: number;
  readonly bytesMax: number;
  readonly timeoutMs: number;
  readonly destination: TelemetryDestination;
}

export type TelemetryDestination =
  | {
      readonly protocol: "HTTP";
      readonly port: number;
      readonly path: string;
      readonly method: "POST" | "PUT";
    }
  | { readonly protocol: "TCP"; readonly port: number };

const SCHEMAS: Readonly<Record<TelemetrySubscription["api"], readonly string[]>> = {
  telemetry: ["2022-07-01", "2022-12-13", "2025-01-29"],
  logs: ["2020-08-15", "2021-03-18"],
};
const CATEGORIES: readonly TelemetryCategory[] = ["platform", "function", "extension"];
const HOSTS: readonly string[] = ["sandbox.localdomain", "sandbox"];
/** The Runtime API's own. */
const PORT_REFUSED = 9001;

const RANGES = {
  maxItems: { min: 1_000, max: 10_000, usual: 10_000 },
  maxBytes: { min: 262_144, max: 1_048_576, usual: 262_144 },
  timeoutMs: { min: 25, max: 30_000, usual: 1_000 },
} as const;

/** Gives the subscription, or the sentence why it is refused. */
export function parseSubscription(
  api: TelemetrySubscription["api"],
  text: string | undefined,
): TelemetrySubscription | string {
  let body: unknown;
  try {
    body = JSON.parse(text ?? "");
  } catch {
    return "the body is not JSON";
  }
  const { schemaVersion, types, buffering = {}, destination } = Object(body);
  if (schemaVersion !== undefined && !SCHEMAS[api].includes(schemaVersion)) {
    return `schemaVersion: expected one of ${SCHEMAS[api].join(", ")}`;
  }
  const isList = Array.isArray(types) && types.length > 0 && types.every((type) => CATEGORIES.includes(type));
  if (!isList) return `types: expected at least one of ${CATEGORIES.join(", ")}`;
  const limits: Record<keyof typeof RANGES, number> = { maxItems: 0, maxBytes: 0, timeoutMs: 0 };
  for (const name of ["maxItems", "maxBytes", "timeoutMs"] as const) {
    const { min, max, usual } = RANGES[name];
    const value: unknown = Object(buffering)[name] ?? usual;
    if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
      return `buffering.${name}: expected a whole number from ${min} to ${max}`;
    }
    limits[name] = value;
  }
  const parsed = parseDestination(destination);
  if (typeof parsed === "string") return parsed;
  return {
    api,
    types: CATEGORIES.filter((category) => types.includes(category)),
    itemsMax: limits.maxItems,
    bytesMax: limits.maxBytes,
    timeoutMs: limits.timeoutMs,
    destination: parsed,
  };
}

function parseDestination(value: unknown): TelemetryDestination | string {
  const { protocol, URI, uri = URI, port, method = "POST", encoding = "JSON" } = Object(value);
  if (protocol === "TCP") {
    return isPort(port) ? { protocol, port } : "destination.port: expected a port other than 9001";
  }
  if (protocol !== "HTTP") return "destination.protocol: expected HTTP or TCP";
  if (encoding !== "JSON") return "destination.encoding: expected JSON";
  if (method !== "POST" && method !== "PUT") return "destination.method: expected POST or PUT";
  const url = URL.parse(String(uri));
  if (url?.protocol !== "http:" || !HOSTS.includes(url.hostname)) {
    return "destination.URI: expected http://sandbox.localdomain:PORT/PATH";
  }
  const number = url.port === "" ? 80 : Number(url.port);
  if (!isPort(number)) return "destination.URI: expected a port other than 9001";
  return { protocol, port: number, path: `${url.pathname}${url.search}`, method };
}

function isPort(value: unknown): value is number {
  return (
    typeof value === "number" &&
    Number.isInteger(value) &&
    value > 0 &&
    value < 65_536 &&
    value !== PORT_REFUSED
  );
}
