/**
 * Whether a request to a hook is genuine. Each provider signs in its own way, always over the bytes of the body:
 *
 * | provider | header | what it is |
 * |---|---|---|
 * | github | `X-Hub-Signature-256` | `sha256=` and hex of HMAC-SHA256(secret, body); neither id nor time is signed |
 * | gitlab | `X-Gitlab-Token` | the secret itself; with a signing token (`whsec_…`) as `standard` |
 * | stripe | `Stripe-Signature` | `t=SECONDS,v1=HEX[,v1=HEX]` over `SECONDS.BODY` |
 * | slack | `X-Slack-Signature` | `v0=` and hex over `v0:SECONDS:BODY`, SECONDS in `X-Slack-Request-Timestamp` |
 * | standard | `webhook-signature` | `v1,BASE64[ v1,BASE64]` over `ID.SECONDS.BODY`; the key is the base64 of `whsec_…` |
 * | hmac | as the hook says | hex or base64, over `BODY` or `SECONDS.BODY` |
 *
 * https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries,
 * https://docs.stripe.com/webhooks/signature, https://docs.slack.dev/authentication/verifying-requests-from-slack,
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 *
 * Every active secret is tried and every comparison is made in full, in constant time. The signature is judged before
 * the time, so that what the owner reads is the reason; whoever asks learns nothing of either.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { HmacAlgorithm, HmacRule, HookProvider } from "../../core/hook.ts";
import { isStandardSecret } from "../../core/hook-secret.ts";
import { HOOK_CLOCK_SKEW_MS_MAX } from "../../core/limits.ts";
import type { ReplayMarks } from "../../store/hooks.ts";

/** Names in lower case; what came more than once is joined. */
export type HookHeaders = Readonly<Record<string, string | undefined>>;

export interface SignedRequest {
  readonly headers: HookHeaders;
  readonly body: Uint8Array;
  /** ms since epoch. */
  readonly now: number;
}

export interface SigningRule {
  readonly provider: HookProvider;
  readonly hmac: HmacRule | undefined;
}

export type Judgement =
  | {
      readonly kind: "genuine";
      readonly marks: ReplayMarks;
      /** The sender's own name of the delivery, if it has one. */
      readonly senderId: string | undefined;
    }
  /** `why` is for the owner of the hook. */
  | { readonly kind: "refused"; readonly why: string };

/** Never throws, whatever the request says. `secrets` are those that are good now. */
export function judge(rule: SigningRule, secrets: readonly string[], request: SignedRequest): Judgement {
  if (secrets.length === 0)
    return refused("the hook has no secret yet: lambda hook rotate sets the sender's");
  switch (rule.provider) {
    case "github":
      return judgeGitHub(secrets, request);
    case "gitlab":
      return judgeGitLab(secrets, request);
    case "stripe":
      return judgeStripe(secrets, request);
    case "slack":
      return judgeSlack(secrets, request);
    case "standard":
      return judgeStandard(secrets, request);
    case "hmac":
      return rule.hmac
        ? judgeHmac(rule.hmac, secrets, request)
        : refused("the hook does not say how its sender signs");
  }
}

function judgeGitHub(secrets: readonly string[], { headers, body }: SignedRequest): Judgement {
  const given = textOf(headers, "x-hub-signature-256");
  if (given === undefined) {
    const old =
      textOf(headers, "x-hub-signature") === undefined ? "" : " (X-Hub-Signature alone is not taken)";
    return refused(`no X-Hub-Signature-256 header${old}: give the webhook a secret`);
  }
  const digests = secrets.map((secret) => mac("sha256", secret, body));
  const fitting = fittingOf(digests, [fromHex(given, "sha256=")]);
  if (!fitting) return WRONG;
  const senderId = textOf(headers, "x-github-delivery");
  const bytes = bytesMark(fitting);
  // The id is not signed: whoever has caught a delivery can send it again under another one.
  const signed = { text: bytes, msMax: HOOK_CLOCK_SKEW_MS_MAX };
  return genuine({ ids: [senderId === undefined ? bytes : `id ${senderId}`], signed }, senderId);
}

