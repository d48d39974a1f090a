/** What clients of our own API send about projects. */
import * as z from "zod";
import type { CanaryPlan } from "../../../core/canary.ts";
import { PlatformError } from "../../../core/errors.ts";
import { FUNCTION_NAME_RULE, type FunctionName, parseFunctionName } from "../../../core/ids.ts";
import { PROJECT_NAME_RULE, type ProjectName, parseProjectName } from "../../../core/project.ts";
import type { ReleasedRecording } from "../../../core/recording.ts";
import type { ReleasedRoute, ReleasedSchedule } from "../../../core/release.ts";
import { isSourceName, SOURCE_NAME_RULE } from "../../../core/source.ts";
import type { WantedHook } from "../../../registry/hook-releases.ts";
import type { WantedSource } from "../../../registry/source-releases.ts";
import { checkEnvironment } from "../environment-rules.ts";
import type { ControlRequest } from "../route.ts";
import { CreateHook, parseCreateHook } from "./hook-wire.ts";
import { CreateRoute, parseCreateRoute } from "./http-route-wire.ts";
import { PutRecording, recordingOf } from "./recording-wire.ts";
import { PutSchedule, scheduleOf } from "./schedule-wire.ts";
import { CreateSource, parseCreateSource } from "./source-wire.ts";
import {
  CanaryOptions,
  type ConfigurationSettings,
  configuration,
  configurationOf,
  parse,
  ShadowOptions,
  trialPlanOf,
  Variables,
} from "./wire.ts";

const ReleasedFunction = z
  .strictObject({
    ...configuration,
    environment: Variables,
    /** Of an earlier request for a build. */
    build: z.string().max(64),
    /** On while the release is live. */
    recording: PutRecording,
  })
  .partial()
  .extend({
    inputs: z.string().regex(/^[0-9a-f]{64}$/, "expected a SHA-256 in hex"),
  });

const ROUTES_PER_RELEASE_MAX = 500;

/** Its name is the key. */
const HookOfRelease = CreateHook.omit({ name: true, qualifier: true, deploy: true }).extend({
  /** Where the secret is kept. Without a `secret` the hook has to have one already. */
  secretName: z.string().min(1).max(128).optional(),
});

const SourceOfRelease = CreateSource.omit({ qualifier: true });

export const MakeRelease = z.strictObject({
  functions: z.record(z.string(), ReleasedFunction),
  schedules: z.record(z.string(), PutSchedule).default({}),
  routes: z.array(CreateRoute).max(ROUTES_PER_RELEASE_MAX).default([]),
  hooks: z.record(z.string(), HookOfRelease).default({}),
  sources: z.record(z.string(), SourceOfRelease).default({}),
  commit: z.string().max(128).optional(),
  description: z.string().max(512).default(""),
  by: z.string().max(128).optional(),
  isPreview: z.boolean().default(false),
  /** Only a share of the calls goes to it at first. */
  canary: CanaryOptions.optional(),
  /** Only copies of a share of the calls go to it. */
  shadow: ShadowOptions.optional(),
  isDryRun: z.boolean().default(false),
  adopt: z.boolean().default(false),
  prune: z.boolean().default(false),
});

export const SwitchRelease = z.strictObject({
  /** Undefined is the one before the live one. */
  to: z.int().min(1).optional(),
  by: z.string().max(128).optional(),
});

export const EndCanary = z.strictObject({ by: z.string().max(128).optional() });

export interface FunctionOfRelease extends ConfigurationSettings {
  readonly name: FunctionName;
  readonly inputs: string;
  readonly build: string | undefined;
  readonly environment: Readonly<Record<string, string>>;
  readonly recording: ReleasedRecording | undefined;
}

export interface ReleaseOrder {
  readonly functions: readonly FunctionOfRelease[];
  readonly schedules: readonly ReleasedSchedule[];
  readonly routes: readonly ReleasedRoute[];
  readonly hooks: readonly WantedHook[];
  readonly sources: readonly WantedSource[];
  readonly commit: string | undefined;
  readonly description: string;
  readonly by: string;
  readonly isPreview: boolean;
  readonly canary: CanaryPlan | undefined;
  readonly isDryRun: boolean;
  readonly adopts: boolean;
  readonly mayRemove: boolean;
}

