/**
 * Paths of routes and of requests, in one normal form that both matching and authorization see.
 *
 * A request's path is split at slashes, then each segment is percent-decoded once, as UTF-8. One slash at its end does
 * not count. Refused is what a function, or a proxy on the way, could read as another path: empty segments (`//`), dot
 * segments, slashes and backslashes in a segment, path parameters (`;`), control characters, spaces around a segment,
 * encodings that are none.
 * Letters count as they are written: `/Stock` is not `/stock`.
 */
import { PlatformError } from "./errors.ts";

export type RouteSegment =
  | { readonly kind: "exact"; readonly text: string }
  /** One segment. */
  | { readonly kind: "parameter"; readonly name: string }
  /** All that is left, at least one segment. */
  | { readonly kind: "rest"; readonly name: string };

const ROUTE_PATH_LENGTH_MAX = 512;
const ROUTE_SEGMENTS_MAX = 32;

/** What a literal may be made of: all that needs no encoding in a path, but `;`. */
const LITERAL = /^[A-Za-z0-9._~!$&'()*+,=:@-]+$/;
const PARAMETER = /^\{([A-Za-z0-9_.-]{1,64})(\+?)\}$/;

/** @throws PlatformError `InvalidRequest` with what is wrong and what to write instead. */
export function parseRoutePath(path: string): readonly RouteSegment[] {
  if (!path.startsWith("/")) throw invalid(path, 'begin it with "/"');
  if (path.length > ROUTE_PATH_LENGTH_MAX) throw invalid(path, `at most ${ROUTE_PATH_LENGTH_MAX} characters`);
  if (path === "/") return [];
  if (path.endsWith("/")) throw invalid(path, "leave out the slash at its end; requests may have it");
  const texts = path.slice(1).split("/");
  if (texts.length > ROUTE_SEGMENTS_MAX) throw invalid(path, `at most ${ROUTE_SEGMENTS_MAX} segments`);
  const segments = texts.map((text, index) => {
    const segment = parseSegment(path, text);
    if (segment.kind === "rest" && index < texts.length - 1) {
      throw invalid(path, `{${segment.name}+} stands for all that is left, so it must be last`);
    }
    return segment;
  });
  if (texts[0]?.startsWith("_")) {
    throw invalid(path, "paths that begin with _ are the gateway's own; choose another name");
  }
  const names = segments.flatMap((segment) => (segment.kind === "exact" ? [] : [segment.name]));
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) throw invalid(path, `the parameter ${repeated} is there twice`);
  return segments;
}

/** The same for paths that no request tells apart: `/a/{x}` and `/a/{y}`. */
export function shapeOf(segments: readonly RouteSegment[]): string {
  return `/${segments.map(shapeOfSegment).join("/")}`;
}

export function segmentText(segment: RouteSegment): string {
  switch (segment.kind) {
    case "exact":
      return segment.text;
    case "parameter":
      return `{${segment.name}}`;
    case "rest":
      return `{${segment.name}+}`;
  }
}

function shapeOfSegment(segment: RouteSegment): string {
  return segment.kind === "exact" ? segment.text : segment.kind === "parameter" ? "{}" : "{+}";
}

function parseSegment(path: string, text: string): RouteSegment {
  const [, name, plus] = PARAMETER.exec(text) ?? [];
  if (name !== undefined) return plus === "+" ? { kind: "rest", name } : { kind: "parameter", name };
  if (text === "") throw invalid(path, "it has an empty segment");
  if (text === "." || text === "..") throw invalid(path, "it has a dot segment");
  if (/[{}]/.test(text)) {
    throw invalid(path, `${JSON.stringify(text)}: a parameter is a whole segment, like {id} or {proxy+}`);
  }
  if (text.includes("%")) throw invalid(path, `${JSON.stringify(text)}: write it without encoding`);
  if (!LITERAL.test(text)) {
    throw invalid(path, `${JSON.stringify(text)} has characters that a path cannot have as they are`);
  }
  return { kind: "exact", text };
}

/** A request's path in normal form. */
export interface RequestPath {
  /** Decoded. */
  readonly segments: readonly string[];
  /** As they were sent. */
  readonly raw: readonly string[];
  /** `/` if the path ends in a slash that does not count. */
  readonly ending: "" | "/";
}

const PLAIN = /^(?:\/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*)+$/;
const NEVER_IN_A_SEGMENT = /[\\;/\p{Cc}]/u;

/** @throws PlatformError `InvalidRequest` for a path that could be read in two ways. */
export function parseRequestPath(path: string): RequestPath {
  if (path === "/") return { segments: [], raw: [], ending: "" };
  // The common case needs no second look: nothing is encoded, nothing empty, nothing begins with a dot.
  if (PLAIN.test(path)) {
    const segments = path.slice(1).split("/");
    return { segments, raw: segments, ending: "" };
  }
  const raw = path.slice(1).split("/");
  const hasEnding = raw.at(-1) === "";
  if (hasEnding) raw.pop();
  const segments = raw.map((text) => {
    const decoded = decode(path, text);
    if (decoded === "") throw ambiguous(path, "it has an empty segment (//)");
    if (decoded === "." || decoded === "..") throw ambiguous(path, "it has a dot segment");
    if (NEVER_IN_A_SEGMENT.test(decoded)) {
      throw ambiguous(path, "a segment has a slash, a backslash, a semicolon or a control character");
    }
    if (decoded.trim() !== decoded) throw ambiguous(path, "a segment begins or ends with a space");
    return decoded;
  });
  return { segments, raw, ending: hasEnding ? "/" : "" };
}

function decode(path: string, text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw ambiguous(path, `${JSON.stringify(shortened(text))} is not well encoded`, cause);
  }
}

function invalid(path: string, why: string): PlatformError {
  return new PlatformError("InvalidRequest", `path of a route ${JSON.stringify(shortened(path))}: ${why}`);
}

function ambiguous(path: string, why: string, cause?: unknown): PlatformError {
  return new PlatformError("InvalidRequest", `ambiguous path ${JSON.stringify(shortened(path))}: ${why}`, {
    cause,
  });
}

function shortened(text: string): string {
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
