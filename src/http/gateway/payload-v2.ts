/**
 * Payload format 2.0: how Lambda hands an HTTP request to a handler, and reads its result as a response.
 * https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
 *
 * Request: header names in lower case, repeated values joined by a comma, cookies apart; `rawPath` and
 * `rawQueryString` as received, query values decoded; what is empty is left out. The body is text if its content type
 * is (`text/*`, JSON, XML, JavaScript) and it is UTF-8, else base64: forms too, as on Lambda.
 *
 * Response: an object with `statusCode` describes the response; anything else is 200 with its JSON, but a string is
 * sent raw.
 *
 * The event is put together as text, in one pass: parsing or building objects for it would cost more than all else.
 */
import { isUtf8 } from "node:buffer";
import { hostnameOf } from "../../core/host-meaning.ts";
import type {
  HandlerFormat,
  HttpAnswer,
  HttpEvent,
  JwtFacts,
  RoutedFacts,
  SignedCaller,
} from "./http-event.ts";
import { queryPairs } from "./query.ts";
import type { RequestHead } from "./request-headers.ts";
import {
  checkedStatus,
  InvalidFunctionResponse,
  isBodiless,
  type ReplyHeaders,
  ResponseHeaders,
} from "./response-headers.ts";

/** The event as UTF-8 JSON. */
export function eventOf(facts: HttpEvent): Buffer {
  const { head, body, caller, routed } = facts;
  const path = JSON.stringify(facts.path);
  const isText = body !== undefined && isTextual(head.contentType) && isUtf8(body);
  const texts = textsOf(head, facts.host);

  const routeKey = routed ? JSON.stringify(routed.key) : '"$default"';
  let json = `{"version":"2.0","routeKey":${routeKey},"rawPath":${path},"rawQueryString":${JSON.stringify(facts.query)}`;
  json += texts.cookies;
  json += `,"headers":${inBraces(texts.headers, membersJson(facts.addedHeaders))}`;
  if (facts.query !== "") json += queryJson(facts.query);
  const accountId = caller?.accountId ?? routed?.accountId ?? "anonymous";
  json += `,"requestContext":{"accountId":${JSON.stringify(accountId)}`;
  json += `,"apiId":${JSON.stringify(facts.apiId)}`;
  if (caller) json += `,"authorizer":{"iam":${callerJson(caller)}}`;
  else if (routed?.jwt) json += `,"authorizer":{"jwt":${jwtJson(routed.jwt)}}`;
  json += `${texts.domain},"http":{"method":"${facts.method}","path":${path},"protocol":"${facts.protocol}"`;
  json += `,"sourceIp":"${facts.sourceIp}","userAgent":${texts.userAgent}}`;
  json += `,"requestId":"${facts.invocationId}","routeKey":${routeKey},"stage":"$default"`;
  json += `,"time":"${commonLogTime(facts.receivedAt)}","timeEpoch":${facts.receivedAt}}`;
  if (routed) json += routedJson(routed);
  if (body !== undefined) json += isText ? `,"body":${JSON.stringify(body.toString())}` : base64Json(body);
  json += `,"isBase64Encoded":${body !== undefined && !isText}}`;
  return Buffer.from(json);
}

function routedJson({ parameters, stageVariables }: RoutedFacts): string {
  let json = "";
  if (parameters.length > 0) json += `,"pathParameters":${pairsJson(parameters)}`;
  if (stageVariables.length > 0) json += `,"stageVariables":${pairsJson(stageVariables)}`;
  return json;
}

/** What AWS's JWT authorizers tell, in both formats. */
export function jwtJson({ claims, scopes }: JwtFacts): string {
  return `{"claims":${pairsJson(claims)},"scopes":${JSON.stringify(scopes ?? null)}}`;
}

/** An object with these members, whatever they are called. */
export function pairsJson(pairs: readonly (readonly [name: string, value: string])[]): string {
  return `{${pairs.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(",")}}`;
}

/** Whether Lambda treats that content type as text. */
export function isTextual(contentType: string | undefined): boolean {
  return contentType !== undefined && TEXTUAL.test(contentType);
}

const TEXTUAL =
  /^\s*(?:text\/|application\/(?:[^;\s/]*\+)?(?:json|xml|javascript|x-javascript|ecmascript)\s*(?:;|$))/i;

function base64Json(body: Buffer): string {
  return `,"body":"${body.toString("base64")}"`;
}

function firstLabel(hostname: string): string {
  const dot = hostname.indexOf(".");
  return dot === -1 ? hostname : hostname.slice(0, dot);
}

