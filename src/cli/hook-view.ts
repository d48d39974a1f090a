import { formatInstant, formatSpan } from "./units.ts";
import { Fields } from "./wire.ts";

/** A hook as docs/api.md shows one. */
export interface HookView {
  readonly name: string;
  readonly url: string;
  readonly provider: string;
  /** With its qualifier. */
  readonly function: string;
  readonly state: string;
  readonly description: string;
  readonly createdAt: number;
  readonly secrets: readonly { readonly createdAt: number; readonly expiresAt: number | undefined }[];
  readonly signature: string | undefined;
  readonly deploys: string | undefined;
  readonly credential: string | undefined;
}

export function readHook(value: unknown): HookView {
  const fields = new Fields("hook", value);
  const qualifier = fields.optionalText("qualifier");
  const deploy = fields.optionalObject("deploy");
  return {
    name: fields.text("name"),
    url: fields.text("url"),
    provider: fields.text("provider"),
    function: `${fields.text("function")}${qualifier === undefined ? "" : `:${qualifier}`}`,
    state: fields.text("state"),
    description: fields.text("description"),
    createdAt: fields.number("createdAt"),
    secrets: fields.list("secrets").map((secret) => {
      const { createdAt, expiresAt } = readSecret(secret);
      return { createdAt, expiresAt };
    }),
    signature: signatureInWords(fields.optionalObject("signature")),
    deploys: deploy && codeInWords(deploy),
    credential: deploy?.optionalText("credential"),
  };
}

export const HOOK_TITLES = ["NAME", "PROVIDER", "FUNCTION", "STATE", "DEPLOYS", "ADDRESS"];

export function hookRow(hook: HookView): string[] {
  return [hook.name, hook.provider, hook.function, hook.state, hook.deploys ?? "-", hook.url];
}

export function hookFacts(hook: HookView): [string, string | undefined][] {
  const secrets = hook.secrets.map(
    ({ createdAt, expiresAt }) =>
      `of ${formatInstant(createdAt)}${expiresAt === undefined ? "" : `, good until ${formatInstant(expiresAt)}`}`,
  );
  return [
    ["Name", hook.name],
    ["Address", hook.url],
    ["Provider", hook.provider],
    ["Function", hook.function],
    ["State", hook.state],
    ["Signature", hook.signature],
    ["Secret", secrets[0]],
    ["Old secret", secrets[1]],
    ["Deploys", hook.deploys],
    ["Credential", hook.credential],
    ["Created", formatInstant(hook.createdAt)],
    ["For", hook.description],
  ];
}

export interface DeliveryView {
  readonly id: string;
  readonly at: number;
  readonly outcome: string;
  readonly note: string | undefined;
  readonly senderId: string | undefined;
  readonly eventType: string | undefined;
  readonly sourceIp: string;
  readonly bodyBytes: number;
  readonly eventId: string | undefined;
  readonly eventState: string | undefined;
  readonly repeats: string | undefined;
  readonly deployment: DeploymentView | undefined;
}

interface DeploymentView {
  readonly commit: string;
  readonly branch: string;
  readonly attempts: number;
  readonly startedAt: number | undefined;
  readonly endedAt: number | undefined;
  readonly version: number | undefined;
}

export function readDelivery(value: unknown): DeliveryView {
  const fields = new Fields("delivery", value);
  const deployment = fields.optionalObject("deployment");
  return {
    id: fields.text("id"),
    at: fields.number("at"),
    outcome: fields.text("outcome"),
    note: fields.optionalText("note"),
    senderId: fields.optionalText("senderId"),
    eventType: fields.optionalText("eventType"),
    sourceIp: fields.text("sourceIp"),
    bodyBytes: fields.number("bodyBytes"),
    eventId: fields.optionalText("eventId"),
    eventState: fields.optionalText("eventState"),
    repeats: fields.optionalText("repeats"),
    deployment: deployment && {
      commit: deployment.text("commit"),
      branch: deployment.text("branch"),
      attempts: deployment.number("attempts"),
      startedAt: deployment.optionalNumber("startedAt"),
      endedAt: deployment.optionalNumber("endedAt"),
      version: deployment.optionalNumber("version"),
    },
  };
}

export const DELIVERY_TITLES = ["TIME", "ID", "TYPE", "OUTCOME", "WHAT FOLLOWED"];

export function deliveryRow(delivery: DeliveryView): string[] {
  const { id, at, eventType, outcome } = delivery;
  return [formatInstant(at), id, eventType ?? "-", outcome, whatFollowed(delivery)];
}

export function deliveryFacts(delivery: DeliveryView): [string, string | undefined][] {
  const { deployment, eventId, eventState } = delivery;
  const { startedAt, endedAt } = deployment ?? {};
  return [
    ["Id", delivery.id],
    ["Time", formatInstant(delivery.at)],
    ["Outcome", delivery.outcome],
    ["Why", delivery.note],
    ["Type", delivery.eventType],
    ["Sender's id", delivery.senderId],
    ["From", delivery.sourceIp],
    ["Size", `${delivery.bodyBytes} bytes`],
    ["Event", eventId === undefined ? undefined : `${eventId} (${eventState})`],
    ["Repeats", delivery.repeats],
    ["Commit", deployment && `${deployment.commit} of ${deployment.branch}`],
    ["Version", deployment?.version === undefined ? undefined : String(deployment.version)],
    ["Attempts", deployment && String(deployment.attempts)],
    ["Took", startedAt === undefined || endedAt === undefined ? undefined : formatSpan(endedAt - startedAt)],
  ];
}

function whatFollowed({ eventId, eventState, deployment, note, repeats }: DeliveryView): string {
  if (eventId !== undefined) return `${eventId} ${eventState}`;
  const commit = deployment?.commit.slice(0, 7);
  if (deployment?.version !== undefined) return `${commit} is version ${deployment.version}`;
  if (repeats !== undefined && note !== undefined) return `${note}: ${repeats}`;
  // A build says much; its last words are with the delivery itself.
  return [commit, note?.split("\n")[0]].filter((part) => part !== undefined).join(": ") || "-";
}

function readSecret(value: unknown) {
  const fields = new Fields("secret", value);
  return { createdAt: fields.number("createdAt"), expiresAt: fields.optionalNumber("expiresAt") };
}

function signatureInWords(fields: Fields | undefined): string | undefined {
  if (!fields) return undefined;
  const [id, time] = [fields.optionalText("idHeader"), fields.optionalText("timestampHeader")];
  return [
    `${fields.text("algorithm")} in ${fields.text("header")}`,
    ...(time === undefined ? [] : [`time in ${time}`]),
    ...(id === undefined ? [] : [`id in ${id}`]),
  ].join(", ");
}

function codeInWords(deploy: Fields): string {
  const path = deploy.text("path");
  return `${deploy.text("branch")} of ${deploy.text("repo")}${path === "" ? "" : `, folder ${path}`}`;
}
