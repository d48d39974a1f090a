/**
 * Payload format 1.0, as AWS's HTTP API hands it to functions that were written for REST APIs.
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
 *
 * Request: header names as they were sent; a map of last values and one of all values, for headers and query; what is
 * empty is null. Response: always an object with `statusCode` and a body that is text; nothing is inferred. An empty
 * object is an empty 200.
 */
import { isUtf8 } from "node:buffer";
import { hostnameOf } from "../../core/host-meaning.ts";
import { commonLogTime, isTextual } from "./event-v2.ts";
import type { HandlerFormat, HttpAnswer, HttpEvent, SignedCaller } from "./http-event.ts";
import { decodedBody, parseResult } from "./payload-v2.ts";
import { queryPairs } from "./query.ts";
import {
  checkedStatus,
  InvalidFunctionResponse,
  isBodiless,
  type ReplyHeaders,
  ResponseHeaders,
} from "./response-headers.ts";

export const FORMAT_V1: HandlerFormat = { eventOf, answerOf, isForAll: false };

type Pair = readonly [name: string, value: string];

function eventOf(facts: HttpEvent): Buffer {
  const { body, routed, method, path, invocationId, receivedAt } = facts;
  const hostname = hostnameOf(facts.host);
  const isText = body !== undefined && isTextual(facts.head.contentType) && isUtf8(body);
  const headers = headerPairs(facts);
  const query = queryPairs(facts.query);
  const jwt = routed?.jwt;
  const event = {
    version: "1.0",
    resource: routed?.resource ?? path,
    path,
    httpMethod: method,
    headers: lastOf(headers),
    multiValueHeaders: allOf(headers),
    queryStringParameters: orNull(query, lastOf),
    multiValueQueryStringParameters: orNull(query, allOf),
    requestContext: {
      accountId: routed?.accountId ?? "anonymous",
      apiId: facts.apiId,
      authorizer: { claims: jwt ? lastOf(jwt.claims) : null, scopes: jwt?.scopes ?? null },
      domainName: hostname,
      domainPrefix: hostname.split(".", 1)[0],
      extendedRequestId: invocationId,
      httpMethod: method,
      identity: identityOf(facts.caller, facts.sourceIp, facts.head.userAgent ?? ""),
      path,
      protocol: facts.protocol,
      requestId: invocationId,
      requestTime: commonLogTime(receivedAt),
      requestTimeEpoch: receivedAt,
      resourceId: null,
      resourcePath: routed?.resource ?? path,
      stage: "$default",
    },
    pathParameters: orNull(routed?.parameters ?? [], lastOf),
    stageVariables: orNull(routed?.stageVariables ?? [], lastOf),
    body: body === undefined ? null : body.toString(isText ? "utf8" : "base64"),
    isBase64Encoded: body !== undefined && !isText,
  };
  return Buffer.from(JSON.stringify(event));
}

function headerPairs({ head, addedHeaders }: HttpEvent): Pair[] {
  const pairs: Pair[] = [];
  /** The first spelling of a name stands for all. */
  const spelling = new Map<string, string>();
  for (const [index, lower] of head.names.entries()) {
    if (lower === "") continue;
    const name = spelling.get(lower) ?? head.raw[index * 2] ?? "";
    spelling.set(lower, name);
    pairs.push([name, head.raw[index * 2 + 1] ?? ""]);
  }
  for (let i = 0; i < addedHeaders.length; i += 2) {
    pairs.push([capitalised(addedHeaders[i] ?? ""), addedHeaders[i + 1] ?? ""]);
  }
  return pairs;
}

/** `X-Forwarded-For` */
function capitalised(name: string): string {
  return name.replace(/(?:^|-)[a-z]/g, (letter) => letter.toUpperCase());
}

function lastOf(pairs: readonly Pair[]): Record<string, string> {
  return Object.fromEntries(pairs);
}

function allOf(pairs: readonly Pair[]): Record<string, string[]> {
  const values = new Map<string, string[]>();
  for (const [name, value] of pairs) values.set(name, [...(values.get(name) ?? []), value]);
  return Object.fromEntries(values);
}

function orNull<T>(pairs: readonly Pair[], make: (pairs: readonly Pair[]) => T): T | null {
  return pairs.length === 0 ? null : make(pairs);
}

function identityOf(
  caller: SignedCaller | undefined,
  sourceIp: string,
  userAgent: string,
): Record<string, unknown> {
  return {
    accessKey: caller?.accessKey ?? null,
    accountId: caller?.accountId ?? null,
    caller: caller?.userId ?? null,
    cognitoAuthenticationProvider: null,
    cognitoAuthenticationType: null,
    cognitoIdentityId: null,
    cognitoIdentityPoolId: null,
    principalOrgId: null,
    sourceIp,
    user: caller?.userId ?? null,
    userAgent,
    userArn: caller?.userArn ?? null,
  };
}

function answerOf(payload: Uint8Array, reply: ReplyHeaders): HttpAnswer {
  const value = parseResult(payload);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidFunctionResponse("payload format 1.0 asks for an object with statusCode");
  }
  const members = new Map<string, unknown>(Object.entries(value));
  if (!members.has("statusCode") && members.size > 0)
    throw new InvalidFunctionResponse("statusCode is missing");
  const status = members.size === 0 ? 200 : checkedStatus(members.get("statusCode"));
  const headers = new ResponseHeaders(reply);
  addHeaders(headers, members.get("headers"), members.get("multiValueHeaders"));
  if (isBodiless(status)) return { status, headers: headers.finish(), body: "" };
  if (!headers.hasType) headers.add("content-type", "application/json");
  const body = members.get("body") ?? "";
  if (typeof body !== "string") throw new InvalidFunctionResponse("body must be text");
  return { status, headers: headers.finish(), body: decodedBody(body, members.get("isBase64Encoded")) };
}

/** Both maps count; of a name and value that are in both, one. Each of several values is a header of its own. */
function addHeaders(headers: ResponseHeaders, single: unknown, multiple: unknown): void {
  const seen = new Set<string>();
  const add = (name: string, value: unknown) => {
    const text = scalar(name, value);
    const key = `${name.toLowerCase()}:${text}`;
    if (!seen.has(key)) headers.add(name, text);
    seen.add(key);
  };
  for (const [name, values] of membersOf("multiValueHeaders", multiple)) {
    if (!Array.isArray(values))
      throw new InvalidFunctionResponse("multiValueHeaders must be lists of values");
    for (const value of values) add(name, value);
  }
  for (const [name, value] of membersOf("headers", single)) {
    if (value !== null) add(name, value);
  }
}

function membersOf(what: string, value: unknown): [string, unknown][] {
  if (value === undefined || value === null) return [];
  if (typeof value === "object" && !Array.isArray(value)) return Object.entries(value);
  throw new InvalidFunctionResponse(`${what} must be an object`);
}

function scalar(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  throw new InvalidFunctionResponse(
    `the value of header ${JSON.stringify(name)} must be text, a number or a boolean`,
  );
}
