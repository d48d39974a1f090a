/**
 * Events made of requests: a template in JSON, in whose texts `${request.path.symbol}` and the like stand for parts of the
 * request. A text that is nothing but one reference becomes what it refers to, with its type; in other texts references
 * become text. What is not there is null, or nothing in a text. `$${` is `${`.
 *
 * Values are put into places of a value and not into a text that is read afterwards, so that no request can change what
 * the event is made of.
 */
import { PlatformError } from "./errors.ts";
import type { Json } from "./json.ts";

export interface Reference {
  /** `path`, `query`, `header`, `body`, `method` … */
  readonly source: ReferenceSource;
  /** What of it; of a body the way to a member. */
  readonly names: readonly string[];
}

/** What can be referred to, and whether a name follows: never, always, or as it likes. */
const SOURCES = {
  "request.path": "name",
  "request.query": "name",
  "request.header": "name",
  "request.body": "names",
  "request.method": "none",
  "request.rawPath": "none",
  "request.rawQuery": "none",
  "context.requestId": "none",
  "context.routeKey": "none",
  "context.host": "none",
  "context.sourceIp": "none",
  "context.time": "none",
  "context.timeEpoch": "none",
  "context.accessKey": "none",
  "context.claims": "name",
  stageVariables: "name",
} as const;

export type ReferenceSource = keyof typeof SOURCES;

const TEMPLATE_BYTES_MAX = 64 * 1024;
const DEPTH_MAX = 32;
const NAME = /^[^\s{}$]{1,256}$/;

/** @throws PlatformError `InvalidRequest` for a reference to what there is not, or too large a template. */
export function parseEventTemplate(value: unknown): Json {
  const text = JSON.stringify(value);
  if (text === undefined || Buffer.byteLength(text) > TEMPLATE_BYTES_MAX) {
    throw invalid(`expected JSON of at most ${TEMPLATE_BYTES_MAX} bytes`);
  }
  return checked(value, 0);
}

function checked(value: unknown, depth: number): Json {
  if (depth > DEPTH_MAX) throw invalid(`at most ${DEPTH_MAX} values within one another`);
  if (typeof value === "string") {
    for (const part of partsOf(value)) if (typeof part !== "string") checkNames(part);
    return value;
  }
  if (typeof value === "number" || typeof value === "boolean" || value === null) return value;
  if (Array.isArray(value)) return value.map((one) => checked(one, depth + 1));
  if (typeof value !== "object") throw invalid("expected JSON");
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, checked(one, depth + 1)]));
}

function checkNames({ source, names }: Reference): void {
  const wants = SOURCES[source];
  const fits = wants === "names" || (wants === "none" ? names.length === 0 : names.length === 1);
  if (fits) return;
  throw invalid(
    `\${${[source, ...names].join(".")}}: expected ${wants === "none" ? "no name" : "one name"} after ${source}`,
  );
}

/** Texts and references in turn. @throws PlatformError `InvalidRequest`. */
export function partsOf(text: string): (string | Reference)[] {
  const parts: (string | Reference)[] = [];
  let rest = text;
  let literal = "";
  for (let at = rest.indexOf("${"); at !== -1; at = rest.indexOf("${")) {
    if (rest[at - 1] === "$") {
      literal += `${rest.slice(0, at - 1)}\${`;
      rest = rest.slice(at + 2);
      continue;
    }
    const end = rest.indexOf("}", at);
    if (end === -1) throw invalid(`${JSON.stringify(text.slice(0, 80))}: a reference is not closed`);
    literal += rest.slice(0, at);
    if (literal !== "") parts.push(literal);
    literal = "";
    parts.push(parseReference(rest.slice(at + 2, end)));
    rest = rest.slice(end + 1);
  }
  literal += rest;
  if (literal !== "" || parts.length === 0) parts.push(literal);
  return parts;
}

function parseReference(text: string): Reference {
  for (const source of SOURCE_NAMES) {
    if (text === source) return { source, names: [] };
    if (!text.startsWith(`${source}.`)) continue;
    const rest = text.slice(source.length + 1);
    const names = SOURCES[source] === "names" ? rest.split(".") : [rest];
    if (names.every((name) => NAME.test(name))) return { source, names };
  }
  throw invalid(
    `\${${text.slice(0, 80)}}: expected one of ${SOURCE_NAMES.join(", ")}, with a name behind where there are several`,
  );
}

const SOURCE_NAMES = Object.keys(SOURCES) as ReferenceSource[];

function invalid(why: string): PlatformError {
  return new PlatformError("InvalidRequest", `event: ${why}`);
}

/** What a template comes to; `find` gives what a reference refers to, undefined if that is not there. */
export function fillTemplate(template: Json, find: (reference: Reference) => Json | undefined): Json {
  if (typeof template === "string") return fillText(template, find);
  if (Array.isArray(template)) return template.map((one: Json) => fillTemplate(one, find));
  if (typeof template !== "object" || template === null) return template;
  return Object.fromEntries(Object.entries(template).map(([name, one]) => [name, fillTemplate(one, find)]));
}

function fillText(text: string, find: (reference: Reference) => Json | undefined): Json {
  if (!text.includes("${")) return text;
  const parts = partsOf(text);
  const [only] = parts;
  if (parts.length === 1 && only !== undefined && typeof only !== "string") return find(only) ?? null;
  return parts.map((part) => (typeof part === "string" ? part : textOf(find(part)))).join("");
}

function textOf(value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}
