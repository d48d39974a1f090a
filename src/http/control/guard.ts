/**
 * The one way into the control API. Every request goes through the same steps in this order, and only what is in the
 * route table can be reached at all:
 *
 *   Host ─► Origin ─► route ─► key (bearer or SigV4) ─► scope ─► function pattern ─► body ─► signature ─► handler
 *
 * A signature covers the body, so it is finished after reading; but key, date, scope and function are checked before,
 * so that a stranger cannot make us read anything.
 */
import { rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../../core/clock.ts";
import { isPlatformError, PlatformError } from "../../core/errors.ts";
import { FUNCTION_NAME_RULE, newInvocationId, parseFunctionName } from "../../core/ids.ts";
import type { Log } from "../../core/log.ts";
import type { ReleaseRef } from "../../core/project.ts";
import type { Functions } from "../../registry/functions.ts";
import type { KeyRecord } from "../../store/store.ts";
import { discardRest } from "../discard-rest.ts";
import { errorBody, explainError } from "../error-response.ts";
import type { RequestHandler } from "../listener.ts";
import { mayInvoke } from "./access.ts";
import { awsErrorReply } from "./aws/errors.ts";
import { type Account, type FunctionReference, functionArn, parseFunctionReference } from "./aws/names.ts";
import { receiveBody } from "./body.ts";
import { cloudWatchErrorReply, isCloudWatchRequest } from "./cloudwatch/errors.ts";
import { eventBridgeErrorReply } from "./eventbridge/errors.ts";
import { isSchedulerPath } from "./eventbridge/scheduler-routes.ts";
import { type AllowedHosts, checkHost, checkOrigin } from "./hosts.ts";
import { allowsFunction, allowsScope, type KeyRing } from "./keys.ts";
import { sendReply } from "./reply.ts";
import {
  type Caller,
  type ControlRequest,
  type Handler,
  isAwsPath,
  type Route,
  type Router,
} from "./route.ts";
import {
  hasSessionToken,
  isChunked,
  newSignatureVerifier,
  parseSignature,
  type Signature,
  type SignatureVerifier,
} from "./sigv4.ts";

export interface GuardParts {
  readonly router: Router;
  /** What stands behind a route. */
  readonly handlerOf: (route: Route) => Promise<Handler>;
  readonly keys: KeyRing;
  /** Whose policies may allow a call that the key's pattern does not. */
  readonly functions: Pick<Functions, "get" | "resolveCached">;
  /** Whether there is room for another request; throws if not. */
  readonly admitRequest: (route: Route) => void;
  readonly allowedHosts: AllowedHosts;
  readonly account: Account;
  readonly uploadDir: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Aborts when the listener closes. */
  readonly closing: AbortSignal;
}

/** The handler of the control listener. */
export function newGuard(parts: GuardParts): RequestHandler {
  const verifier = newSignatureVerifier();
  return async (request, response) => {
    // Gone before we were loaded: its `close` has been, and nothing else would tell.
    if (response.destroyed) return;
    const requestId = newInvocationId();
    const gone = new AbortController();
    response.once("close", () => gone.abort(new PlatformError("CallerGone", "the caller went away")));
    const { signal } = gone;
    const admitted: { file: string | undefined } = { file: undefined };
    try {
      const { control, handler } = await admit(parts, verifier, {
        request,
        response,
        requestId,
        signal,
        admitted,
      });
      await sendReply(response, await handler(control), requestId);
    } catch (error) {
      await discard(admitted);
      await sendFailure(parts.log, request, response, error, requestId);
    } finally {
      await discard(admitted);
    }
  };
}

async function discard(admitted: { readonly file: string | undefined }): Promise<void> {
  if (admitted.file) await rm(admitted.file, { force: true });
}

interface Arrival {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: ControlRequest["requestId"];
  readonly signal: AbortSignal;
  /** Told of an uploaded file, which is removed whatever happens next. */
  readonly admitted: { file: string | undefined };
}

async function admit(
  parts: GuardParts,
  verifier: SignatureVerifier,
  { request, response, requestId, signal, admitted }: Arrival,
): Promise<{ readonly control: ControlRequest; readonly handler: Handler }> {
  const host = checkHost(request, parts.allowedHosts);
  checkOrigin(request, host);
  const target = request.url ?? "/";
  const question = target.indexOf("?");
  const path = question < 0 ? target : target.slice(0, question);
  const query = new URLSearchParams(question < 0 ? "" : target.slice(question + 1));
  const method = request.method ?? "GET";
  const { route, params } = parts.router.match(method, path, query);

  const credentials = await authenticate(parts, request, route);
  const fromPath = route.subject === "path" ? referenceFromPath(route, params, parts.account) : undefined;
  if (credentials) await authorise(parts, credentials.key, route, fromPath, query);
  parts.admitRequest(route);

  checkContentType(request, route);
  if (request.headers.expect !== undefined) response.writeContinue();
  const received = await receiveBody(request, route.body, {
    uploadDir: parts.uploadDir,
    wantsHash: credentials?.signed !== undefined,
    isChunked: credentials?.signed !== undefined && isChunked(credentials.signed.signature),
    tooLarge: (bytesMax) => tooLarge(route, bytesMax),
    signal,
  });
  admitted.file = received.upload?.file;
  let { bytes } = received;
  if (credentials?.signed) {
    const { signature, secret } = credentials.signed;
    const signed = { method, target, rawHeaders: request.rawHeaders };
    verifier.verify(signed, signature, secret, received.sha256);
    if (isChunked(signature)) bytes = chunksOf(route, verifier.decode(signature, secret, received.bytes));
  }

  const json = route.body.kind === "json" ? parseJson(bytes) : undefined;
  const fromBody = route.subject === "body" ? referenceFromBody(json, parts.account) : undefined;
  if (credentials && fromBody) await authorise(parts, credentials.key, route, fromBody, query);
  const control: ControlRequest = {
    route,
    requestId,
    params,
    query,
    headers: request.headers,
    baseUrl: `http://${host}`,
    caller: callerOf(credentials),
    reference: fromPath ?? fromBody,
    json,
    bytes,
    upload: received.upload,
    signal,
    closing: parts.closing,
  };
  return { control, handler: await parts.handlerOf(route) };
}

/** As requests are signed. The services of JSON 1.1 share an address, whose name of the operation is signed too. */
const SERVICES: Readonly<Record<Route["dialect"], readonly string[]>> = {
  aws: ["lambda"],
  own: ["lambda"],
  cloudwatch: ["logs", "monitoring", "events", "cloudformation"],
  scheduler: ["scheduler"],
};

interface Credentials {
  readonly key: KeyRecord;
  /** Present if the key is an instance's in a release. */
  readonly release?: ReleaseRef | undefined;
  /** Present if the signature is still to be checked against the body. */
  readonly signed: { readonly signature: Signature; readonly secret: string } | undefined;
}

/** Undefined only where the route asks for no key. */
async function authenticate(
  parts: GuardParts,
  request: IncomingMessage,
  route: Route,
): Promise<Credentials | undefined> {
  if (route.access === "open" || route.access === "link") return undefined;
  const authorization = request.headers.authorization ?? "";
  const bearer = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
  if (bearer !== undefined) {
    const key = await parts.keys.findByToken(bearer);
    if (key) return { key, signed: undefined };
    throw new PlatformError("Unauthenticated", "the key is unknown, wrong, expired or revoked");
  }
  const { method = "", url = "/", rawHeaders } = request;
  const services = SERVICES[route.dialect];
  const signature = parseSignature({ method, target: url, rawHeaders }, parts.clock.now(), services);
  if (!signature) {
    throw new PlatformError(
      "Unauthenticated",
      "Missing Authentication Token: send Authorization: Bearer ID.SECRET, or sign with AWS Signature Version 4",
    );
  }
  const usable = await parts.keys.findUsable(signature.keyId);
  if (!usable || !hasSessionToken(usable, signature))
    throw new PlatformError("Unauthenticated", "The security token included in the request is invalid.");
  const { key, secret, release } = usable;
  return { key, release, signed: { signature, secret } };
}

/** @throws PlatformError `Forbidden`. */
async function authorise(
  parts: GuardParts,
  key: KeyRecord,
  route: Route,
  reference: FunctionReference | undefined,
  query: URLSearchParams,
): Promise<void> {
  if (route.access === "open" || route.access === "link") return;
  if (!allowsScope(key, route.access)) {
    throw new PlatformError(
      "Forbidden",
      `key ${key.id} is not authorized to perform ${route.name}: it needs the scope ${route.access}`,
    );
  }
  // What an administrator does without naming a function concerns all of them.
  const isForAll = route.access === "admin" && !reference;
  if (isForAll && key.functions !== "*") {
    throw new PlatformError(
      "Forbidden",
      `key ${key.id} is not authorized to perform ${route.name}: it is for functions ${key.functions} only`,
    );
  }
  if (reference && !allowsFunction(key, reference.text)) {
    const { name } = reference;
    const isInvoke = route.dialect === "aws" && route.access === "invoke";
    const qualifier = reference.qualifier ?? query.get("Qualifier") ?? undefined;
    const { functions, account } = parts;
    if (isInvoke && name && (await mayInvoke(functions, account.account, key, { name, qualifier }))) return;
    throw new PlatformError(
      "Forbidden",
      `key ${key.id} is not authorized to perform ${route.name} on ${reference.arn}: it is for functions ${key.functions}`,
    );
  }
}

/** An upload has gone to a file, of which nothing was decoded. */
function chunksOf(route: Route, decoded: Buffer): Buffer {
  if (route.body.kind !== "file") return decoded;
  throw new PlatformError("InvalidRequest", `${route.name}: send the archive as it is, not in signed chunks`);
}

function callerOf(credentials: Credentials | undefined): Caller {
  const { key, release } = credentials ?? {};
  return { key, release, mayUse: (name) => key !== undefined && allowsFunction(key, name) };
}

/** The parameter that names a function is the first of the path, in both APIs. */
function referenceFromPath(
  route: Route,
  params: Readonly<Record<string, string>>,
  account: Account,
): FunctionReference | undefined {
  const [text = ""] = Object.values(params);
  // Tags are on mappings too; who answers looks up whose they are.
  if (route.path.includes("/tags/") && text.includes(":event-source-mapping:")) return undefined;
  if (route.dialect === "aws") return parseFunctionReference(text, account);
  const name = parseFunctionName(text);
  if (!name) {
    throw new PlatformError(
      "InvalidName",
      `function name: expected ${FUNCTION_NAME_RULE}, got ${JSON.stringify(text)}`,
    );
  }
  return { text, name, qualifier: undefined, arn: functionArn(account, name) };
}

function referenceFromBody(json: unknown, account: Account): FunctionReference | undefined {
  const isNamed = typeof json === "object" && json !== null && "FunctionName" in json;
  return isNamed && typeof json.FunctionName === "string"
    ? parseFunctionReference(json.FunctionName, account)
    : undefined;
}

/** Ours takes JSON only as JSON: `text/plain` is what a foreign page may send without asking. */
function checkContentType(request: IncomingMessage, route: Route): void {
  if (route.dialect !== "own" || route.body.kind !== "json") return;
  const type = request.headers["content-type"];
  const hasBody = Number(request.headers["content-length"] ?? 0) > 0 || request.headers["transfer-encoding"];
  if (type === undefined && !hasBody) return;
  if (type?.split(";")[0]?.trim().toLowerCase() !== "application/json") {
    throw new PlatformError(
      "InvalidRequest",
      `content-type: expected application/json, got ${JSON.stringify(type ?? "")}`,
    );
  }
}

function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : "not UTF-8";
    throw new PlatformError("InvalidPayload", `Could not parse request body into json: ${detail}`, { cause });
  }
}