function cookiesJson(cookie: string): string {
  return JSON.stringify(
    cookie
      .split(";")
      .map((pair) => pair.trim())
      .filter((pair) => pair !== ""),
  );
}

function callerJson(caller: SignedCaller): string {
  const { accessKey, accountId, userArn, userId } = caller;
  return JSON.stringify({
    accessKey,
    accountId,
    callerId: userId,
    cognitoIdentity: null,
    principalOrgId: null,
    userArn,
    userId,
  });
}

/** What an event takes from the head of a request, and its host. */
interface HeadTexts {
  readonly host: string;
  /** Members without braces, each with a comma behind it. */
  readonly headers: string;
  /** A member with a comma before it, or nothing. */
  readonly cookies: string;
  /** Two members with a comma before each. */
  readonly domain: string;
  readonly userAgent: string;
}

/** Of heads that many requests of one connection share (`headOf`). */
const knownTexts = new WeakMap<RequestHead, HeadTexts>();

function textsOf(head: RequestHead, host: string): HeadTexts {
  if (!head.isShared) return newTexts(head, host);
  const known = knownTexts.get(head);
  if (known?.host === host) return known;
  const texts = newTexts(head, host);
  knownTexts.set(head, texts);
  return texts;
}

function newTexts(head: RequestHead, host: string): HeadTexts {
  const hostname = hostnameOf(host);
  return {
    host,
    headers: headersJson(head),
    cookies: head.cookie === undefined ? "" : `,"cookies":${cookiesJson(head.cookie)}`,
    domain: `,"domainName":${JSON.stringify(hostname)},"domainPrefix":${JSON.stringify(firstLabel(hostname))}`,
    userAgent: JSON.stringify(head.userAgent ?? ""),
  };
}

/** Names are tokens (the parser saw to that), so they need no escaping. */
function headersJson({ names, raw }: RequestHead): string {
  let json = "";
  for (let i = 0; i < names.length; i++) {
    const name = names[i] ?? "";
    if (name === "" || name === "cookie") continue;
    if (names.indexOf(name) !== i) continue;
    let value = raw[i * 2 + 1] ?? "";
    for (let again = names.indexOf(name, i + 1); again !== -1; again = names.indexOf(name, again + 1)) {
      value += `,${raw[again * 2 + 1] ?? ""}`;
    }
    json += `"${name}":${JSON.stringify(value)},`;
  }
  return json;
}

/** Of names in lower case and values in turn; without braces. Names need no escaping. */
function membersJson(added: readonly string[]): string {
  let json = "";
  for (let i = 0; i < added.length; i += 2) {
    json += `${i === 0 ? "" : ","}"${added[i]}":${JSON.stringify(added[i + 1])}`;
  }
  return json;
}

/** `first` has a comma behind each member. */
function inBraces(first: string, others: string): string {
  return others === "" ? `{${first.slice(0, -1)}}` : `{${first}${others}}`;
}

function queryJson(query: string): string {
  const pairs = queryPairs(query);
  if (pairs.length < 2) return parametersJson(pairs);
  const values = new Map<string, string>();
  for (const [name, value] of pairs) {
    const before = values.get(name);
    values.set(name, before === undefined ? value : `${before},${value}`);
  }
  return parametersJson(values);
}

