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
  const rules = response === undefined && fields.truth("async") ? ["async"] : [];
  return {
    id: fields.text("id"),
    route: fields.text("route"),
    host: fields.optionalText("host"),
    leadsTo: response === undefined ? functionOf(fields) : `responds ${response.number("status")}`,
    url: fields.text("url"),
    rules,
    facts: [
      ["Strip prefix", fields.optionalText("stripPrefix")],
      ["Variables", pairsText(stageVariables)],
      ["Headers", response && pairsText(response.object("headers").texts())],
      ["Body", response?.text("body")],
      ["For", fields.optionalText("description")],
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

function functionOf(fields: Fields): string {
  const qualifier = fields.optionalText("qualifier");
  return `${fields.text("function")}${qualifier === undefined ? "" : `:${qualifier}`}`;
}

function pairsText(pairs: Readonly<Record<string, string>>): string {
  return Object.entries(pairs)
    .map(([name, value]) => `${name}=${value}`)
    .join(", ");
}
