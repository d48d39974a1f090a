/** What clients of our own API send about routes, and what they are shown. */
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";
import { FUNCTION_NAME_RULE, parseFunctionName } from "../../../core/ids.ts";
import {
  type CallAction,
  type HttpRoute,
  PAYLOAD_FORMATS,
  type ResponseAction,
  ROUTE_METHODS,
  type RouteAction,
  type RouteMethod,
  routeKeyText,
} from "../../../core/route.ts";
import { parseEventTemplate } from "../../../core/route-event.ts";
import { parseRoutePath } from "../../../core/route-path.ts";
import type { NewRoute } from "../../../registry/route-book.ts";
import type { FunctionUrls } from "../parts.ts";
import {
  Auth,
  authorizerOf,
  authShape,
  Cors,
  completedAuthorizer,
  corsOf,
  corsShape,
  type GivenAuthorizer,
  Limit,
  limitOf,
  type SealSecret,
} from "./route-rule-wire.ts";
import { parse } from "./wire.ts";

const FIXED_BODY_BYTES_MAX = 256 * 1024;
const STAGE_VARIABLES_MAX = 100;
const TEXT_TYPE = "text/plain; charset=utf-8";

const FixedResponse = z.strictObject({
  status: z.int().min(200).max(599).default(200),
  headers: z
    .record(
      z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, "expected a header name"),
      z
        .string()
        .max(4096)
        .regex(/^[\t\x20-\x7e\x80-\xff]*$/, "has characters that a header cannot carry"),
    )
    .default({}),
  body: z.string().default(""),
});

/** `null` takes a setting away; on a change, what is left out stays as it is. */
const members = {
  /** `GET /stock/{symbol}` */
  route: z.string().max(600),
  host: z.string().max(260).nullable(),
  function: z.string(),
  qualifier: z
    .string()
    .regex(/^(\$LATEST|[a-zA-Z0-9-_]{1,128})$/, "expected a version, an alias or $LATEST")
    .nullable(),
  /** Instead of a function. */
  response: FixedResponse,
  payload: z.enum(PAYLOAD_FORMATS),
  /** What the function gets in place of the request. */
  event: z.unknown(),
  async: z.boolean(),
  stripPrefix: z.string().nullable(),
  stageVariables: z.record(
    z.string().regex(/^[A-Za-z0-9_]{1,64}$/, "expected a name of letters, digits and _"),
    z.string().max(2048),
  ),
  auth: Auth,
  cors: Cors.nullable(),
  limit: Limit.nullable(),
  description: z.string().max(512),
};

export const ChangeRoute = z.strictObject(members).partial();
export const CreateRoute = ChangeRoute.required({ route: true });

export const TestRoute = z.strictObject({
  method: z.string().regex(/^[A-Z]{1,16}$/, "expected a method in capitals"),
  url: z.string().max(8192),
});

type Given = z.output<typeof ChangeRoute>;

/** @throws PlatformError `InvalidRequest`, `InvalidName`. */
export async function parseCreateRoute(body: unknown, seal: SealSecret): Promise<NewRoute> {
  const given = parse(CreateRoute, body, "body");
  return merged(given, given.auth && (await authorizerOf(given.auth, seal)), undefined);
}

/** What a change makes of a route. @throws PlatformError `InvalidRequest`, `InvalidName`. */
export async function parseChangeRoute(
  body: unknown,
  seal: SealSecret,
): Promise<(before: HttpRoute) => NewRoute> {
  const given = parse(ChangeRoute, body, "body");
  const authorizer = given.auth && (await authorizerOf(given.auth, seal));
  return (before) => merged(given, authorizer, before);
}

function merged(
  given: Given,
  authorizer: GivenAuthorizer | undefined,
  before: HttpRoute | undefined,
): NewRoute {
  const { cors, limit } = given;
  const { method, path } = given.route === undefined ? required(before) : parseRouteKey(given.route);
  return {
    method,
    path,
    host: given.host === undefined ? before?.host : (given.host ?? undefined),
    action: actionOf(given, before?.action),
    authorizer: authorizer
      ? completedAuthorizer(authorizer, before?.authorizer)
      : (before?.authorizer ?? { kind: "none" }),
    cors: cors === undefined ? before?.cors : cors === null ? undefined : corsOf(cors),
    limit: limit === undefined ? before?.limit : limit === null ? undefined : limitOf(limit),
    description: given.description ?? before?.description ?? "",
  };
}

function required(before: HttpRoute | undefined): HttpRoute {
  if (before) return before;
  throw new PlatformError("InvalidRequest", 'route: expected one like "GET /stock/{symbol}"');
}

