/** What browsers are told about requests from other origins: https://fetch.spec.whatwg.org/#http-cors-protocol */
import type { CorsRules } from "../../core/route.ts";
import { headerOf, type RequestHead } from "./request-headers.ts";

/** Headers for a response to that origin: names and values in turn, none if the origin is not allowed. */
export function corsHeaders(rules: CorsRules, head: RequestHead): string[] {
  const allowed = allowedOrigin(rules, head.origin);
  if (allowed === undefined) return [];
  const headers = ["access-control-allow-origin", allowed, "vary", "Origin"];
  if (rules.allowsCredentials) headers.push("access-control-allow-credentials", "true");
  if (rules.exposed.length > 0) headers.push("access-control-expose-headers", rules.exposed.join(","));
  return headers;
}

/** Whether a browser asks if it may send the real request. It is answered here, without the function. */
export function isPreflight(method: string | undefined, head: RequestHead): boolean {
  return method === "OPTIONS" && head.origin !== undefined && preflightMethod(head) !== undefined;
}

/** Of the request that is to follow. */
export function preflightMethod(head: RequestHead): string | undefined {
  return headerOf(head, "access-control-request-method");
}

/** What the answer to a preflight has besides `corsHeaders`. */
export function preflightHeaders(rules: CorsRules, head: RequestHead): string[] {
  if (allowedOrigin(rules, head.origin) === undefined) return [];
  const headers = [
    "access-control-allow-methods",
    orAsked(rules.methods, head, "access-control-request-method"),
  ];
  const allowHeaders = orAsked(rules.headers, head, "access-control-request-headers");
  if (allowHeaders !== "") headers.push("access-control-allow-headers", allowHeaders);
  if (rules.maxAgeS !== undefined) headers.push("access-control-max-age", String(rules.maxAgeS));
  return headers;
}

/** `*` is spelt out as what was asked for, since with credentials browsers take a star literally. */
function orAsked(allowed: readonly string[], head: RequestHead, asked: string): string {
  return allowed.includes("*") ? (headerOf(head, asked) ?? "") : allowed.join(",");
}

/** A star stays a star: browsers then refuse to send credentials, as they should. */
function allowedOrigin({ origins }: CorsRules, origin: string | undefined): string | undefined {
  if (origin === undefined) return undefined;
  if (origins.includes("*")) return "*";
  return origins.includes(origin) ? origin : undefined;
}
