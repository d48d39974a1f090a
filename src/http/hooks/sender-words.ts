/** What a genuine request says, in the words of its sender. */
import type { HookProvider } from "../../core/hook.ts";
import { isCommitId } from "../../core/repo-address.ts";
import type { HookHeaders } from "./signatures.ts";

export interface HookMessage {
  readonly headers: HookHeaders;
  readonly body: Uint8Array;
}

export type Push =
  | { readonly kind: "push"; readonly branch: string; readonly commit: string }
  /** Something else, or a push that brings no code. */
  | { readonly kind: "other"; readonly why: string };

/** Headers in which senders of pushes say what has happened. Gitea and its kin sign as provider hmac has it. */
const EVENT_HEADERS = [
  "x-github-event",
  "x-gitlab-event",
  "x-gitea-event",
  "x-forgejo-event",
  "x-gogs-event",
];
const PUSH_EVENTS = new Set(["push", "Push Hook"]);
const BRANCHES = "refs/heads/";

/** What has happened: `push`, `invoice.paid`; undefined if it does not say. */
export function eventTypeOf(provider: HookProvider, { headers, body }: HookMessage): string | undefined {
  const named = namedEvent(headers);
  if (named !== undefined || provider === "github" || provider === "gitlab") return named;
  const value = jsonOf(body);
  return textIn(member(value, "event"), "type") ?? textIn(value, "type");
}

/** The answer to a question about the address itself; undefined if it is no such question. */
export function answerTo(
  provider: HookProvider,
  { headers, body }: HookMessage,
): { readonly contentType: string; readonly text: string } | undefined {
  if (provider === "github" && headers["x-github-event"] === "ping") {
    return { contentType: "application/json", text: '{"answer":"pong"}' };
  }
  if (provider === "slack") {
    const value = jsonOf(body);
    if (textIn(value, "type") !== "url_verification") return undefined;
    return { contentType: "text/plain; charset=utf-8", text: textIn(value, "challenge") ?? "" };
  }
  return undefined;
}

/** The commit that a push brought a branch to. */
export function pushOf({ headers, body }: HookMessage): Push {
  const event = namedEvent(headers);
  const value = jsonOf(body) ?? formPayload(body);
  const kind = textIn(value, "object_kind");
  if (event !== undefined && !PUSH_EVENTS.has(event)) return other(`it tells of ${event}, not of a push`);
  if (kind !== undefined && kind !== "push") return other(`it tells of ${kind}, not of a push`);
  const ref = textIn(value, "ref");
  const commit = textIn(value, "after");
  if (ref === undefined || commit === undefined) return other("it is no push: its body has no ref and after");
  if (!ref.startsWith(BRANCHES)) return other(`it tells of ${ref}, which is no branch`);
  const branch = ref.slice(BRANCHES.length);
  if (!isCommitId(commit)) return other(`its after is no commit`);
  if (/^0+$/.test(commit)) return other(`branch ${branch} was deleted`);
  return { kind: "push", branch, commit };
}

function namedEvent(headers: HookHeaders): string | undefined {
  return EVENT_HEADERS.map((name) => headers[name]).find((value) => value !== undefined);
}

function other(why: string): Push {
  return { kind: "other", why };
}

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString());
  } catch {
    // It may be a form, or anything else.
    return undefined;
  }
}

/** GitHub sends forms too, if it is told so. */
function formPayload(body: Uint8Array): unknown {
  const payload = new URLSearchParams(Buffer.from(body).toString()).get("payload");
  return payload === null ? undefined : jsonOf(Buffer.from(payload));
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined;
}

function textIn(value: unknown, name: string): string | undefined {
  const text = member(value, name);
  return typeof text === "string" ? text : undefined;
}
