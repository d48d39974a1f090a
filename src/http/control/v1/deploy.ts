/**
 * `POST …/deploy`: takes code in, builds it, publishes it as the next version, live at once, and starts one instance.
 *
 * The answer is NDJSON of progress. Until the version is published a failure or a caller who leaves changes nothing.
 * A start that fails afterwards does not take the version back: the function's own error is what its first caller
 * would see too, and the last line tells it.
 */
import { rm } from "node:fs/promises";
import type { CodeSettings, PreparedCode } from "../../../code/prepare.ts";
import type { CanaryPlan } from "../../../core/canary.ts";
import { errorFacts, isPlatformError, PlatformError } from "../../../core/errors.ts";
import type { CodeSource, FunctionRecord } from "../../../core/function.ts";
import type { FunctionName } from "../../../core/ids.ts";
import type { NewFunction } from "../../../registry/functions.ts";
import type { ControlParts, PrepareImage } from "../parts.ts";
import type { Caller, ControlRequest, Reply } from "../route.ts";
import { type DeployLine, progressReply, requireUpload } from "./build-answer.ts";
import type { BuildSecrets } from "./build-secrets.ts";
import { beginCanary, canaryShape, checkCanary } from "./canaries.ts";
import { configOf } from "./config.ts";
import { chooseLayers } from "./layers.ts";
import { checkMayInvoke } from "./may-invoke.ts";
import { keepInstances } from "./min-instances.ts";
import { nameOf } from "./named-function.ts";
import { shadowShape } from "./shadows.ts";
import { functionShape } from "./shapes.ts";
import { startProblem } from "./start-problem.ts";
import { tryOut } from "./try-out.ts";
import { type DeploySettings, parseDeployOptions } from "./wire.ts";

const STEPS = 4;
/** More than any start may take; a deploy must end even if whoever starts instances does not say so. */
const START_MS_MAX = 60_000;

export async function deployFunction(
  parts: ControlParts,
  secrets: BuildSecrets,
  request: ControlRequest,
): Promise<Reply> {
  const name = nameOf(request);
  const given = parseDeployOptions(request.query.get("options"));
  const buildSecrets = secrets.take(given.buildSecrets, request);
  const settings = { ...given, prepare: { ...given.prepare, buildSecrets } };
  requireUpload(request, settings.image);
  const { upload, signal, caller } = request;
  return progressReply(parts, request, (send) =>
    deploy(parts, { name, settings, upload, signal, caller, send }),
  );
}

export interface Deployment {
  readonly name: FunctionName;
  readonly settings: DeploySettings;
  /** Undefined for an image. */
  readonly upload: { readonly file: string; readonly bytes: number } | undefined;
  /** Stops it; once the version is published, only the wait for its start. */
  readonly signal: AbortSignal;
  /** Whose key must cover what the function may invoke; undefined where that stays as it is. */
  readonly caller: Caller | undefined;
  readonly source?: CodeSource;
  /** Asked just before the version is published; what it throws stops that. */
  readonly confirm?: () => Promise<void>;
  readonly send: (line: DeployLine) => void;
}

/** What has become live; `readyError` says why it does not start. */
export interface Deployed extends Started {
  readonly version: number;
}

/** @throws PlatformError of `PrepareCode`; nothing is changed then. */
export async function deploy(parts: ControlParts, deployment: Deployment): Promise<Deployed> {
  const { name, settings, upload, signal, caller, source } = deployment;
  const progress = new Progress(deployment.send);
  for (const warning of settings.warnings) {
    progress.send({ type: "output", text: `warning: ${warning}` });
  }
  progress.step(1, "Packaging");
  const options = {
    signal,
    output: (text: string) => progress.send({ type: "output", text }),
    step: (title: string, detail: string) => progress.step(title === "Packaging" ? 1 : 2, title, detail),
  };
  const known = await find(parts, name);
  checkCanary(name, settings, known);
  const prepare = (prepareSettings: CodeSettings) => {
    if (settings.image !== undefined) return imagesOf(parts)(settings.image, prepareSettings, options);
    const version = known?.nextVersion ?? 1;
    const source = { file: upload?.file ?? "", name: settings.fileName, functionName: name, version };
    return parts.prepare(source, prepareSettings, options);
  };
  const prepared = await prepareAsBefore(prepare, settings.prepare, known);
  // Up to 250 MiB that nobody needs while an instance starts.
  if (upload) await rm(upload.file, { force: true });

  // Read again: while a build took its minutes, somebody may have changed the function.
  const before = await find(parts, name);
  const config = configOf(
    settings,
    before?.latest.config,
    {
      runtime: prepared.runtime,
      entry: prepared.entry,
      environment: settings.environment,
      opt: await chooseLayers(parts, settings.layers, before?.latest.config, prepared.code, signal),
    },
    parts,
  );
  if (caller) checkMayInvoke(caller, before?.latest.config.mayInvoke, config);
  signal.throwIfAborted();
  const made: NewFunction = {
    name,
    code: source ? { ...prepared.code, source } : prepared.code,
    config,
    concurrencyMax:
      settings.concurrencyMax === undefined ? before?.concurrencyMax : (settings.concurrencyMax ?? undefined),
    tags: before?.tags ?? {},
  };
  if (settings.canary) {
    checkCanary(name, settings, before);
    return await deployCanary(parts, deployment, made, settings.canary, progress);
  }
  // Images first show that they start; what takes calls is never one that does not.
  const tried =
    prepared.code.image && made.concurrencyMax !== 0
      ? await tryOut(parts, made, before, { signal: startSignal(signal) })
      : undefined;
  await deployment.confirm?.();
  signal.throwIfAborted();
  const { record: deployed, version } = await parts.functions.deploy({
    ...made,
    revisionId: tried?.revisionId,
  });
  const record = await keepInstances(parts, name, deployed, settings.concurrencyMin);
  progress.step(3, `Publishing version ${version.label}`);
  progress.step(4, "Starting");
  const started: Started = tried ? { readyMs: tried.readyMs } : await start(parts, name, record, signal);
  if (started.readyError !== undefined) {
    progress.send({
      type: "output",
      text: `warning: version ${version.label} does not start: ${started.readyError}`,
    });
  }
  progress.send({
    type: "done",
    version: Number(version.label),
    ...started,
    ...(settings.warnings.length > 0 && { warnings: settings.warnings }),
    url: parts.urls.ofFunction(name),
    function: functionShape(record, parts),
  });
  return { version: Number(version.label), ...started };
}

