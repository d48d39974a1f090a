/**
 * One pass over the headers of a request, which decides what a function gets to see.
 *
 * Gone are: hop-by-hop headers and those that `Connection` names (RFC 9110 section 7.6.1); what says where a request
 * came from, since only we know (`X-Forwarded-*`, `Forwarded`, `X-Real-IP`); and names that mean something between us
 * and a function. A name with underscores counts as the one with hyphens, since CGI-like servers see no difference.
 * Other `X-Amz-*` headers stay: SNS and others send them to functions.
 */
import type { HttpRequest } from "../message.ts";
import { PlainRequest } from "../plain/plain-request.ts";

type Role =
  | "dropped"
  | "host"
  | "length"
  | "type"
  | "cookie"
  | "agent"
  | "trace"
  | "connection"
  | "encoding"
  | "expect"
  | "prefer"
  | "origin"
  | "release"
  | "upgrade";

const ROLES = new Map<string, Role>([
  ["host", "host"],
  ["content-length", "length"],
  ["content-type", "type"],
  ["cookie", "cookie"],
  ["user-agent", "agent"],
  ["x-amzn-trace-id", "trace"],
  ["connection", "connection"],
  ["transfer-encoding", "encoding"],
  ["expect", "expect"],
  ["prefer", "prefer"],
  ["origin", "origin"],
  ["upgrade", "upgrade"],
  ["lambda-release", "release"],
  ["keep-alive", "dropped"],
  ["proxy-connection", "dropped"],
  ["proxy-authorization", "dropped"],
  ["te", "dropped"],
  ["trailer", "dropped"],
  ["http2-settings", "dropped"],
  ["forwarded", "dropped"],
  ["x-real-ip", "dropped"],
  ["x-amzn-requestid", "dropped"],
  ["x-amzn-tls-version", "dropped"],
  ["x-amzn-tls-cipher-suite", "dropped"],
  ["x-amz-invocation-type", "dropped"],
  ["x-amz-log-type", "dropped"],
  ["x-amz-client-context", "dropped"],
  ["x-amz-function-error", "dropped"],
  ["x-amz-executed-version", "dropped"],
  ["x-amz-security-token", "dropped"],
]);
const DROPPED_PREFIXES = ["x-forwarded-", "x-lambdad-", "lambda-runtime-"];
/** `Connection` may name any header but those that a request cannot be read without. */
const NEVER_HOP_BY_HOP = new Set(["host", "content-length", "content-type"]);
const TRACE_ID = /^[A-Za-z0-9=;:._-]{1,256}$/;

export interface RequestHead {
  /** As received: names and values in turn. */
  readonly raw: readonly string[];
  /** One per header, in lower case; empty for what functions do not see. */
  readonly names: readonly string[];
  readonly host: string | undefined;
  readonly contentType: string | undefined;
  /** Undefined if there is none, which with `isChunked` means unknown and otherwise no body. */
  readonly contentLength: number | undefined;
  readonly isChunked: boolean;
  readonly cookie: string | undefined;
  readonly userAgent: string | undefined;
  readonly traceId: string | undefined;
  readonly origin: string | undefined;
  readonly upgrade: string | undefined;
  readonly wantsContinue: boolean;
  readonly prefersAsync: boolean;
  /** The release that the caller asks for, as it was sent. */
  readonly release: string | undefined;
  /** The same object serves all requests of a connection that send the same headers. */
  readonly isShared: boolean;
}

/** Heads of plain requests by their headers: on one connection these are mostly the same ones (HeaderFields). */
const knownHeads = new WeakMap<readonly string[], RequestHead>();

/** The head of a request, read once for all of a connection that send the same headers. */
export function headOf(request: HttpRequest): RequestHead {
  const { rawHeaders } = request;
  if (!(request instanceof PlainRequest)) return readRequestHead(rawHeaders);
  const known = knownHeads.get(rawHeaders);
  if (known) return known;
  const head = readRequestHead(rawHeaders, true);
  knownHeads.set(rawHeaders, head);
  return head;
}

