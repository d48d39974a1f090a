/** How two outcomes of the same input differ: what ran again against what was, or a release against the live one. */
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import type { OutcomeKind } from "./invocation.ts";
import { covers, formatPath, type PathPattern, type Step } from "./value-path.ts";

export interface ComparedOutcome {
  readonly kind: OutcomeKind;
  /** Of one that threw or crashed. */
  readonly errorType: string | undefined;
  /** Of an HTTP response. */
  readonly status: number | undefined;
  /** Names and values in turn; none where it is no HTTP response. */
  readonly rawHeaders: readonly string[];
  readonly body: ComparedBody;
}

/** A body that was too large to keep is known by its size and hash. */
export type ComparedBody = Uint8Array | BodyDigest;

export interface BodyDigest {
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

export interface Difference {
  /** `outcome`, `errorType`, `status`, `headers.NAME`, or a place in the body: `body.items[2].id`. */
  readonly path: string;
  /** JSON, or words, cut if long; undefined where there was nothing. */
  readonly was: string | undefined;
  readonly is: string | undefined;
}

export interface OutcomeDiff {
  readonly differences: readonly Difference[];
  /** Differences beyond those that are listed. */
  readonly more: number;
}

export const DIFFERENCES_MAX = 100;
const SHOWN_LENGTH_MAX = 200;
/** What is deeper is compared as a whole. */
const DEPTH_MAX = 64;

/** Say nothing of what a function does: they differ each time, or follow from the body. */
const HEADERS_IGNORED: ReadonlySet<string> = new Set([
  "age",
  "connection",
  "content-length",
  "date",
  "keep-alive",
  "server-timing",
  "transfer-encoding",
  "x-amz-request-id",
  "x-amzn-requestid",
  "x-amzn-trace-id",
  "x-lambdad-invocation-id",
  "x-request-id",
]);

/** Of an error, where in the code it was: every version has its own lines. */
const TRACES: readonly string[] = ["stackTrace", "trace"];

export function diffOutcomes(
  was: ComparedOutcome,
  is: ComparedOutcome,
  { ignored }: { readonly ignored: readonly PathPattern[] },
): OutcomeDiff {
  const found = new Found(ignored);
  found.compare(["outcome"], was.kind, is.kind);
  found.compare(["errorType"], was.errorType, is.errorType);
  found.compare(["status"], was.status, is.status);
  diffHeaders(found, was.rawHeaders, is.rawHeaders);
  const hasTrace = was.kind === "threw" && is.kind === "threw";
  diffBodies(found, was.body, is.body, hasTrace ? TRACES : []);
  return found;
}

class Found implements OutcomeDiff {
  readonly differences: Difference[] = [];
  more = 0;
  readonly #ignored: readonly PathPattern[];

  constructor(ignored: readonly PathPattern[]) {
    this.#ignored = ignored;
  }

  ignores(path: readonly Step[]): boolean {
    return this.#ignored.some((pattern) => covers(pattern, path));
  }

  compare(path: readonly Step[], was: unknown, is: unknown): void {
    if (was !== is) this.add(path, was, is);
  }