async function deployCanary(
  parts: ControlParts,
  { name, settings, signal, confirm }: Deployment,
  made: NewFunction,
  plan: CanaryPlan,
  progress: Progress,
): Promise<Deployed> {
  await confirm?.();
  signal.throwIfAborted();
  const { record, version, readyMs } = await beginCanary(parts, made, plan, {
    signal: startSignal(signal),
    published(version) {
      progress.step(3, `Publishing version ${version}`);
      progress.step(4, "Starting");
    },
  });
  const started = readyMs === undefined ? {} : { readyMs };
  const [canary] = record.canaries ?? [];
  progress.send({
    type: "done",
    version,
    ...started,
    ...(settings.warnings.length > 0 && { warnings: settings.warnings }),
    url: parts.urls.ofFunction(name),
    ...(canary && (canary.shadow ? { shadow: shadowShape(canary) } : { canary: canaryShape(canary) })),
    function: functionShape(record, parts),
  });
  return { version, ...started };
}

/** @throws PlatformError `EngineUnavailable` */
export function imagesOf(parts: ControlParts): PrepareImage {
  if (parts.prepareImage) return parts.prepareImage;
  throw new PlatformError("EngineUnavailable", "this daemon runs no images");
}

/**
 * What a function runs stays as it was unless the user says otherwise, or the new code has it no longer; then it is
 * detected as for a new function.
 */
async function prepareAsBefore(
  prepare: (settings: CodeSettings) => Promise<PreparedCode>,
  given: CodeSettings,
  before: FunctionRecord | undefined,
): Promise<PreparedCode> {
  // A folder without a Dockerfile that was made an image goes on being one.
  const wasPacked = before?.latest.code.image?.dockerfile !== undefined;
  const said = {
    ...given,
    ...(wasPacked && given.package === undefined && { package: "image" as const }),
    keptBuildArgs: before?.latest.code.image?.buildArgs,
    lostBuildSecrets: before?.latest.code.image?.buildSecrets,
  };
  const isGiven = [given.kind, given.handler, given.module, given.command, given.runtime].some(
    (value) => value !== undefined,
  );
  if (!before || isGiven) return prepare(said);
  const { code, config } = before.latest;
  const { entry, runtime } = config;
  try {
    return await prepare({ ...said, ...entry, runtime, keptFrom: code.image ? "image" : "tree" });
  } catch (error) {
    if (!isPlatformError(error, "InvalidHandler")) throw error;
    return prepare(said);
  }
}

interface Started {
  readonly readyMs?: number;
  readonly readyError?: string;
}

function startSignal(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(START_MS_MAX)]);
}

/** Starts what calls run from now on; why it did not start is for the caller to read. */
async function start(
  parts: ControlParts,
  name: FunctionName,
  record: FunctionRecord,
  signal: AbortSignal,
): Promise<Started> {
  // Nothing may call a function whose limit is 0, so nothing is started either.
  if (record.concurrencyMax === 0) return {};
  try {
    const target = await parts.functions.resolve(name, undefined);
    return { readyMs: Math.round(await parts.warm(target, { signal: startSignal(signal) })) };
  } catch (error) {
    if (isPlatformError(error) && errorFacts(error.code).fault === "platform") {
      parts.log.warn("a deployed version did not start", { function: name, error });
    }
    return { readyError: startProblem(error) };
  }
}

async function find(parts: ControlParts, name: FunctionName): Promise<FunctionRecord | undefined> {
  try {
    return await parts.functions.get(name);
  } catch (error) {
    if (isPlatformError(error, "FunctionNotFound")) return undefined;
    throw error;
  }
}

class Progress {
  readonly send: (line: DeployLine) => void;

  constructor(send: (line: DeployLine) => void) {
    this.send = send;
  }

  /** Without a detail the step has begun; the same title with one ends it. */
  step(step: number, title: string, detail?: string): void {
    this.send({ type: "step", step, of: STEPS, title, ...(detail !== undefined && { detail }) });
  }
}
