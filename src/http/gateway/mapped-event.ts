/** Requests as the events that a route makes of them (core/route-event.ts), whatever way a function is written. */
import { isUtf8 } from "node:buffer";
import { PlatformError } from "../../core/errors.ts";
import { hostnameOf } from "../../core/host-meaning.ts";
import type { Json } from "../../core/json.ts";
import { fillTemplate, type Reference } from "../../core/route-event.ts";
import type { HandlerFormat, HttpEvent } from "./http-event.ts";
import { FORMAT_V2 } from "./payload-v2.ts";
import { queryPairs } from "./query.ts";
import { headerOf } from "./request-headers.ts";

/** What the function returns is read as in payload format 2.0. */
export function mappedFormat(template: Json): HandlerFormat {
  return {
    eventOf: (facts) => Buffer.from(JSON.stringify(fillTemplate(template, finder(facts)))),
    answerOf: FORMAT_V2.answerOf,
    isForAll: true,
  };
}

function finder(facts: HttpEvent): (reference: Reference) => Json | undefined {
  const { routed } = facts;
  let body: Json | undefined;
  let isRead = false;
  return ({ source, names }) => {
    const [name = ""] = names;
    switch (source) {
      case "request.path":
        return ofPairs(routed?.parameters ?? [], name);
      case "request.query":
        return ofPairs(queryPairs(facts.query), name);
      case "request.header":
        return headerText(facts, name.toLowerCase());
      case "request.body":
        if (!isRead) body = bodyOf(facts);
        isRead = true;
        return memberOf(body, names);
      case "request.method":
        return facts.method;
      case "request.rawPath":
        return facts.path;
      case "request.rawQuery":
        return facts.query;
      case "context.requestId":
        return facts.invocationId;
      case "context.routeKey":
        return routed?.key;
      case "context.host":
        return hostnameOf(facts.host);
      case "context.sourceIp":
        return facts.sourceIp;
      case "context.time":
        return new Date(facts.receivedAt).toISOString();
      case "context.timeEpoch":
        return facts.receivedAt;
      case "context.accessKey":
        return facts.caller?.accessKey;
      case "context.claims":
        return ofPairs(routed?.jwt?.claims ?? [], name);
      case "stageVariables":
        return ofPairs(routed?.stageVariables ?? [], name);
    }
  };
}

/** Several values are joined by a comma, as in payload format 2.0. */
function ofPairs(pairs: readonly (readonly [string, string])[], name: string): string | undefined {
  const values = pairs.filter(([own]) => own === name).map(([, value]) => value);
  return values.length === 0 ? undefined : values.join(",");
}

/** Only what functions get to see. */
function headerText({ head }: HttpEvent, name: string): string | undefined {
  return head.names.includes(name) ? headerOf(head, name) : undefined;
}

const JSON_TYPE = /^\s*application\/(?:[^;\s/]*\+)?json\s*(?:;|$)/i;

/** JSON as what it says, text as text, other bytes in base64. @throws PlatformError `InvalidPayload`. */
function bodyOf({ body, head }: HttpEvent): Json | undefined {
  if (body === undefined) return undefined;
  if (!JSON_TYPE.test(head.contentType ?? "")) return body.toString(isUtf8(body) ? "utf8" : "base64");
  try {
    return JSON.parse(body.toString());
  } catch (cause) {
    throw new PlatformError("InvalidPayload", "the request body is not the JSON that its content type says", {
      cause,
    });
  }
}

function memberOf(value: Json | undefined, names: readonly string[]): Json | undefined {
  let at = value;
  for (const name of names) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, name)) return undefined;
    at = new Map<string, Json>(Object.entries(at)).get(name);
  }
  return at;
}