function judgeGitLab(secrets: readonly string[], request: SignedRequest): Judgement {
  const { headers, body } = request;
  const signing = secrets.filter(isStandardSecret);
  const tokens = secrets.filter((secret) => !isStandardSecret(secret));
  if (signing.length > 0 && textOf(headers, "webhook-signature") !== undefined) {
    return judgeStandard(signing, request);
  }
  const given = textOf(headers, "x-gitlab-token");
  if (tokens.length === 0) return refused("no webhook-signature header: give the webhook the signing token");
  if (given === undefined) return refused("no X-Gitlab-Token header: give the webhook the secret token");
  if (!fittingOf(tokens.map(digestOf), [digestOf(given)])) return refused("X-Gitlab-Token is another secret");
  const key = textOf(headers, "idempotency-key");
  if (key !== undefined) return genuine({ ids: [`id ${key}`], signed: undefined }, key);
  // Webhooks that follow from one another share it, with other bodies.
  const uuid = textOf(headers, "x-gitlab-event-uuid");
  if (uuid === undefined) return genuine({ ids: [], signed: undefined }, undefined);
  return genuine({ ids: [`event ${uuid} ${digestOf(body).toString("hex")}`], signed: undefined }, uuid);
}

function judgeStripe(secrets: readonly string[], { headers, body, now }: SignedRequest): Judgement {
  const given = textOf(headers, "stripe-signature");
  if (given === undefined) return refused("no Stripe-Signature header");
  const parts = given.split(",").map((part) => part.trim());
  const timestamp = parts.find((part) => part.startsWith("t="))?.slice("t=".length) ?? "";
  if (!SECONDS.test(timestamp)) return refused("Stripe-Signature has no time (t=)");
  const digests = secrets.map((secret) => mac("sha256", secret, `${timestamp}.`, body));
  const signatures = parts.filter((part) => part.startsWith("v1="));
  const fitting = fittingOf(
    digests,
    signatures.map((part) => fromHex(part, "v1=")),
  );
  return judgeTimed(fitting, timestamp, now, memberOf(body, "id"));
}

function judgeSlack(secrets: readonly string[], { headers, body, now }: SignedRequest): Judgement {
  const given = textOf(headers, "x-slack-signature");
  const timestamp = textOf(headers, "x-slack-request-timestamp");
  if (given === undefined) return refused("no X-Slack-Signature header");
  if (timestamp === undefined || !SECONDS.test(timestamp)) {
    return refused("X-Slack-Request-Timestamp is missing, or is no number of seconds");
  }
  const digests = secrets.map((secret) => mac("sha256", secret, `v0:${timestamp}:`, body));
  // Commands and buttons come as forms, without an id.
  return judgeTimed(fittingOf(digests, [fromHex(given, "v0=")]), timestamp, now, memberOf(body, "event_id"));
}

/** Some senders write `svix-` for `webhook-`. */
function judgeStandard(secrets: readonly string[], { headers, body, now }: SignedRequest): Judgement {
  const prefix = textOf(headers, "webhook-signature") === undefined ? "svix" : "webhook";
  const id = textOf(headers, `${prefix}-id`);
  const timestamp = textOf(headers, `${prefix}-timestamp`);
  const given = textOf(headers, `${prefix}-signature`);
  if (given === undefined) return refused("no webhook-signature header");
  if (id === undefined) return refused("no webhook-id header");
  if (timestamp === undefined || !SECONDS.test(timestamp)) {
    return refused("webhook-timestamp is missing, or is no number of seconds");
  }
  const digests = secrets.map((secret) => mac("sha256", standardKey(secret), `${id}.${timestamp}.`, body));
  const signatures = given.split(" ").filter((part) => part.startsWith("v1,"));
  const fitting = fittingOf(
    digests,
    signatures.map((part) => fromBase64(part.slice("v1,".length))),
  );
  return judgeTimed(fitting, timestamp, now, id);
}