export function readRequestHead(raw: readonly string[], isShared = false): RequestHead {
  const names: string[] = [];
  let host: string | undefined;
  let contentType: string | undefined;
  let contentLength: number | undefined;
  let isChunked = false;
  let cookie: string | undefined;
  let userAgent: string | undefined;
  let traceId: string | undefined;
  let origin: string | undefined;
  let upgrade: string | undefined;
  let connection: string | undefined;
  let wantsContinue = false;
  let prefersAsync = false;
  let release: string | undefined;

  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]?.toLowerCase() ?? "";
    const value = raw[i + 1] ?? "";
    let kept = name;
    switch (ROLES.get(name)) {
      case undefined:
        if (isDroppedName(name)) kept = "";
        break;
      case "dropped":
        kept = "";
        break;
      case "host":
        host ??= value;
        break;
      case "length":
        contentLength = Number(value);
        break;
      case "type":
        contentType ??= value;
        break;
      case "cookie":
        cookie = cookie === undefined ? value : `${cookie}; ${value}`;
        break;
      case "agent":
        userAgent ??= value;
        break;
      case "trace":
        if (traceId === undefined && TRACE_ID.test(value)) traceId = value;
        kept = "";
        break;
      case "connection":
        connection = connection === undefined ? value : `${connection},${value}`;
        kept = "";
        break;
      case "encoding":
        isChunked = true;
        kept = "";
        break;
      case "expect":
        wantsContinue ||= value.toLowerCase() === "100-continue";
        kept = "";
        break;
      case "prefer":
        prefersAsync ||= /(?:^|[,;\s])respond-async(?:$|[,;\s])/i.test(value);
        break;
      case "origin":
        origin ??= value;
        break;
      case "release":
        release ??= value;
        kept = "";
        break;
      case "upgrade":
        upgrade ??= value;
        kept = "";
        break;
    }
    names.push(kept);
  }
  if (connection !== undefined) dropNamed(connection, names);
  return {
    raw,
    names,
    host,
    contentType,
    contentLength,
    isChunked,
    cookie,
    userAgent,
    traceId,
    origin,
    upgrade,
    wantsContinue,
    prefersAsync,
    release,
    isShared,
  };
}

/** What we say of a request's way here, in place of what the client said. */
export interface Provenance {
  /** Ms since epoch. */
  readonly receivedAt: number;
  readonly sourceIp: string;
  /** The gateway's own. */
  readonly port: number;
  readonly traceId: string;
  /** What was cut off the path, for functions that make links; may be empty. */
  readonly prefix: string;
}

/** Names in lower case and values in turn. */
export function provenanceHeaders({ sourceIp, port, traceId, prefix }: Provenance): string[] {
  const headers = [
    "x-forwarded-for",
    sourceIp,
    "x-forwarded-proto",
    "http",
    "x-forwarded-port",
    String(port),
    "x-amzn-trace-id",
    traceId,
  ];
  if (prefix !== "") headers.push("x-forwarded-prefix", prefix);
  return headers;
}

/** Headers for a function that speaks HTTP: order and case as received, then what we add. */
export function forwardedHeaders(head: RequestHead, provenance: Provenance): string[] {
  const headers: string[] = [];
  for (let i = 0; i < head.names.length; i++) {
    if (head.names[i]) headers.push(head.raw[i * 2] ?? "", head.raw[i * 2 + 1] ?? "");
  }
  headers.push(...provenanceHeaders(provenance));
  return headers;
}

/** First header of that lower-case name, also of those that functions do not see. */
export function headerOf(head: RequestHead, name: string): string | undefined {
  for (let i = 0; i < head.raw.length; i += 2) {
    if (head.raw[i]?.toLowerCase() === name) return head.raw[i + 1];
  }
  return undefined;
}

function isDroppedName(name: string): boolean {
  const hyphened = name.includes("_") ? name.replaceAll("_", "-") : name;
  for (const prefix of DROPPED_PREFIXES) if (hyphened.startsWith(prefix)) return true;
  return hyphened !== name && ROLES.has(hyphened);
}

function dropNamed(connection: string, names: string[]): void {
  const lower = connection.toLowerCase();
  if (lower === "keep-alive" || lower === "close") return;
  const named = new Set(lower.split(",").map((option) => option.trim()));
  for (let i = 0; i < names.length; i++) {
    const name = names[i] ?? "";
    if (named.has(name) && !NEVER_HOP_BY_HOP.has(name)) names[i] = "";
  }
}

/** The same head, with one more header that functions do not see. */
export function withoutHeader(head: RequestHead, name: string): RequestHead {
  return { ...head, isShared: false, names: head.names.map((one) => (one === name ? "" : one)) };
}
