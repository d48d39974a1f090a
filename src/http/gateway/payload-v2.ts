/**
 * Payload format 2.0: how Lambda hands an HTTP request to a handler, and reads its result as a response.
 * https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
 *
 * Response: an object with `statusCode` describes the response; anything else is 200 with its JSON, but a string is
 * sent raw. The request is in event-v2.ts.
 */
import { isRecord } from "../../core/is-record.ts";
import { eventOf } from "./event-v2.ts";
import type { HandlerFormat, HttpAnswer } from "./http-event.ts";
import {
  checkedStatus,
  InvalidFunctionResponse,
  isBodiless,
  type ReplyHeaders,
  ResponseHeaders,
} from "./response-headers.ts";

/**
 * What a handler's result means as a response.
 *
 * @throws InvalidFunctionResponse if it describes none: not JSON, a status, header or body that HTTP cannot carry.
 */
export function answerOf(payload: Uint8Array, reply: ReplyHeaders): HttpAnswer {
  const value = parseResult(payload);
  if (isRecord(value) && "statusCode" in value) return described(value, reply);
  const headers = ["content-type", "application/json", ...reply.added];
  return { status: 200, headers, body: typeof value === "string" ? value : payload };
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
    return JSON.parse(asBuffer(payload).toString());
  } catch (cause) {
    throw new InvalidFunctionResponse("the result is not JSON", { cause });
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export const FORMAT_V2: HandlerFormat = { eventOf, answerOf, isForAll: false };
