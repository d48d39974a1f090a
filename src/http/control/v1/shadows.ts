/** Shadows: how one is shown, with what it has found, and how it is ended by hand. */
import type { Canary, CanaryDecision, ReleaseCanary } from "../../../core/canary.ts";
import { PlatformError } from "../../../core/errors.ts";
import { NO_SHADOW_COUNTS, type ShadowReport, shadowSummary } from "../../../core/shadow.ts";
import { runningTrial } from "../../../core/tried.ts";
import type { ProjectBook } from "../../../registry/projects.ts";
import { runningReleaseCanary } from "../../../registry/release-canaries.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, jsonReply, type Reply } from "../route.ts";
import { nameOf } from "./named-function.ts";
import { parseEndCanary, projectOf } from "./project-wire.ts";
import { refuseOthersOfTrial } from "./release-canaries.ts";

export async function getShadow(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, canaries, liveVersion } = await parts.functions.get(nameOf(request));
  return await reply(parts, { key: name, whose: `"${name}"`, trials: canaries, live: { liveVersion } });
}

export async function stopShadow(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const record = await parts.functions.get(nameOf(request));
  const running = runningTrial(record);
  if (!running?.shadow) throw notRunning(`"${record.name}"`);
  const decision = await endedByHand(parts, record.name, running, "");
  await parts.functions.endCanary(record.name, running.version, decision);
  return await getShadow(parts, request);
}

export async function getReleaseShadow(
  parts: ControlParts,
  book: ProjectBook,
  request: ControlRequest,
): Promise<Reply> {
  const { name, canaries, liveRelease } = await book.get(projectOf(request));
  const whose = `project "${name}"`;
  return await reply(parts, { key: `@${name}`, whose, trials: canaries, live: { liveRelease } });
}

export async function stopReleaseShadow(
  parts: ControlParts,
  book: ProjectBook,
  request: ControlRequest,
): Promise<Reply> {
  const project = await book.get(projectOf(request));
  const { by } = parseEndCanary(request);
  const running = runningReleaseCanary(project);
  if (!running?.shadow) throw notRunning(`project "${project.name}"`);
  await refuseOthersOfTrial(book, project, running.release, request);
  const decision = await endedByHand(parts, `@${project.name}`, running, by);
  await book.endCanary(project.name, running.release, decision, by);
  return await getReleaseShadow(parts, book, request);
}

async function endedByHand(
  { shadows, clock }: ControlParts,
  key: string,
  { startedAt }: Pick<Canary, "startedAt">,
  by: string,
): Promise<CanaryDecision> {
  const comparison = (await shadows.find({ key, startedAt }))?.counts ?? NO_SHADOW_COUNTS;
  const reason = `stopped${by === "" ? "" : ` by ${by}`}: ${shadowSummary(comparison)}`;
  return { outcome: "ended", at: clock.now(), reason, comparison };
}

function notRunning(whose: string): PlatformError {
  return new PlatformError(
    "ResourceConflict",
    `${whose} has no shadow that runs, so there is nothing to stop`,
  );
}

async function reply(
  { shadows }: ControlParts,
  {
    key,
    whose,
    trials = [],
    live,
  }: {
    readonly key: string;
    readonly whose: string;
    readonly trials: readonly (Canary | ReleaseCanary)[] | undefined;
    readonly live: Readonly<Record<string, unknown>>;
  },
): Promise<Reply> {
  const [latest, ...earlier] = trials.filter(({ shadow }) => shadow);
  if (!latest) {
    throw new PlatformError(
      "ResourceNotFound",
      `${whose} has had no shadow; lambda deploy --shadow 5% begins one`,
    );
  }
  const report = await shadows.find({ key, startedAt: latest.startedAt });
  return jsonReply(200, {
    shadow: { ...shadowShape(latest, report), differences: differencesShape(report) },
    ...live,
    earlier: earlier.map((shadow) => shadowShape(shadow)),
  });
}

/** Counts of one that runs are those of now, where there is a report. */
export function shadowShape(shadow: Canary | ReleaseCanary, report?: ShadowReport): Record<string, unknown> {
  const { decision } = shadow;
  return {
    ...("release" in shadow ? { release: shadow.release } : { version: shadow.version }),
    from: shadow.from,
    state: decision?.outcome ?? "running",
    share: shadow.share,
    methods: shadow.shadow?.methods,
    startedAt: shadow.startedAt,
    endsAt: shadow.endsAt,
    endedAt: decision?.at,
    reason: decision?.reason,
    counts: report?.counts ?? decision?.comparison,
    liveMs: report?.liveMs,
    shadowMs: report?.shadowMs,
  };
}

function differencesShape(report: ShadowReport | undefined): readonly Record<string, unknown>[] {
  return (report?.differences ?? []).map(({ functionName, ...difference }) => ({
    function: functionName,
    ...difference,
  }));
}
