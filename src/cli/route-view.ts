import { Fields } from "./wire.ts";

/** A route as docs/api.md shows one. */
export interface RouteView {
  readonly id: string;
  readonly route: string;
  readonly host: string | undefined;
  /** `stock:prod`, or `responds 200`. */
  readonly leadsTo: string;
  readonly url: string;
  readonly facts: readonly (readonly [name: string, value: string | undefined])[];
  /** What it asks of callers and does besides, in words; none of it is usual. */
  readonly rules: readonly string[];
}

export function readRoute(value: unknown): RouteView {
  const fields = new Fields("route", value);
  const response = fields.optionalObject("response");
  const stageVariables = fields.optionalObject("stageVariables")?.texts() ?? {};
  const auth = fields.object("auth");
  const cors = fields.optionalObject("cors");
  const limit = fields.optionalObject("limit");
  const rules = [
    response === undefined && fields.truth("async") ? "async" : "",
    fields.optionalText("payload") === "1.0" ? "payload 1.0" : "",
    fields.value("event") === undefined ? "" : "event",
    auth.text("type") === "none" ? "" : auth.text("type"),
    cors ? "cors" : "",
    limit ? rateText(limit) : "",
  ].filter((rule) => rule !== "");
  return {
    id: fields.text("id"),
    route: fields.text("route"),
    host: fields.optionalText("host"),
    leadsTo: response === undefined ? functionOf(fields) : `responds ${response.number("status")}`,
    url: fields.text("url"),
    rules,
    facts: [
      ["Strip prefix", fields.optionalText("stripPrefix")],
      ["Event", fields.value("event") === undefined ? undefined : JSON.stringify(fields.value("event"))],
      ["Variables", pairsText(stageVariables)],
      ["Tokens of", auth.optionalText("issuer")],
      ["For", auth.value("audience") === undefined ? undefined : auth.list("audience").join(", ")],
      ["With", auth.value("scopes") === undefined ? undefined : auth.list("scopes").join(" or ")],
      ["Keys", keysText(auth)],
      ["Origins", cors?.list("origins").join(", ")],
      ["Burst", limit && `${limit.number("burst")} per ${limit.text("per")}`],
      ["Headers", response && pairsText(response.object("headers").texts())],
      ["Body", response?.text("body")],
      ["Description", fields.optionalText("description")],
    ],
  };
}

export const ROUTE_TITLES = ["ROUTE", "HOST", "LEADS TO", "RULES", "ID"];

export function routeRow({ route, host, leadsTo, rules, id }: RouteView): string[] {
  return [route, host ?? "any", leadsTo, rules.length === 0 ? "-" : rules.join(", "), id];
}

export function routeFacts(view: RouteView): (readonly [string, string | undefined])[] {
  return [
    ["Id", view.id],
    ["Route", view.route],
    ["Host", view.host ?? "any"],
    ["Leads to", view.leadsTo],
    ["URL", view.url],
    ["Rules", view.rules.join(", ")],
    ...view.facts,
  ];
}

/** By host, those for any last, then by path: what people look for stands together. */
export function inReadingOrder(a: RouteView, b: RouteView): number {
  const key = ({ host, route }: RouteView) => `${host ?? LAST} ${route.replace(/^\S+ /, "")} ${route}`;
  const [first, second] = [key(a), key(b)];
  return first < second ? -1 : first > second ? 1 : 0;
}

/** Behind every host name. */
const LAST = "\u{7f}";

function keysText(auth: Fields): string | undefined {
  if (auth.text("type") !== "jwt") return undefined;
  const keys = auth.optionalObject("jwks")?.list("keys");
  return auth.optionalText("jwksUrl") ?? (keys ? `${keys.length} of its own` : "a secret");
}

/** `10/s`, in the unit in which it is a whole number, if there is one. */
function rateText(limit: Fields): string {
  const perSecond = limit.number("perSecond");
  const units: readonly (readonly [unit: string, seconds: number])[] = [
    ["s", 1],
    ["m", 60],
    ["h", 3_600],
  ];
  for (const [unit, seconds] of units) {
    const count = Number((perSecond * seconds).toFixed(6));
    if (Number.isInteger(count)) return `${count}/${unit}`;
  }
  return `${perSecond}/s`;
}

function functionOf(fields: Fields): string {
  const qualifier = fields.optionalText("qualifier");
  return `${fields.text("function")}${qualifier === undefined ? "" : `:${qualifier}`}`;
}

function pairsText(pairs: Readonly<Record<string, string>>): string {
  return Object.entries(pairs)
    .map(([name, value]) => `${name}=${value}`)
    .join(", ");
}