  add(path: readonly Step[], was: unknown, is: unknown): void {
    if (this.ignores(path)) return;
    if (this.differences.length >= DIFFERENCES_MAX) this.more += 1;
    else this.differences.push({ path: formatPath(path), was: shown(was), is: shown(is) });
  }
}

/** A body as words, and not as the JSON it is. */
class Words {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

function shown(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  let text: string;
  try {
    text = value instanceof Words ? value.text : (JSON.stringify(value) ?? String(value));
  } catch {
    text = "nested too deeply to be shown"; // The only way in which JSON.stringify fails on what JSON.parse gave.
  }
  return text.length > SHOWN_LENGTH_MAX ? `${text.slice(0, SHOWN_LENGTH_MAX)}…` : text;
}

function diffHeaders(found: Found, was: readonly string[], is: readonly string[]): void {
  const before = headersByName(was);
  const after = headersByName(is);
  for (const name of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    if (!HEADERS_IGNORED.has(name)) found.compare(["headers", name], before.get(name), after.get(name));
  }
}

function headersByName(rawHeaders: readonly string[]): Map<string, string> {
  const byName = new Map<string, string>();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? "").toLowerCase();
    const value = rawHeaders[at + 1] ?? "";
    const before = byName.get(name);
    byName.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return byName;
}

function diffBodies(found: Found, was: ComparedBody, is: ComparedBody, traces: readonly string[]): void {
  if (!(was instanceof Uint8Array) || !(is instanceof Uint8Array)) {
    const [before, after] = [digestOf(was), digestOf(is)];
    if (before.sha256 !== after.sha256) found.add(["body"], sized(before), sized(after));
    return;
  }
  if (Buffer.compare(was, is) === 0) return;
  const [before, after] = [jsonOf(was), jsonOf(is)];
  if (before && after) diffJson(found, before.value, after.value, traces);
  else found.add(["body"], wordsOf(was), wordsOf(is));
}

function diffJson(found: Found, was: unknown, is: unknown, traces: readonly string[]): void {
  const rest: { readonly path: readonly Step[]; readonly was: unknown; readonly is: unknown }[] = [];
  rest.push({ path: ["body"], was, is });
  for (let next = rest.pop(); next; next = rest.pop()) {
    const { path } = next;
    if (Object.is(next.was, next.is) || found.ignores(path)) continue;
    const [before, after] = [inner(next.was), inner(next.is)];
    const keys = before && after && path.length < DEPTH_MAX ? keysOf(before, after) : undefined;
    if (!before || !after || !keys) {
      if (!isSameText(next.was, next.is)) found.add(path, next.was, next.is);
      continue;
    }
    for (const key of keys.reverse()) {
      if (path.length === 1 && typeof key === "string" && traces.includes(key)) continue;
      rest.push({ path: [...path, key], was: memberOf(before, key), is: memberOf(after, key) });
    }
  }
}

function isSameText(was: unknown, is: unknown): boolean {
  if (typeof was !== "object" || typeof is !== "object") return was === is;
  try {
    return JSON.stringify(was) === JSON.stringify(is);
  } catch {
    return false; // Nested more deeply than calls may be, and its bytes differ.
  }
}

/** An object or a list, also one that is JSON in a string, as bodies of answers and messages are. */
function inner(value: unknown): object | undefined {
  if (typeof value === "object" && value !== null) return value;
  if (typeof value !== "string" || !/^\s*[[{]/.test(value)) return undefined;
  const parsed = parseJson(value)?.value;
  return typeof parsed === "object" && parsed !== null ? parsed : undefined;
}

/** Undefined if one is a list and the other is not. */
function keysOf(was: object, is: object): Step[] | undefined {
  if (Array.isArray(was) !== Array.isArray(is)) return undefined;
  if (!Array.isArray(was) || !Array.isArray(is)) {
    return [...new Set([...Object.keys(was), ...Object.keys(is)])];
  }
  return Array.from({ length: Math.max(was.length, is.length) }, (_, at) => at);
}

function memberOf(value: object, key: Step): unknown {
  return Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined;
}

function jsonOf(bytes: Uint8Array): { readonly value: unknown } | undefined {
  return isUtf8(bytes) ? parseJson(textOf(bytes)) : undefined;
}

function parseJson(text: string): { readonly value: unknown } | undefined {
  try {
    // Numbers that a double cannot tell apart are compared as they are written.
    const isExact = !/\d{16}/.test(text);
    return { value: isExact ? JSON.parse(text) : JSON.parse(text, exactNumber) };
  } catch {
    return undefined; // Text, which is compared as such.
  }
}

function exactNumber(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== "number" || context?.source === undefined || String(value) === context.source)
    return value;
  return /\d{16}/.test(context.source) ? `number ${context.source}` : value;
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}

function wordsOf(bytes: Uint8Array): Words | undefined {
  if (bytes.byteLength === 0) return undefined;
  return isUtf8(bytes) ? new Words(textOf(bytes)) : sized(digestOf(bytes));
}

function sized({ bytes, sha256 }: BodyDigest): Words {
  return new Words(`${bytes} bytes, SHA-256 ${sha256.slice(0, 16)}…`);
}

function digestOf(body: ComparedBody): BodyDigest {
  if (!(body instanceof Uint8Array)) return body;
  return { bytes: body.byteLength, sha256: createHash("sha256").update(body).digest("hex") };
}
