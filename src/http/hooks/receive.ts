/**
 * Requests to hooks:
 *
 *   id ─► body (bounded) ─► signature ─► time ─► paused? ─► question? ─► not here before? ─► on disk ─► 202
 *
 * Whoever sends what is not genuine learns only that; the owner of the hook reads the reason in the list of
 * deliveries. What is genuine is written down, with the event or the deployment that follows, before the answer.
 */
import type { Clock } from "../../core/clock.ts";
import { isPlatformError, PlatformError } from "../../core/errors.ts";
import type { Hook, HookDelivery } from "../../core/hook.ts";
import { parseHookId } from "../../core/ids.ts";
import { HOOK_BODY_BYTES_MAX, PAYLOAD_BYTES_MAX } from "../../core/limits.ts";
import type { Log } from "../../core/log.ts";
import { isOfLiveRelease } from "../../core/project.ts";
import type { Functions } from "../../registry/functions.ts";
import { type SecretBox, usableSecrets } from "../../registry/hook-secrets.ts";
import type { Target } from "../../registry/target.ts";
import type { Hooks, NewDelivery, ReplayMarks } from "../../store/hooks.ts";
import { NO_MARKS } from "../../store/hooks.ts";
import { discardRest } from "../discard-rest.ts";
import { sendError, sendJson, sendText } from "../error-response.ts";
import { wholeInput } from "../event-intake.ts";
import { inputOf } from "../gateway/call.ts";
import { provenanceOf } from "../gateway/exchange.ts";
import { FORMAT_V2 } from "../gateway/payload-v2.ts";
import { readBody } from "../gateway/request-body.ts";
import { type RequestHead, withoutHeader } from "../gateway/request-headers.ts";
import type { HttpResponse } from "../message.ts";
import type { HookRequest, ReceiveHook } from "./hook-request.ts";
import { newRefusalRate } from "./refusals.ts";
import { answerTo, eventTypeOf, type HookMessage, pushOf } from "./sender-words.ts";
import { type HookHeaders, judge } from "./signatures.ts";