function tooLarge(route: Route, bytesMax: number): string {
  const operation = route.name === "Invoke" ? "InvokeFunction" : route.name;
  return `Request must be smaller than ${bytesMax} bytes for the ${operation} operation`;
}

/** Answers in the spelling of the API that was addressed. A begun answer is cut instead: a part must not look whole. */
async function sendFailure(
  log: Log,
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
  requestId: string,
): Promise<void> {
  if (response.destroyed) return;
  if (response.headersSent) {
    log.warn("an answer broke off", { invocationId: requestId, error });
    response.destroy();
    return;
  }
  const facts = { log, requestId };
  const path = request.url ?? "";
  const headers: string[] = [];
  let contentType = "application/json";
  let status: number;
  let body: string | Uint8Array;
  const isScheduler = isSchedulerPath(path);
  if (isCloudWatchRequest(request.method, path)) {
    const reply = await cloudWatchErrorReply(error, facts, { headers: request.headers, path });
    headers.push(...reply.headers);
    ({ status, body, contentType } = reply);
  } else if (isScheduler || isAwsPath(path)) {
    const reply = isScheduler
      ? eventBridgeErrorReply("scheduler", error, facts)
      : awsErrorReply(error, facts);
    headers.push(...reply.headers);
    ({ status, body } = reply);
  } else {
    const answer = explainError(error, facts);
    status = answer.status;
    body = errorBody(answer.code, answer.message, requestId);
    if (answer.retryAfterS !== undefined) headers.push("retry-after", String(answer.retryAfterS));
    if (isPlatformError(error, "Unauthenticated")) headers.push("www-authenticate", "Bearer");
  }
  // What is left of a body that nobody wants would be taken for the next request.
  if (!request.complete) headers.push("connection", "close");
  discardRest(request);
  response.writeHead(status, [
    "content-type",
    contentType,
    "content-length",
    String(Buffer.byteLength(body)),
    "x-amzn-requestid",
    requestId,
    "cache-control",
    "no-store",
    ...headers,
  ]);
  response.end(request.method === "HEAD" ? undefined : body);
}