/** The project that the path names. @throws PlatformError `InvalidName`. */
export function projectOf({ params }: ControlRequest): ProjectName {
  const project = parseProjectName(params.project ?? "");
  if (project) return project;
  throw new PlatformError(
    "InvalidName",
    `name of a project: expected ${PROJECT_NAME_RULE}, got ${JSON.stringify(params.project)}`,
  );
}

/** The release that the path names. @throws PlatformError `InvalidRequest`. */
export function releaseNumberOf(text: string | undefined): number {
  if (text !== undefined && /^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new PlatformError("InvalidRequest", `release: expected a number, got ${JSON.stringify(text)}`);
}

/** @throws PlatformError `InvalidRequest`, `InvalidName`. */
export async function parseMakeRelease(request: ControlRequest): Promise<ReleaseOrder> {
  const given = parse(MakeRelease, request.json, "body");
  const canary = trialPlanOf(given);
  if (canary && given.isPreview) {
    throw new PlatformError(
      "InvalidRequest",
      "canary, shadow: a preview takes no share of the calls; send one of them and isPreview",
    );
  }
  return {
    functions: Object.entries(given.functions).map(([name, released]) => ({
      ...configurationOf(released),
      name: functionNameOf(name),
      inputs: released.inputs,
      build: released.build,
      environment: checkEnvironment(released.environment ?? {}),
      recording: about(
        `function ${name}`,
        () => released.recording && recordingOf(released.recording, undefined),
      ),
    })),
    schedules: Object.entries(given.schedules).map(([name, schedule]) => scheduleOf(name, schedule)),
    routes: await Promise.all(given.routes.map((route) => parseCreateRoute(route, refuseSecret))),
    hooks: Object.entries(given.hooks).map(([name, hook]) => hookOf(name, hook)),
    sources: Object.entries(given.sources).map(([name, source]) => sourceOf(name, source)),
    commit: given.commit,
    description: given.description,
    by: callerName(request, given.by),
    isPreview: given.isPreview,
    canary,
    isDryRun: given.isDryRun,
    adopts: given.adopt,
    mayRemove: given.prune,
  };
}

/** @throws PlatformError `InvalidRequest`. */
export function parseSwitchRelease(request: ControlRequest): {
  readonly to: number | undefined;
  readonly by: string;
} {
  const { to, by } = parse(SwitchRelease, request.json, "body");
  return { to, by: callerName(request, by) };
}

/** @throws PlatformError `InvalidRequest`. */
export function parseEndCanary(request: ControlRequest): { readonly by: string } {
  return { by: callerName(request, parse(EndCanary, request.json ?? {}, "body").by) };
}

function hookOf(name: string, { secretName, ...given }: z.output<typeof HookOfRelease>): WantedHook {
  const hook = about(`hook ${name}`, () => parseCreateHook({ ...given, name }));
  const { qualifier: _, deploy: __, ...wanted } = hook;
  return { ...wanted, secretName };
}

function sourceOf(name: string, given: z.output<typeof SourceOfRelease>): WantedSource {
  if (!isSourceName(name)) {
    throw new PlatformError(
      "InvalidName",
      `name of a source: expected ${SOURCE_NAME_RULE}, got ${JSON.stringify(name)}`,
    );
  }
  const { qualifier: _, tags: __, ...source } = about(`source ${name}`, () => parseCreateSource(given));
  return { ...source, name };
}

/** A project has many, so errors say which. */
function about<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof PlatformError)) throw error;
    throw new PlatformError(error.code, `${what}: ${error.message.replace(/^body\.?/, "")}`, {
      cause: error,
    });
  }
}

/** Sealed anew each time, it would make every release another one. */
async function refuseSecret(): Promise<never> {
  throw new PlatformError(
    "InvalidRequest",
    "routes: tokens with a shared secret cannot be in a release; give jwksUrl, jwks or publicKey, or add the route by itself",
  );
}

/** Whoever says who they are is believed; the key is what we know. */
function callerName({ caller }: ControlRequest, given: string | undefined): string {
  const key = caller.key?.id ?? "";
  return given === undefined || given === "" ? key : `${given} (${key})`;
}

function functionNameOf(text: string): FunctionName {
  const name = parseFunctionName(text);
  if (name) return name;
  throw new PlatformError(
    "InvalidName",
    `function name: expected ${FUNCTION_NAME_RULE}, got ${JSON.stringify(text)}`,
  );
}