export interface HookParts {
  readonly hooks: Pick<Hooks, "find" | "take">;
  readonly functions: Pick<Functions, "resolve">;
  readonly box: SecretBox;
  /** Told when there is something to deploy. */
  readonly deploymentWaits: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

export const HOOKS_PATH = "/_hooks/";

const TEXT_LENGTH_MAX = 200;
/** Nobody signed it for us, and it came by no route. */
const PLAIN = { signed: undefined, routed: undefined, format: FORMAT_V2 };

export function newHookReceiver(parts: HookParts): ReceiveHook {
  const { hooks, clock, log } = parts;
  const admitRefusal = newRefusalRate(clock);

  /** Writes down what nothing follows from, as far as there is room; failing to must not change the answer. */
  async function note(delivery: NewDelivery): Promise<void> {
    const admitted = admitRefusal(delivery.hookId);
    if (!admitted) return;
    const { leftOut } = admitted;
    const text = leftOut === 0 ? delivery.note : `${delivery.note} (and ${leftOut} more before, left out)`;
    try {
      await hooks.take({ ...delivery, note: text }, NO_MARKS);
    } catch (error) {
      log.warn("a delivery to a hook could not be written down", { hook: delivery.hookId, error });
    }
  }

  return async (arrived) => {
    const { request, response, head, path } = arrived;
    const { hook, rest } = await findHook(hooks, path);
    if (request.method !== "POST") {
      const error = new PlatformError("MethodNotAllowed", `a delivery is a POST, got ${request.method}`);
      discardRest(request);
      sendError(response, error, { log, requestId: arrived.invocationId, headers: ["allow", "POST"] });
      return;
    }
    const blank = blankDelivery(hook, arrived, clock.now());
    const body = await readBody(request, response, head, HOOK_BODY_BYTES_MAX).catch(
      async (error: unknown) => {
        if (isPlatformError(error, "PayloadTooLarge")) {
          await note({ ...blank, bodyBytes: head.contentLength ?? 0, note: error.message });
        }
        throw error;
      },
    );
    const message = { headers: headersOf(head), body: body ?? new Uint8Array(0) };
    const now = clock.now();
    const judgement = judge(hook, usableSecrets(parts.box, hook, now), { ...message, now });
    const refusal = { ...blank, bodyBytes: message.body.byteLength };
    if (judgement.kind === "refused") {
      await note({ ...refusal, note: judgement.why });
      throw new PlatformError("Unauthenticated", "the delivery is not known to be genuine");
    }
    const delivery = {
      ...refusal,
      at: now,
      senderId: cut(judgement.senderId),
      eventType: cut(eventTypeOf(hook.provider, message)),
    };
    if (hook.isPaused) {
      await note({ ...delivery, note: "the hook is paused" });
      throw new PlatformError("HookPaused", "this hook is paused; send it again later");
    }
    const answer = answerTo(hook.provider, message);
    if (answer) {
      await note({ ...delivery, outcome: "answered" });
      sendText(response, 200, answer.contentType, answer.text);
      return;
    }
    try {
      await take(parts, { hook, rest, arrived, message, delivery, marks: judgement.marks, note });
    } catch (error) {
      if (isPlatformError(error)) await note({ ...delivery, note: wholeMessage(error) });
      throw error;
    }
  };
}

interface Genuine {
  readonly hook: Hook;
  /** What follows the id in the path; `/` if nothing does. */
  readonly rest: string;
  readonly arrived: HookRequest;
  readonly message: HookMessage;
  readonly delivery: NewDelivery;
  readonly marks: ReplayMarks;
  readonly note: (delivery: NewDelivery) => Promise<void>;
}

async function take(parts: HookParts, genuine: Genuine): Promise<void> {
  const { hook, arrived, delivery, marks, note } = genuine;
  const { response } = arrived;
  const work = hook.deploy ? deploymentOf(hook.deploy.branch, genuine) : await eventOf(parts, genuine);
  const taken = await parts.hooks.take({ ...delivery, ...work }, marks);
  if (taken.kind === "known") {
    await note({ ...delivery, outcome: "duplicate", repeats: taken.first?.id, note: "it came before" });
    answer(response, hook, 200, { ...(taken.first && idsOf(taken.first)), duplicate: true });
    return;
  }
  if (taken.delivery.outcome === "waiting") parts.deploymentWaits();
  const isIgnored = taken.delivery.outcome === "ignored";
  answer(response, hook, isIgnored ? 200 : 202, {
    ...idsOf(taken.delivery),
    ...(isIgnored && { ignored: taken.delivery.note }),
  });
}

function deploymentOf(
  branch: string,
  { message }: Genuine,
): Pick<NewDelivery, "outcome" | "note" | "deployment"> {
  const push = pushOf(message);
  const ignored = (note: string) => ({ outcome: "ignored" as const, note, deployment: undefined });
  if (push.kind === "other") return ignored(push.why);
  if (push.branch !== branch) return ignored(`a push to ${push.branch}; this hook deploys ${branch}`);
  return { outcome: "waiting", note: undefined, deployment: { commit: push.commit, branch } };
}

/** The event is what the function would get if it were called with the request itself. */
async function eventOf(
  { functions }: HookParts,
  { hook, rest, arrived, message }: Genuine,
): Promise<Pick<NewDelivery, "outcome" | "note" | "event">> {
  const { request, head, invocationId } = arrived;
  const target = await targetOf(functions, hook);
  const route = {
    path: rest,
    query: (request.url ?? "").split("?").slice(1).join("?"),
    prefix: `${HOOKS_PATH}${hook.id}`,
    host: head.host ?? "",
  };
  const body = message.body.byteLength === 0 ? undefined : Buffer.from(message.body);
  const provenance = provenanceOf(request, head, route, invocationId);
  const seen = withHook(withoutHeader(head, "x-gitlab-token"), hook);
  const parts = { request, head: seen, route, target, invocationId, provenance };
  const input = inputOf({ ...parts, ...PLAIN, apiId: hook.functionName }, body);
  if (input.kind === "event" && input.payload.byteLength > PAYLOAD_BYTES_MAX) {
    throw new PlatformError(
      "PayloadTooLarge",
      `the event that the body makes is larger than ${PAYLOAD_BYTES_MAX} bytes`,
    );
  }
  return {
    outcome: "accepted",
    note: undefined,
    event: {
      functionName: hook.functionName,
      invocationId,
      work: { kind: "call", qualifier: hook.qualifier, input: wholeInput(input) },
      traceId: provenance.traceId,
      depth: depthOf(message.headers),
      origin: `hook ${hook.name}`,
    },
  };
}

/** Results that are told to a hook of our own may lead round and round: that is counted, as between functions. */
function depthOf(headers: HookHeaders): number {
  const text = headers["x-lambdad-depth"] ?? "";
  return /^\d{1,4}$/.test(text) ? Number(text) : 0;
}

/** The sender is told less than the owner: names of functions are none of its business. */
async function targetOf(functions: Pick<Functions, "resolve">, hook: Hook): Promise<Target> {
  try {
    return await functions.resolve(hook.functionName, hook.qualifier);
  } catch (cause) {
    if (!isPlatformError(cause)) throw cause;
    throw new PlatformError("ResourceNotFound", "what this hook calls is not there", { cause });
  }
}

function wholeMessage({ message, cause }: PlatformError): string {
  return cause instanceof Error ? `${message}: ${cause.message}` : message;
}

async function findHook(
  hooks: Pick<Hooks, "find">,
  path: string,
): Promise<{ readonly hook: Hook; readonly rest: string }> {
  const below = path.slice(HOOKS_PATH.length);
  const slash = below.indexOf("/");
  const id = parseHookId(slash === -1 ? below : below.slice(0, slash));
  const hook = id && (await hooks.find(id));
  if (hook && isOfLiveRelease(hook)) return { hook, rest: slash === -1 ? "/" : below.slice(slash) };
  throw new PlatformError("RouteNotFound", "there is no hook at this address");
}

function blankDelivery(hook: Hook, { request }: HookRequest, at: number): NewDelivery {
  return {
    hookId: hook.id,
    functionName: hook.functionName,
    at,
    outcome: "refused",
    note: undefined,
    senderId: undefined,
    eventType: undefined,
    sourceIp: (request.socket.remoteAddress ?? "").replace(/^::ffff:/, ""),
    bodyBytes: 0,
    repeats: undefined,
    event: undefined,
    deployment: undefined,
  };
}

function headersOf({ raw }: RequestHead): HookHeaders {
  const headers: Record<string, string> = Object.create(null);
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]?.toLowerCase() ?? "";
    const value = raw[at + 1] ?? "";
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  }
  return headers;
}

/** A function of several hooks can tell them apart. */
function withHook(head: RequestHead, hook: Hook): RequestHead {
  const raw = [...head.raw, "x-lambdad-hook", hook.name];
  return { ...head, raw, names: [...head.names, "x-lambdad-hook"] };
}

function idsOf({ id, eventId }: HookDelivery): Record<string, unknown> {
  return { deliveryId: id, eventId };
}

/** Slack shows to its users what the answer to a command says. */
function answer(
  response: HttpResponse,
  hook: Hook,
  status: number,
  value: Readonly<Record<string, unknown>>,
): void {
  if (hook.provider === "slack") sendText(response, 200, "text/plain", "");
  else sendJson(response, status, value);
}

function cut(text: string | undefined): string | undefined {
  return text?.slice(0, TEXT_LENGTH_MAX);
}