function judgeHmac(rule: HmacRule, secrets: readonly string[], request: SignedRequest): Judgement {
  const { headers, body, now } = request;
  const { header, algorithm, idHeader, timestampHeader } = rule;
  const given = textOf(headers, header);
  if (given === undefined) return refused(`no ${header} header`);
  const timestamp = timestampHeader === undefined ? undefined : textOf(headers, timestampHeader);
  if (timestampHeader !== undefined && (timestamp === undefined || !SECONDS.test(timestamp))) {
    return refused(`${timestampHeader} is missing, or is no number of seconds`);
  }
  const id = idHeader === undefined ? undefined : textOf(headers, idHeader);
  if (idHeader !== undefined && id === undefined) return refused(`no ${idHeader} header`);
  const start = timestamp === undefined ? "" : `${timestamp}.`;
  const digests = secrets.map((secret) => mac(algorithm, secret, start, body));
  const text = given.replace(/^[a-z0-9-]{1,16}=(?=[^=])/i, "");
  return judgeTimed(fittingOf(digests, [fromHex(text), fromBase64(text)]), timestamp, now, id);
}

/** Where there is no id, there is nothing else to know it by: the same signature is the same delivery. */
function judgeTimed(
  fitting: Buffer | undefined,
  timestamp: string | undefined,
  now: number,
  id: string | undefined,
): Judgement {
  if (!fitting) return WRONG;
  const awayMs = timestamp === undefined ? 0 : Math.abs(Number(timestamp) * 1_000 - now);
  if (awayMs > HOOK_CLOCK_SKEW_MS_MAX) {
    const [away, most] = [Math.round(awayMs / 1_000), HOOK_CLOCK_SKEW_MS_MAX / 1_000];
    return refused(`the signature is right, but its time is ${away} s from ours; ${most} s are allowed`);
  }
  return genuine({ ids: [id === undefined ? bytesMark(fitting) : `id ${id}`], signed: undefined }, id);
}

/** Not of the header, which can be written in more than one way. */
function bytesMark(digest: Buffer): string {
  return `signature ${digest.toString("hex")}`;
}

const SECONDS = /^[0-9]{1,12}$/;

function standardKey(secret: string): Buffer {
  return Buffer.from(secret.replace(/^whsec_/, ""), "base64");
}

function mac(
  algorithm: HmacAlgorithm,
  key: string | Buffer,
  ...parts: readonly (string | Uint8Array)[]
): Buffer {
  const hmac = createHmac(algorithm, key);
  for (const part of parts) hmac.update(part);
  return hmac.digest();
}

function digestOf(value: string | Uint8Array): Buffer {
  return createHash("sha256").update(value).digest();
}

/**
 * The expected digest that one of the given ones equals. Looks at all of them, whichever fits; those of another length
 * cost nothing, which tells only that they are.
 */
function fittingOf(expected: readonly Buffer[], given: readonly (Buffer | undefined)[]): Buffer | undefined {
  let fitting: Buffer | undefined;
  for (const digest of expected) {
    for (const candidate of given) {
      if (candidate?.length === digest.length && timingSafeEqual(candidate, digest)) fitting = digest;
    }
  }
  return fitting;
}

function fromHex(text: string, prefix = ""): Buffer | undefined {
  const hex = text.slice(prefix.length);
  if (!text.startsWith(prefix) || hex.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(hex)) return undefined;
  return Buffer.from(hex, "hex");
}

/** Only in its one form, in which no bit is left over. */
function fromBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64").replace(/=+$/, "") === text.replace(/=+$/, "") ? bytes : undefined;
}

/** A header that is there once; one that is repeated comes joined, and fits nothing. */
function textOf(headers: HookHeaders, name: string): string | undefined {
  return headers[name] || undefined;
}

/** A text in a JSON object; the signature has covered it by then. */
function memberOf(body: Uint8Array, name: string): string | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString());
    if (typeof value !== "object" || value === null) return undefined;
    const member: unknown = Reflect.get(value, name);
    return typeof member === "string" && member !== "" ? member : undefined;
  } catch {
    // A form, which has none.
    return undefined;
  }
}

function genuine(marks: ReplayMarks, senderId: string | undefined): Judgement {
  return { kind: "genuine", marks, senderId };
}

function refused(why: string): Judgement {
  return { kind: "refused", why };
}

const WRONG = refused(
  "the signature does not fit: the sender has another secret, or the body was changed on its way",
);
