/** What clients of our own API send. Unlike AWS's, unknown members are refused: a typing error must not be silence. */
import * as z from "zod";
import type { CodeSettings } from "../../../code/prepare.ts";
import {
  BUILD_ARG_LENGTH_MAX,
  BUILD_ARG_NAME,
  BUILD_ARG_RULE,
  BUILD_ARGS_MAX,
} from "../../../core/build-inputs.ts";
import {
  CANARY_CALLS_MIN_DEFAULT,
  CANARY_CONDITIONS_MAX,
  CANARY_MS_MAX,
  CANARY_MS_MIN,
  type CanaryPlan,
  parseCondition,
  parseSticky,
} from "../../../core/canary.ts";
import { PlatformError } from "../../../core/errors.ts";
import type { Network, VersionLabel } from "../../../core/function.ts";
import { type FunctionName, type KeyId, parseFunctionName, parseKeyId } from "../../../core/ids.ts";
import {
  CPUS_MAX,
  CPUS_MIN,
  LAYERS_MAX,
  MEMORY_MIB_MAX,
  MEMORY_MIB_MIN,
  TIMEOUT_MS_MAX,
  TMP_MIB_MAX,
} from "../../../core/limits.ts";
import { parseShadowMethods, SHADOW_METHODS_DEFAULT, SHADOW_MS_DEFAULT } from "../../../core/shadow.ts";
import { checkEnvironment } from "../environment-rules.ts";
import type { NewKey } from "../keys.ts";
import { chooseRuntime } from "./retired-runtimes.ts";

const SLOTS_MAX = 1_000;
const CONCURRENCY_MAX = 1_000_000;
const INSTANCES_MIN_MAX = 1_000;
const MAY_INVOKE_MAX = 20;

export const Variables = z.record(
  z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "expected a name of letters, digits and _"),
  z.string(),
);

/** What decides how code is made runnable. */
const entry = {
  runtime: z.string().min(1).max(64),
  kind: z.enum(["handler", "lifecycle", "server", "filter"]),
  handler: z.string().max(128).regex(/^\S+$/, "expected a handler without spaces: FILE.EXPORT"),
  module: z.string().min(1).max(256),
  command: z.array(z.string().max(4096)).min(1).max(256),
};

/** In the order in which they are laid over each other: `NAME`, `NAME:NUMBER` or an ARN. */
const layers = z.array(z.string().min(1).max(256)).max(LAYERS_MAX);

/** What can be changed without looking at the code. */
export const configuration = {
  memoryMib: z.int().min(MEMORY_MIB_MIN).max(MEMORY_MIB_MAX),
  /** `null` lets it follow the memory again. */
  cpus: z.number().min(CPUS_MIN).max(CPUS_MAX).nullable(),
  timeoutMs: z.int().min(1).max(TIMEOUT_MS_MAX),
  tmpMib: z.int().min(1).max(TMP_MIB_MAX),
  network: z.enum(["host", "none", "public"]),
  slotsPerInstance: z.int().min(1).max(SLOTS_MAX),
  /** `null` takes a limit away. */
  concurrencyMax: z.int().min(0).max(CONCURRENCY_MAX).nullable(),
  /** Instances that are kept started. */
  concurrencyMin: z.int().min(0).max(INSTANCES_MIN_MAX),
  mayInvoke: z
    .array(
      z
        .string()
        .regex(/^[A-Za-z0-9_*-]{1,64}$/, "expected a name of a function, in which * stands for anything"),
    )
    .max(MAY_INVOKE_MAX),
  description: z.string().max(256),
};

const settings = { ...entry, ...configuration };

const source = {
  fileName: z
    .string()
    .min(1)
    .max(255)
    .regex(/^[^/\\\0]+$/, "expected a file name without folders"),
  /** An image of the container engine instead of an upload. */
  image: z.string().min(1).max(512),
  package: z.enum(["zip", "image"]),
  /** For the build of a Dockerfile. */
  buildArgs: z
    .record(
      z.string().regex(BUILD_ARG_NAME, `expected ${BUILD_ARG_RULE}`),
      z.string().max(BUILD_ARG_LENGTH_MAX),
    )
    .refine((args) => Object.keys(args).length <= BUILD_ARGS_MAX, {
      error: `expected at most ${BUILD_ARGS_MAX} of them`,
    }),
  /** The `id` that `POST /v1/build-secrets` gave. */
  buildSecrets: z.string().min(1).max(64),
  build: z.boolean(),
  allowScripts: z.boolean(),
};

