/**
 * The event of payload format 2.0: header names in lower case, repeated values joined by a comma, cookies apart; `rawPath` and
 * `rawQueryString` as received, query values decoded; what is empty is left out. The body is text if its content type
 * is (`text/*`, JSON, XML, JavaScript) and it is UTF-8, else base64: forms too, as on Lambda.
 *
 * It is put together of bytes that are kept as long as a client asks for the same: parsing or building objects for it would
 * cost more than all else.
 */
import { isUtf8 } from "node:buffer";
import { hostnameOf } from "../../core/host-meaning.ts";
import type { HttpEvent, JwtFacts, RoutedFacts, SignedCaller } from "./http-event.ts";
import { queryPairs } from "./query.ts";
import type { RequestHead } from "./request-headers.ts";

/** The event as UTF-8 JSON. */
export function eventOf(facts: HttpEvent): Buffer {
  const { body, receivedAt } = facts;
  const isText = body !== undefined && isTextual(facts.head.contentType) && isUtf8(body);
  const { untilTime, traceAt, idAt, end } = piecesOf(facts);
  let json = `${commonLogTime(receivedAt)}","timeEpoch":${receivedAt}}${end}`;
  if (body !== undefined) json += isText ? `,"body":${JSON.stringify(body.toString())}` : base64Json(body);
  json += `,"isBase64Encoded":${body !== undefined && !isText}}`;
  const event = Buffer.allocUnsafe(untilTime.length + Buffer.byteLength(json));
  event.set(untilTime);
  event.write(traceOf(facts), traceAt, "latin1");
  event.write(facts.invocationId, idAt, "latin1");
  event.write(json, untilTime.length);
  return event;
}

/** What of an event is not of the call alone. */
interface EventPieces {
  readonly of: PiecesOf;
  /** As of the first such call: trace and id of the others are written over its own. */
  readonly untilTime: Buffer;
  readonly traceAt: number;
  readonly idAt: number;
  /** Behind the context. */
  readonly end: string;
}

/** The facts that make them what they are, beside headers and host. */
type PiecesOf = Pick<
  HttpEvent,
  "path" | "query" | "method" | "apiId" | "sourceIp" | "protocol" | "addedHeaders"
>;

/** Clients mostly ask for the same again: of each connection the pieces of its last request are kept. */
function piecesOf(facts: HttpEvent): EventPieces {
  const texts = textsOf(facts.head, facts.host);
  if (texts.last && isAlike(texts.last.of, facts)) return texts.last;
  const pieces = newPieces(facts, texts);
  // Who called by which route is too much to compare.
  if (!facts.routed && !facts.caller && facts.head.isShared) texts.last = pieces;
  return pieces;
}

/** Of requests with the same headers, and without route and caller: whether their events have the same pieces. */
function isAlike(one: PiecesOf, other: HttpEvent): boolean {
  return (
    one.path === other.path &&
    one.query === other.query &&
    one.method === other.method &&
    one.apiId === other.apiId &&
    one.sourceIp === other.sourceIp &&
    one.protocol === other.protocol &&
    !other.routed &&
    !other.caller &&
    haveSameButTrace(one.addedHeaders, other.addedHeaders)
  );
}

const TRACE_NAME = "x-amzn-trace-id";

/** Of traces only the length counts. */
function haveSameButTrace(one: readonly string[], other: readonly string[]): boolean {
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) {
    if (one[i] === other[i]) continue;
    const isTrace = i % 2 === 1 && one[i - 1] === TRACE_NAME;
    if (!isTrace || one[i]?.length !== other[i]?.length) return false;
  }
  return true;
}

/** It needs no escaping; empty if there is none. */
function traceOf({ addedHeaders }: HttpEvent): string {
  const at = addedHeaders.indexOf(TRACE_NAME);
  return at === -1 ? "" : (addedHeaders[at + 1] ?? "");
}

function newPieces(facts: HttpEvent, texts: HeadTexts): EventPieces {
  const { caller, routed } = facts;
  const path = JSON.stringify(facts.path);
  const routeKey = routed ? JSON.stringify(routed.key) : '"$default"';
  let json = `{"version":"2.0","routeKey":${routeKey},"rawPath":${path},"rawQueryString":${JSON.stringify(facts.query)}`;
  json += `${texts.cookies},"headers":`;
  const headers = inBraces(texts.headers, membersJson(facts.addedHeaders));
  const traceAt = Buffer.byteLength(json + headers.slice(0, traceIn(headers)));
  json += headers;
  if (facts.query !== "") json += queryJson(facts.query);
  const accountId = caller?.accountId ?? routed?.accountId ?? "anonymous";
  json += `,"requestContext":{"accountId":${JSON.stringify(accountId)}`;
  json += `,"apiId":${JSON.stringify(facts.apiId)}`;
  if (caller) json += `,"authorizer":{"iam":${callerJson(caller)}}`;
  else if (routed?.jwt) json += `,"authorizer":{"jwt":${jwtJson(routed.jwt)}}`;
  json += `${texts.domain},"http":{"method":"${facts.method}","path":${path},"protocol":"${facts.protocol}"`;
  json += `,"sourceIp":"${facts.sourceIp}","userAgent":${texts.userAgent}}`;
  json += ',"requestId":"';
  const idAt = Buffer.byteLength(json);
  json += `${facts.invocationId}","routeKey":${routeKey},"stage":"$default","time":"`;
  const { method, apiId, sourceIp, protocol, addedHeaders } = facts;
  return {
    of: {
      path: detached(facts.path),
      query: detached(facts.query),
      method,
      apiId,
      sourceIp,
      protocol,
      addedHeaders,
    },
    untilTime: ownBytes(json),
    traceAt,
    idAt,
    end: routed ? routedJson(routed) : "",
  };
}

/** Where the value of the trace is that we add behind all other headers; at the end, if there is none. */
function traceIn(headersJson: string): number {
  const name = `"${TRACE_NAME}":"`;
  const at = headersJson.lastIndexOf(name);
  return at === -1 ? headersJson.length : at + name.length;
}

/** Small buffers otherwise share memory, which each that is kept for long keeps all of. */
function ownBytes(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  bytes.write(text);
  return bytes;
}

/** A part of a received text keeps all of it in memory; this does not. */
function detached(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}

function routedJson({ parameters, stageVariables }: RoutedFacts): string {
  let json = "";
  if (parameters.length > 0) json += `,"pathParameters":${pairsJson(parameters)}`;
  if (stageVariables.length > 0) json += `,"stageVariables":${pairsJson(stageVariables)}`;
  return json;
}

/** What AWS's JWT authorizers tell. */
function jwtJson({ claims, scopes }: JwtFacts): string {
  return `{"claims":${pairsJson(claims)},"scopes":${JSON.stringify(scopes ?? null)}}`;
}

/** An object with these members, whatever they are called. */
function pairsJson(pairs: readonly (readonly [name: string, value: string])[]): string {
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
  /** Of the last request with that head. */
  last: EventPieces | undefined;
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
    last: undefined,
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