/** `GET /stock/{symbol}`. @throws PlatformError `InvalidRequest`. */
function parseRouteKey(text: string): { readonly method: RouteMethod; readonly path: string } {
  const [, verb, path] = /^([A-Za-z]+) +(\/\S*)$/.exec(text) ?? [];
  const method = ROUTE_METHODS.find((one) => one === verb?.toUpperCase());
  if (!method || path === undefined) {
    throw new PlatformError(
      "InvalidRequest",
      `route: expected a method (${ROUTE_METHODS.join(", ")}) and a path, like "GET /stock/{symbol}", got ${JSON.stringify(text.slice(0, 100))}`,
    );
  }
  for (const segment of parseRoutePath(path)) {
    // As a letter like any other it would match nothing that anybody asks for.
    if (segment.kind === "exact" && segment.text.includes("*")) {
      throw new PlatformError(
        "InvalidRequest",
        `route: ${JSON.stringify(segment.text)} in ${JSON.stringify(path.slice(0, 80))}: a star stands for nothing here; write {proxy+} for all that is left, {name} for one segment`,
      );
    }
  }
  return { method, path };
}

const CALL_MEMBERS = [
  "function",
  "qualifier",
  "payload",
  "event",
  "async",
  "stripPrefix",
  "stageVariables",
] as const;

function actionOf(given: Given, before: RouteAction | undefined): RouteAction {
  const isCall = CALL_MEMBERS.some((member) => given[member] !== undefined && given[member] !== null);
  if (given.response) {
    if (isCall) {
      throw new PlatformError(
        "InvalidRequest",
        "response: a route answers by itself or calls a function, not both",
      );
    }
    return responseOf(given.response);
  }
  if (before?.kind === "response" && !isCall) return before;
  return callOf(given, before?.kind === "function" ? before : undefined);
}

function callOf(given: Given, before: CallAction | undefined): CallAction {
  const { qualifier, stripPrefix } = given;
  const functionName =
    given.function === undefined ? before?.functionName : parseFunctionName(given.function);
  if (!functionName) {
    throw given.function === undefined
      ? new PlatformError("InvalidRequest", "function: expected the name of one, or a response")
      : new PlatformError(
          "InvalidName",
          `function: expected ${FUNCTION_NAME_RULE}, got ${JSON.stringify(given.function)}`,
        );
  }
  const stageVariables = given.stageVariables ?? before?.stageVariables ?? {};
  if (Object.keys(stageVariables).length > STAGE_VARIABLES_MAX) {
    throw new PlatformError("InvalidRequest", `stageVariables: at most ${STAGE_VARIABLES_MAX}`);
  }
  const payload = given.payload ?? before?.payload ?? "2.0";
  const event =
    given.event === undefined
      ? before?.event
      : given.event === null
        ? undefined
        : parseEventTemplate(given.event);
  if (event !== undefined && payload === "1.0") {
    throw new PlatformError(
      "InvalidRequest",
      "event: it takes the place of the request, so payload does nothing",
    );
  }
  // Another function is not followed by the alias of the one before.
  const kept = given.function === undefined || given.function === before?.functionName;
  return {
    kind: "function",
    functionName,
    qualifier: qualifier === undefined ? (kept ? before?.qualifier : undefined) : (qualifier ?? undefined),
    payload,
    isAsync: given.async ?? before?.isAsync ?? false,
    stripPrefix: stripPrefix === undefined ? before?.stripPrefix : (stripPrefix ?? undefined),
    stageVariables,
    event,
  };
}

/** What the length, the connection and the request id are is not theirs to say. */
const NOT_THEIRS = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "x-amzn-requestid",
]);

function responseOf({ status, headers, body }: z.output<typeof FixedResponse>): ResponseAction {
  const names = Object.keys(headers).map((name) => name.toLowerCase());
  const refused = names.find((name) => NOT_THEIRS.has(name));
  if (refused !== undefined) {
    throw new PlatformError("InvalidRequest", `response.headers: ${refused} is set by the gateway`);
  }
  if (Buffer.byteLength(body) > FIXED_BODY_BYTES_MAX) {
    throw new PlatformError("InvalidRequest", `response.body: at most ${FIXED_BODY_BYTES_MAX} bytes`);
  }
  const type = names.includes("content-type") || body === "" ? [] : ["content-type", TEXT_TYPE];
  return { kind: "response", status, headers: [...Object.entries(headers).flat(), ...type], body };
}

/** Members that are undefined are left out of the JSON. */
export function routeShape(route: HttpRoute, urls: FunctionUrls): Record<string, unknown> {
  const { id, host, action, description, createdAt, modifiedAt } = route;
  return {
    id,
    route: routeKeyText(route),
    host,
    ...(action.kind === "function" ? callShape(action) : { response: responseShape(action) }),
    auth: authShape(route.authorizer),
    cors: corsShape(route.cors),
    limit: route.limit,
    url: `${urls.ofHost(host)}${route.path}`,
    description,
    createdAt,
    modifiedAt,
  };
}

function callShape(action: CallAction): Record<string, unknown> {
  return {
    function: action.functionName,
    qualifier: action.qualifier,
    payload: action.payload,
    event: action.event,
    async: action.isAsync,
    stripPrefix: action.stripPrefix,
    stageVariables: action.stageVariables,
  };
}

function responseShape({ status, headers, body }: ResponseAction): Record<string, unknown> {
  const pairs: [string, string][] = [];
  for (let i = 0; i < headers.length; i += 2) pairs.push([headers[i] ?? "", headers[i + 1] ?? ""]);
  return { status, headers: Object.fromEntries(pairs), body };
}