function parametersJson(values: Iterable<readonly [name: string, value: string]>): string {
  let json = "";
  for (const [name, value] of values) json += `,${JSON.stringify(name)}:${JSON.stringify(value)}`;
  return json === "" ? "" : `,"queryStringParameters":{${json.slice(1)}}`;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
let timeOfSecond = { second: -1, text: "" };

/** `12/Mar/2020:19:03:58 +0000`; made once a second. */
export function commonLogTime(at: number): string {
  const second = Math.floor(at / 1000);
  if (second !== timeOfSecond.second) {
    const date = new Date(at);
    const day = String(date.getUTCDate()).padStart(2, "0");
    const clock = date.toISOString().slice(11, 19);
    const text = `${day}/${MONTHS[date.getUTCMonth()]}/${date.getUTCFullYear()}:${clock} +0000`;
    timeOfSecond = { second, text };
  }
  return timeOfSecond.text;
}

/**
 * What a handler's result means as a response.
 *
 * @throws InvalidFunctionResponse if it describes none: not JSON, a status, header or body that HTTP cannot carry.
 */
export function answerOf(payload: Uint8Array, reply: ReplyHeaders): HttpAnswer {
  const value = parseResult(payload);
  if (isRecord(value) && "statusCode" in value) return described(value, reply);
  const headers = new ResponseHeaders(reply);
  headers.add("content-type", "application/json");
  return { status: 200, headers: headers.finish(), body: typeof value === "string" ? value : payload };
}

/** Status and headers of a response that a streaming handler describes before its body. */
export function preludeOf(prelude: Uint8Array, reply: ReplyHeaders): Pick<HttpAnswer, "status" | "headers"> {
  const value = parseResult(prelude);
  if (!isRecord(value))
    throw new InvalidFunctionResponse("the prelude of a streamed response must be an object");
  const headers = new ResponseHeaders(reply);
  addDescribedHeaders(headers, value);
  return { status: checkedStatus(value.statusCode ?? 200), headers: headers.finish() };
}

function described(value: Readonly<Record<string, unknown>>, reply: ReplyHeaders): HttpAnswer {
  const status = checkedStatus(value.statusCode);
  const headers = new ResponseHeaders(reply);
  addDescribedHeaders(headers, value);
  if (isBodiless(status)) return { status, headers: headers.finish(), body: "" };
  if (!headers.hasType) headers.add("content-type", "application/json");
  return { status, headers: headers.finish(), body: describedBody(value) };
}

function describedBody(value: Readonly<Record<string, unknown>>): string | Uint8Array {
  const { body, isBase64Encoded } = value;
  checkBase64Flag(isBase64Encoded);
  if (body === undefined || body === null) return "";
  return typeof body === "string" ? decodedBody(body, isBase64Encoded) : JSON.stringify(body);
}

/** @throws InvalidFunctionResponse if the flag is none, or the text is not what it says. */
export function decodedBody(body: string, isBase64Encoded: unknown): string | Uint8Array {
  checkBase64Flag(isBase64Encoded);
  if (!isBase64Encoded) return body;
  if (!BASE64.test(body))
    throw new InvalidFunctionResponse("body is not base64 although isBase64Encoded is true");
  return Buffer.from(body, "base64");
}

function checkBase64Flag(flag: unknown): void {
  if (flag === undefined || flag === null || typeof flag === "boolean") return;
  throw new InvalidFunctionResponse(`isBase64Encoded must be true or false, got ${JSON.stringify(flag)}`);
}

/** One class without alternatives, so that no input makes it slow. */
const BASE64 = /^[A-Za-z0-9+/_=\s-]*$/;

function addDescribedHeaders(headers: ResponseHeaders, value: Readonly<Record<string, unknown>>): void {
  const { headers: single, multiValueHeaders: multiple, cookies } = value;
  // A name in both maps: the one that can say more wins, as with payload format 1.0.
  const repeated = new Set<string>();
  if (multiple !== undefined && multiple !== null) {
    if (!isRecord(multiple)) throw new InvalidFunctionResponse("multiValueHeaders must be an object");
    for (const name of Object.keys(multiple)) {
      repeated.add(name.toLowerCase());
      addValues(headers, name, multiple[name]);
    }
  }
  if (single !== undefined && single !== null) {
    if (!isRecord(single)) throw new InvalidFunctionResponse("headers must be an object");
    for (const name of Object.keys(single)) {
      if (!repeated.has(name.toLowerCase())) addValues(headers, name, single[name]);
    }
  }
  if (cookies === undefined || cookies === null) return;
  if (!Array.isArray(cookies)) throw new InvalidFunctionResponse("cookies must be a list of strings");
  for (const cookie of cookies) {
    if (typeof cookie !== "string") throw new InvalidFunctionResponse("cookies must be a list of strings");
    headers.add("set-cookie", cookie);
  }
}

/** Lists are joined by a comma, but for cookies, whose dates have commas of their own. */
function addValues(headers: ResponseHeaders, name: string, value: unknown): void {
  if (value === undefined || value === null) return;
  if (!Array.isArray(value)) headers.add(name, scalar(name, value));
  else if (name.toLowerCase() === "set-cookie") for (const one of value) headers.add(name, scalar(name, one));
  else if (value.length > 0) headers.add(name, value.map((one) => scalar(name, one)).join(","));
}

function scalar(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  throw new InvalidFunctionResponse(
    `the value of header ${JSON.stringify(name)} must be text, a number or a boolean`,
  );
}

/** @throws InvalidFunctionResponse if it is not JSON. */
export function parseResult(payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString());
  } catch (cause) {
    throw new InvalidFunctionResponse("the result is not JSON", { cause });
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export const FORMAT_V2: HandlerFormat = { eventOf, answerOf, isForAll: false };