const CANARY_CALLS_MAX = 1_000_000;

const CanaryText = z.string().min(1).max(256);

export const CanaryOptions = z.strictObject({
  share: z.number().gt(0).lt(1),
  forMs: z.int().min(CANARY_MS_MIN).max(CANARY_MS_MAX),
  /** `error-rate>1%`, `p99>500ms`. */
  abortOn: z.array(CanaryText).max(CANARY_CONDITIONS_MAX).default([]),
  minCalls: z.int().min(1).max(CANARY_CALLS_MAX).default(CANARY_CALLS_MIN_DEFAULT),
  /** `header:NAME`, `cookie:NAME`, `ip`. */
  sticky: CanaryText.optional(),
});

export const ShadowOptions = z.strictObject({
  share: z.number().gt(0).max(1),
  forMs: z.int().min(CANARY_MS_MIN).max(CANARY_MS_MAX).default(SHADOW_MS_DEFAULT),
  methods: z.array(CanaryText).default([...SHADOW_METHODS_DEFAULT]),
});

const DeployOptions = z
  .strictObject({
    ...settings,
    ...source,
    layers,
    environment: Variables,
    canary: CanaryOptions,
    shadow: ShadowOptions,
  })
  .partial();

export const BuildOptions = z.strictObject({ ...entry, ...source }).partial();

const Change = z
  .strictObject({
    ...settings,
    layers,
    environment: z.strictObject({ set: Variables.default({}), unset: z.array(z.string()).default([]) }),
  })
  .partial();

const Rollback = z.strictObject({ to: z.int().min(1).optional() });

const VersionText = z
  .union(
    [z.int().min(1), z.string().regex(/^(\$LATEST|[1-9][0-9]*)$/)],
    "expected a version number or $LATEST",
  )
  .transform((value) => String(value));

const PutAlias = z.strictObject({
  version: VersionText,
  description: z.string().max(256).optional(),
  split: z.strictObject({ version: VersionText, weight: z.number().min(0).max(1) }).nullish(),
});

const FunctionNameText = z.string().min(1).max(64);
const FUNCTIONS_REFRESHED_MAX = 1_000;

const CreateKey = z.strictObject({
  id: z.string().optional(),
  secret: z
    .string()
    .min(16)
    .max(256)
    .regex(/^[\x21-\x7e]+$/, "expected printable characters without spaces")
    .optional(),
  description: z.string().max(256).default(""),
  scopes: z
    .array(z.enum(["invoke", "read", "replay", "deploy", "admin"]))
    .min(1)
    .default(["invoke"]),
  functions: z
    .string()
    .max(256)
    .regex(/^[A-Za-z0-9_*-]+$/, "expected a name of a function, in which * stands for anything")
    .default("*"),
  expiresAt: z.int().min(0).optional(),
});

const REDRIVE_IDS_MAX = 1_000;

const Redrive = z.strictObject({
  ids: z.array(z.string()).max(REDRIVE_IDS_MAX).optional(),
  /** A number, an alias or `$LATEST` that calls go to from now on. */
  version: z
    .union([z.int().min(1), z.string().regex(/^(\$LATEST|[A-Za-z0-9_-]{1,128})$/)])
    .transform((value) => String(value))
    .optional(),
});

const RefreshImages = z.strictObject({
  /** All if left out. */
  functions: z.array(FunctionNameText).max(FUNCTIONS_REFRESHED_MAX).optional(),
  /** What the daemon is configured for if left out. */
  live: z.boolean().optional(),
});

/** For the OpenAPI document. */
export const V1_SCHEMAS = {
  DeployOptions,
  BuildOptions,
  Change,
  Rollback,
  PutAlias,
  CreateKey,
  Redrive,
  RefreshImages,
};

