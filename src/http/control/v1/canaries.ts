/** Canaries: how one is begun by a deploy, how it is shown, and how it is ended by hand. */
import type { Canary, CanaryOutcome, CanaryPlan, ReleaseCanary } from "../../../core/canary.ts";
import { calls, formatCondition, formatSticky } from "../../../core/canary.ts";
import { isPlatformError, PlatformError } from "../../../core/errors.ts";
import type { FunctionRecord } from "../../../core/function.ts";
import type { FunctionName } from "../../../core/ids.ts";
import { runningCanary } from "../../../core/tried.ts";
import type { NewFunction } from "../../../registry/functions.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, jsonReply, type Reply } from "../route.ts";
import { startProblem } from "./start-problem.ts";
import type { DeploySettings } from "./wire.ts";

type CanaryParts = Pick<ControlParts, "functions" | "canaries" | "clock" | "warm">;

export async function getCanary(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  return await canaryReply(parts, await parts.functions.get(nameIn(request)));
}

export function promoteCanary(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  return endByHand(parts, nameIn(request), "promoted");
}

export function abortCanary(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  return endByHand(parts, nameIn(request), "aborted");
}

/** Figures of one that runs are those of now. */
export function canaryShape(
  canary: Canary | ReleaseCanary,
  figures = canary.decision?.figures,
): Record<string, unknown> {
  const { decision, sticky } = canary;
  return {
    ...("release" in canary ? { release: canary.release } : { version: canary.version }),
    from: canary.from,
    state: decision?.outcome ?? "running",
    share: canary.share,
    startedAt: canary.startedAt,
    endsAt: canary.endsAt,
    abortOn: canary.abortOn.map(formatCondition),
    minCalls: canary.callsMin,
    sticky: sticky && formatSticky(sticky),
    endedAt: decision?.at,
    reason: decision?.reason,
    figures,
  };
}

/** @throws PlatformError before anything is built for what cannot be tried. */
export function checkCanary(
  name: FunctionName,
  settings: DeploySettings,
  known: FunctionRecord | undefined,
): void {
  if (!settings.canary) return;
  const what = settings.canary.shadow ? "shadow" : "canary";
  if (!known) {
    throw new PlatformError(
      "InvalidRequest",
      `${what}: "${name}" does not exist, so there is nothing for it to be tried beside; deploy it without first`,
    );
  }
  if (known.membership) {
    throw new PlatformError(
      "ResourceConflict",
      `${what}: "${name}" belongs to project "${known.membership.project}" and is tried with that: lambda deploy --${what} in the project's folder`,
    );
  }
  if (settings.concurrencyMax !== undefined || settings.concurrencyMin !== undefined) {
    throw new PlatformError(
      "InvalidRequest",
      `${what}: concurrencyMax and concurrencyMin belong to the function and not to a version; set them apart from it`,
    );
  }
}

export interface StartedCanary {
  readonly record: FunctionRecord;
  readonly version: number;
  readonly readyMs: number | undefined;
}

/**
 * Publishes the version aside and lets it take its share of the calls once it has started; else it is removed again.
 *
 * @throws PlatformError `VersionNotReady` with the reason.
 */
export async function beginCanary(
  parts: CanaryParts,
  made: NewFunction,
  plan: CanaryPlan,
  options: { readonly signal: AbortSignal; readonly published: (version: number) => void },
): Promise<StartedCanary> {
  const { functions } = parts;
  const { name } = made;
  const { label } = await functions.publishAside(name, made);
  const version = Number(label);
  options.published(version);
  try {
    const target = await functions.resolve(name, label);
    // Nothing may call a function whose limit is 0, so nothing is started either.
    const isCallable = target.record.concurrencyMax !== 0;
    const readyMs = isCallable ? Math.round(await parts.warm(target, options)) : undefined;
    return { record: await functions.startCanary(name, version, plan), version, readyMs };
  } catch (error) {
    await functions.removeVersion(name, version);
    if (isPlatformError(error) && error.code !== "SandboxStartFailed") throw error;
    throw new PlatformError(
      "VersionNotReady",
      `the new version does not start, so all calls go on to what is live: ${startProblem(error)}`,
      { cause: error },
    );
  }
}

async function endByHand(parts: ControlParts, name: FunctionName, outcome: CanaryOutcome): Promise<Reply> {
  const { functions, canaries, clock } = parts;
  const record = await functions.get(name);
  const running = runningCanary(record);
  if (!running) {
    throw new PlatformError(
      "ResourceConflict",
      `"${name}" has no canary that runs, so there is nothing to end`,
    );
  }
  const figures = await canaries.figuresOf(name, running);
  const reason = `asked for after ${calls(figures.calls)}`;
  const ended = await functions.endCanary(name, running.version, {
    outcome,
    at: clock.now(),
    reason,
    figures,
  });
  return await canaryReply(parts, ended);
}

async function canaryReply({ canaries }: ControlParts, record: FunctionRecord): Promise<Reply> {
  const [latest, ...earlier] = (record.canaries ?? []).filter(({ shadow }) => !shadow);
  if (!latest) {
    throw new PlatformError(
      "ResourceNotFound",
      `"${record.name}" has had no canary; lambda deploy --canary 10% --for 10m begins one`,
    );
  }
  const figures = latest.decision ? latest.decision.figures : await canaries.figuresOf(record.name, latest);
  return jsonReply(200, {
    canary: canaryShape(latest, figures),
    liveVersion: record.liveVersion,
    earlier: earlier.map((canary) => canaryShape(canary)),
  });
}

function nameIn(request: ControlRequest): FunctionName {
  const name = request.reference?.name;
  if (!name) throw new PlatformError("InvalidName", "the path names no function");
  return name;
}
