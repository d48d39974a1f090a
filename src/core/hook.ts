import type { DeliveryId, EventId, FunctionName, HookId } from "./ids.ts";
import type { TriggerOwner } from "./project.ts";

/** Whose way of signing a hook checks. */
export const HOOK_PROVIDERS = ["github", "gitlab", "stripe", "slack", "hmac", "standard"] as const;

export type HookProvider = (typeof HOOK_PROVIDERS)[number];

export const HMAC_ALGORITHMS = ["sha256", "sha512", "sha1"] as const;

export type HmacAlgorithm = (typeof HMAC_ALGORITHMS)[number];

/** How a sender that no other provider describes signs: an HMAC over the body, or over `TIMESTAMP.BODY`. */
export interface HmacRule {
  /** Header with the signature in hex or base64, after `sha256=` or not. In lower case. */
  readonly header: string;
  readonly algorithm: HmacAlgorithm;
  /** Header with an id that no other delivery has; undefined takes the signature for it. */
  readonly idHeader: string | undefined;
  /** Header with the seconds since 1970 that are signed too; undefined where only the body is. */
  readonly timestampHeader: string | undefined;
}

/** Where others call a function, or ask for its deployment, with requests that they sign. */
export interface Hook {
  readonly id: HookId;
  /** 1 to 64 of `0-9 A-Z a-z - _ .`; unique. */
  readonly name: string;
  readonly description: string;
  /** Of a hook that deploys, it need not exist yet. */
  readonly functionName: FunctionName;
  /** Alias, number or `$LATEST`; looked up anew for each delivery. */
  readonly qualifier: string | undefined;
  readonly provider: HookProvider;
  /** Set for provider `hmac`. */
  readonly hmac: HmacRule | undefined;
  /** Newest first, at most `HOOK_SECRETS_MAX`; none until the sender's was told. */
  readonly secrets: readonly HookSecret[];
  readonly isPaused: boolean;
  /** What a push brings about; undefined calls the function. */
  readonly deploy: DeployRule | undefined;
  /** Undefined for one of its own. */
  readonly owner: TriggerOwner | undefined;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

/** What signatures are checked with, sealed: whoever has the store alone does not have it. */
export interface HookSecret {
  /** Bound into the seal. */
  readonly id: string;
  readonly sealed: string;
  readonly createdAt: number;
  /** When it stops being good, since another took its place. */
  readonly expiresAt: number | undefined;
}

/** Which code a push deploys. */
export interface DeployRule {
  /** URL or path that git reads from; holds no credential. */
  readonly repo: string;
  readonly branch: string;
  /** Folder of the repository that is the function; empty for all of it. `/` between names. */
  readonly path: string;
  readonly credential: RepoCredential | undefined;
}

/** What the repository is read with, sealed as the secrets are. */
export type RepoCredential =
  | { readonly kind: "token"; readonly user: string; readonly sealed: string }
  | { readonly kind: "ssh-key"; readonly sealed: string; readonly knownHosts: string | undefined };

/**
 * What became of a delivery.
 *
 * `accepted`: its event is in the queue. `answered`: it was a question of the sender's about the address. `ignored`:
 * nothing follows from it. `duplicate`: it came before. `refused`: it is not known to be genuine, or cannot be taken.
 * The others are of deployments:
 *
 *   waiting ──► building ──► deployed
 *      │  ▲        │  └────► failed
 *      │  └────────┘ (the daemon went away)
 *      └─────────────────► superseded
 */
export const DELIVERY_OUTCOMES = [
  "accepted",
  "answered",
  "ignored",
  "duplicate",
  "refused",
  "waiting",
  "building",
  "deployed",
  "failed",
  "superseded",
] as const;

export type DeliveryOutcome = (typeof DELIVERY_OUTCOMES)[number];

export function isOpenOutcome(outcome: DeliveryOutcome): boolean {
  return outcome === "waiting" || outcome === "building";
}

/** A request to a hook, and what became of it. */
export interface HookDelivery {
  readonly id: DeliveryId;
  readonly hookId: HookId;
  readonly at: number;
  readonly outcome: DeliveryOutcome;
  /** Why it was refused or ignored, what went wrong; for the owner of the hook alone. */
  readonly note: string | undefined;
  /** As the sender says them: its own id of the delivery, and what has happened (`push`). Cut to 200 characters. */
  readonly senderId: string | undefined;
  readonly eventType: string | undefined;
  readonly sourceIp: string;
  readonly bodyBytes: number;
  readonly eventId: EventId | undefined;
  /** The one that this repeats: by hand, or as a duplicate. */
  readonly repeats: DeliveryId | undefined;
  readonly deployment: Deployment | undefined;
}

export interface Deployment {
  /** 40 or 64 hex digits. */
  readonly commit: string;
  readonly branch: string;
  /** How often it was begun: more than once if the daemon went away in the middle. */
  readonly attempts: number;
  readonly startedAt: number | undefined;
  readonly endedAt: number | undefined;
  /** The number of the version it made. */
  readonly version: number | undefined;
}

const HOOK_NAME = /^[0-9A-Za-z_.-]{1,64}$/;

/** The grammar in words, for error messages. */
export const HOOK_NAME_RULE =
  "1 to 64 characters of A-Z, a-z, 0-9, -, _ and ., with a letter or digit, not beginning with hk_";

/** One without letters and digits would be a dot segment in a path; one that looks like an id could be taken for one. */
export function isHookName(text: string): boolean {
  return HOOK_NAME.test(text) && /[0-9A-Za-z]/.test(text) && !text.startsWith("hk_");
}