/** Settings that a request gives; what it leaves out is undefined. */
export interface Settings {
  readonly prepare: CodeSettings;
  /** What whoever asked should know of what they asked for. */
  readonly warnings: readonly string[];
  /** `NAME`, `NAME:NUMBER` or an ARN. */
  readonly layers: readonly string[] | undefined;
  readonly memoryMib: number | undefined;
  /** `null` lets it follow the memory again. */
  readonly cpus: number | null | undefined;
  readonly timeoutMs: number | undefined;
  readonly tmpMib: number | undefined;
  readonly network: Network | undefined;
  readonly slotsPerInstance: number | undefined;
  /** `null` takes the limit away. */
  readonly concurrencyMax: number | null | undefined;
  readonly concurrencyMin: number | undefined;
  /** Globs over functions. */
  readonly mayInvoke: readonly string[] | undefined;
  readonly description: string | undefined;
}

/** Of those, what needs nothing but to be put in place. */
export type ConfigurationSettings = Omit<Settings, "prepare" | "warnings" | "layers">;

export interface DeploySettings extends Settings {
  /** The name of an image instead of an upload. */
  readonly image: string | undefined;
  readonly fileName: string | undefined;
  /** The name that secrets of the build are kept under. */
  readonly buildSecrets?: string | undefined;
  readonly environment: Readonly<Record<string, string>> | undefined;
  /** Only a share of the calls goes to the new version, for a while, or copies of them. */
  readonly canary?: CanaryPlan | undefined;
}

export interface ChangeSettings extends Settings {
  readonly environment:
    | { readonly set: Readonly<Record<string, string>>; readonly unset: readonly string[] }
    | undefined;
}

/** The `options` of a deploy: JSON in the query. @throws PlatformError `InvalidRequest`. */
export function parseDeployOptions(text: string | null): DeploySettings {
  const options = parse(DeployOptions, optionsOf(text), "options");
  return {
    ...settingsOf(options),
    fileName: options.fileName,
    image: options.image,
    buildSecrets: options.buildSecrets,
    environment: options.environment && checkEnvironment(options.environment),
    canary: trialPlanOf(options),
  };
}

/** @throws PlatformError `InvalidRequest` for both, or for what cannot be read. */
export function trialPlanOf({
  canary,
  shadow,
}: {
  readonly canary?: z.output<typeof CanaryOptions> | undefined;
  readonly shadow?: z.output<typeof ShadowOptions> | undefined;
}): CanaryPlan | undefined {
  if (canary && shadow) {
    throw new PlatformError("InvalidRequest", "canary, shadow: one is tried at a time; send one of them");
  }
  if (canary) return canaryPlanOf(canary);
  if (!shadow) return undefined;
  const { share, forMs } = shadow;
  return { share, forMs, abortOn: [], callsMin: 1, shadow: { methods: parseShadowMethods(shadow.methods) } };
}

function canaryPlanOf({
  share,
  forMs,
  abortOn,
  minCalls,
  sticky,
}: z.output<typeof CanaryOptions>): CanaryPlan {
  return {
    share,
    forMs,
    abortOn: abortOn.map(parseCondition),
    callsMin: minCalls,
    ...(sticky !== undefined && { sticky: parseSticky(sticky) }),
  };
}

/** @throws PlatformError `InvalidRequest` */
export function optionsOf(text: string | null): unknown {
  if (text === null || text === "") return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new PlatformError("InvalidRequest", "options: expected JSON", { cause });
  }
}

/** @throws PlatformError `InvalidRequest`. */
export function parseChange(body: unknown): ChangeSettings {
  const change = parse(Change, body, "body");
  return { ...settingsOf(change), environment: change.environment };
}

/** @throws PlatformError `InvalidRequest`. */
export function parseRollback(body: unknown): number | undefined {
  return parse(Rollback, body, "body").to;
}

/** @throws PlatformError `InvalidRequest`. */
export function parsePutAlias(body: unknown): {
  readonly version: VersionLabel;
  readonly description: string | undefined;
  readonly split: { readonly version: VersionLabel; readonly weight: number } | undefined;
} {
  const alias = parse(PutAlias, body, "body");
  return {
    version: alias.version as VersionLabel,
    description: alias.description,
    split: alias.split
      ? { version: alias.split.version as VersionLabel, weight: alias.split.weight }
      : undefined,
  };
}

