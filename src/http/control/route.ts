import type { IncomingHttpHeaders } from "node:http";
import { PlatformError } from "../../core/errors.ts";
import type { InvocationId } from "../../core/ids.ts";
import type { ReleaseRef } from "../../core/project.ts";
import type { KeyRecord, Scope } from "../../store/store.ts";
import type { FunctionReference } from "./aws/names.ts";

/**
 * One thing that can be asked of the control listener. Routes are data, and the guard is the only one who calls what
 * stands behind them: a route cannot forget a check.
 */
export interface Route {
  /** Unique: AWS's operation name, or ours (`deployFunction`). */
  readonly name: string;
  /** Whose errors and spelling it answers with. */
  readonly dialect: "aws" | "cloudwatch" | "scheduler" | "own";
  readonly method: string;
  /** `{…}` stands for one segment, which arrives percent-decoded. */
  readonly path: string;
  /** `NAME=VALUE` that the query must have, for the two operations that nothing else tells apart. */
  readonly query?: string;
  /** The scope a key needs. `open` needs no key; on a `link` the path itself is the secret. */
  readonly access: Scope | "open" | "link";
  /**
   * Where the function is named that the key must be good for. `none`: there is none, or the handler filters a list
   * by `caller.mayUse`.
   */
  readonly subject: "path" | "body" | "none";
  readonly body: BodyRule;
}

/** `none` reads and forgets a small one; `file` streams it to a file that is removed after the answer. */
export type BodyRule =
  | { readonly kind: "none" }
  | { readonly kind: "json"; readonly bytesMax: number }
  | { readonly kind: "bytes"; readonly bytesMax: number }
  | { readonly kind: "file"; readonly bytesMax: number };

/** Who asks, after the key was checked. */
export interface Caller {
  readonly key: KeyRecord | undefined;
  /** The release that an instance calls out of. */
  readonly release?: ReleaseRef | undefined;
  mayUse(functionName: string): boolean;
}

/** A request that has passed the guard. */
export interface ControlRequest {
  readonly route: Route;
  /** Also the invocation id, where the request invokes. */
  readonly requestId: InvocationId;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** `http://HOST` as the caller addressed us; the host is one we allow. */
  readonly baseUrl: string;
  readonly caller: Caller;
  /** The function that path or body names; set unless `route.subject` is `none` or the body leaves it out. */
  readonly reference: FunctionReference | undefined;
  /** Parsed body of a `json` route; an empty one is `undefined`. */
  readonly json: unknown;
  /** Body of a `bytes` route. */
  readonly bytes: Uint8Array;
  /** Body of a `file` route. */
  readonly upload: { readonly file: string; readonly bytes: number } | undefined;
  /** Aborts when the caller goes away. */
  readonly signal: AbortSignal;
  /** Aborts when the listener closes: answers without an end have to end then, others may finish. */
  readonly closing: AbortSignal;
}

export type Handler = (request: ControlRequest) => Promise<Reply>;

/** Header names and values in turn. */
export type ReplyHeaders = readonly string[];

export type Reply =
  | { readonly kind: "empty"; readonly status: number; readonly headers?: ReplyHeaders }
  | {
      readonly kind: "json";
      readonly status: number;
      readonly value: unknown;
      readonly headers?: ReplyHeaders;
    }
  | {
      readonly kind: "bytes";
      readonly status: number;
      readonly contentType: string;
      readonly body: Uint8Array;
      readonly headers?: ReplyHeaders;
    }
  | { readonly kind: "file"; readonly file: string; readonly contentType: string }
  | {
      readonly kind: "stream";
      readonly contentType: string;
      readonly headers?: ReplyHeaders;
      /** Writes the body; what it throws cuts the connection, since the status is out. */
      run(out: ReplyStream): Promise<void>;
    };

export interface ReplyStream {
  /** False when its buffer is full: wait for `drained`. */
  write(chunk: Uint8Array | string): boolean;
  /** Resolves when there is room again, or the reader has gone. */
  drained(): Promise<void>;
}

export function jsonReply(status: number, value: unknown, headers: ReplyHeaders = []): Reply {
  return { kind: "json", status, value, headers };
}

export function emptyReply(status: number, headers: ReplyHeaders = []): Reply {
  return { kind: "empty", status, headers };
}

export interface RouteMatch {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

export interface Router {
  /** @throws PlatformError `RouteNotFound`, `MethodNotAllowed`, `InvalidRequest` for a path that cannot be decoded. */
  match(method: string, path: string, query: URLSearchParams): RouteMatch;
}

interface CompiledRoute {
  readonly route: Route;
  readonly segments: readonly string[];
}

/** Decides by method and whole segments; a segment is decoded after it was split, so `%2F` never makes two. */
export function newRouter(routes: readonly Route[]): Router {
  const byLength = new Map<number, CompiledRoute[]>();
  // Routes that look at the query come first, being the more particular ones.
  for (const route of [...routes].sort((a, b) => Number(Boolean(b.query)) - Number(Boolean(a.query)))) {
    const segments = route.path.split("/").slice(1);
    const group = byLength.get(segments.length) ?? [];
    group.push({ route, segments });
    byLength.set(segments.length, group);
  }

  return {
    match(method, path, query) {
      const parts = path.split("/").slice(1);
      // Older AWS models end list paths in a slash.
      if (parts.length > 2 && parts.at(-1) === "" && isAwsPath(path)) parts.pop();
      let isOtherMethod = false;
      for (const { route, segments } of byLength.get(parts.length) ?? []) {
        if (!fits(segments, parts) || !hasQuery(route, query)) continue;
        if (route.method === method) return { route, params: paramsOf(segments, parts) };
        isOtherMethod = true;
      }
      if (isOtherMethod) throw new PlatformError("MethodNotAllowed", `${method} is not allowed on ${path}`);
      throw new PlatformError("RouteNotFound", `there is nothing at ${method} ${path}; see /v1/openapi.json`);
    },
  };
}

/** AWS's paths begin with the date of their API. */
export function isAwsPath(path: string): boolean {
  return /^\/20\d\d-\d\d-\d\d\//.test(path);
}

function fits(segments: readonly string[], parts: readonly string[]): boolean {
  return segments.every((segment, at) =>
    segment.startsWith("{") ? parts[at] !== "" : segment === parts[at],
  );
}

function hasQuery(route: Route, query: URLSearchParams): boolean {
  if (!route.query) return true;
  const [name = "", value = ""] = route.query.split("=");
  return query.get(name) === value;
}

function paramsOf(segments: readonly string[], parts: readonly string[]): Record<string, string> {
  const params: Record<string, string> = {};
  for (const [at, segment] of segments.entries()) {
    if (segment.startsWith("{")) params[segment.slice(1, -1)] = decodeSegment(parts[at] ?? "");
  }
  return params;
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (cause) {
    throw new PlatformError("InvalidRequest", `the path is not well encoded: ${JSON.stringify(segment)}`, {
      cause,
    });
  }
}
