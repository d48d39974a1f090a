/** Canaries of releases: how one is shown, and how it is ended by hand. */
import { type CanaryOutcome, calls } from "../../../core/canary.ts";
import { PlatformError } from "../../../core/errors.ts";
import type { ProjectRecord } from "../../../core/release.ts";
import type { ProjectBook } from "../../../registry/projects.ts";
import { runningReleaseCanary } from "../../../registry/release-canaries.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, jsonReply, type Reply } from "../route.ts";
import { refuseOthers } from "./asked-function.ts";
import { canaryShape } from "./canaries.ts";
import { parseEndCanary, projectOf } from "./project-wire.ts";

type Parts = Pick<ControlParts, "canaries" | "clock">;

export async function getReleaseCanary(
  parts: Parts,
  book: ProjectBook,
  request: ControlRequest,
): Promise<Reply> {
  return await reply(parts, await book.get(projectOf(request)));
}

export async function endReleaseCanary(
  parts: Parts,
  book: ProjectBook,
  request: ControlRequest,
  outcome: CanaryOutcome,
): Promise<Reply> {
  const project = await book.get(projectOf(request));
  const { by } = parseEndCanary(request);
  const running = runningReleaseCanary(project);
  if (!running || running.shadow) {
    throw new PlatformError(
      "ResourceConflict",
      `project "${project.name}" has no canary that runs, so there is nothing to end`,
    );
  }
  await refuseOthersOfTrial(book, project, running.release, request);
  const figures = await parts.canaries.figuresOfRelease(project.name, running);
  const reason = `asked for${by === "" ? "" : ` by ${by}`} after ${calls(figures.calls)}`;
  const decision = { outcome, at: parts.clock.now(), reason, figures };
  return await reply(parts, await book.endCanary(project.name, running.release, decision, by));
}

/** A key must be good for all functions that it changes. */
export async function refuseOthersOfTrial(
  book: ProjectBook,
  { name, liveRelease }: ProjectRecord,
  tried: number,
  request: ControlRequest,
): Promise<void> {
  for (const number of [liveRelease, tried]) {
    if (number === undefined) continue;
    const release = await book.getRelease(name, number);
    for (const released of release.functions) refuseOthers(request, released.name);
  }
}

async function reply({ canaries }: Parts, project: ProjectRecord): Promise<Reply> {
  const [latest, ...earlier] = (project.canaries ?? []).filter(({ shadow }) => !shadow);
  if (!latest) {
    throw new PlatformError(
      "ResourceNotFound",
      `project "${project.name}" has had no canary; lambda deploy --canary 10% --for 10m in its folder begins one`,
    );
  }
  const figures = latest.decision
    ? latest.decision.figures
    : await canaries.figuresOfRelease(project.name, latest);
  return jsonReply(200, {
    canary: canaryShape(latest, figures),
    liveRelease: project.liveRelease,
    earlier: earlier.map((canary) => canaryShape(canary)),
  });
}