/** @throws PlatformError `InvalidRequest`. */
export function parseCreateKey(body: unknown): NewKey {
  const { id, secret, description, scopes, functions, expiresAt } = parse(CreateKey, body, "body");
  if ((id === undefined) !== (secret === undefined)) {
    throw new PlatformError("InvalidRequest", "id and secret: send both to take over a key pair, or neither");
  }
  const imported = id === undefined || secret === undefined ? undefined : { id: keyId(id), secret };
  return { imported, description, scopes: [...new Set(scopes)], functions, expiresAt };
}

/** @throws PlatformError `InvalidRequest`. */
export function parseRedrive(body: unknown): {
  readonly ids: readonly string[] | undefined;
  readonly version: string | undefined;
} {
  const { ids, version } = parse(Redrive, body, "body");
  return { ids, version };
}

/** @throws PlatformError `InvalidRequest`, `InvalidName`. */
export function parseRefreshImages(body: unknown): {
  readonly functions: readonly FunctionName[] | undefined;
  readonly isLive: boolean | undefined;
} {
  const { functions, live } = parse(RefreshImages, body, "body");
  return { functions: functions?.map(functionName), isLive: live };
}

function functionName(text: string): FunctionName {
  const name = parseFunctionName(text);
  if (name) return name;
  throw new PlatformError("InvalidName", `functions: ${JSON.stringify(text)} is no name of a function`);
}

function keyId(text: string): KeyId {
  const id = parseKeyId(text);
  if (id) return id;
  throw new PlatformError(
    "InvalidRequest",
    `id: expected 16 to 32 characters of A-Z and 0-9, got ${JSON.stringify(text)}`,
  );
}

const PAGE_DEFAULT = 100;
const PAGE_MAX = 500;

/** `after` and `limit` of a list. @throws PlatformError `InvalidRequest`. */
export function parsePage(query: URLSearchParams): {
  readonly after: string | undefined;
  readonly limit: number;
} {
  return {
    after: query.get("after") ?? undefined,
    limit: wholeNumber(query, "limit", 1, PAGE_MAX) ?? PAGE_DEFAULT,
  };
}

/** A number of the query. @throws PlatformError `InvalidRequest`. */
export function wholeNumber(
  query: URLSearchParams,
  name: string,
  min: number,
  max: number,
): number | undefined {
  const text = query.get(name);
  if (text === null || text === "") return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new PlatformError(
    "InvalidRequest",
    `${name}: expected a number from ${min} to ${max}, got ${JSON.stringify(text)}`,
  );
}

function settingsOf(given: z.output<typeof DeployOptions> | z.output<typeof Change>): Settings {
  const { runtime, warnings } = chooseRuntime(given.runtime);
  return {
    prepare: { ...prepareOf(given), runtime },
    warnings,
    layers: given.layers,
    ...configurationOf(given),
  };
}

export function prepareOf(
  given: z.output<typeof DeployOptions> | z.output<typeof BuildOptions> | z.output<typeof Change>,
): CodeSettings {
  return {
    runtime: given.runtime,
    kind: given.kind,
    handler: given.handler,
    module: given.module,
    command: given.command,
    package: "package" in given ? given.package : undefined,
    buildArgs: "buildArgs" in given ? given.buildArgs : undefined,
    build: "build" in given ? given.build !== false : true,
    allowScripts: "allowScripts" in given && given.allowScripts === true,
  };
}

const Configuration = z.strictObject(configuration).partial();

export function configurationOf(given: z.output<typeof Configuration>): ConfigurationSettings {
  return {
    memoryMib: given.memoryMib,
    cpus: given.cpus,
    timeoutMs: given.timeoutMs,
    tmpMib: given.tmpMib,
    network: given.network,
    slotsPerInstance: given.slotsPerInstance,
    concurrencyMax: given.concurrencyMax,
    concurrencyMin: given.concurrencyMin,
    mayInvoke: given.mayInvoke,
    description: given.description,
  };
}

/** All that is wrong in one sentence. */
export function parse<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
  whole: string,
): z.output<Schema> {
  const result = schema.safeParse(input ?? {});
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const place = issue.path.length > 0 ? issue.path.join(".") : whole;
    // What is wrong with a name is said one level below.
    const { message } = (issue.code === "invalid_key" && issue.issues[0]) || issue;
    return `${place}: ${message.charAt(0).toLowerCase()}${message.slice(1)}`;
  });
  throw new PlatformError("InvalidRequest", problems.join("; "));
}
