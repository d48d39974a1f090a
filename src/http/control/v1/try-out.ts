import type { ImageEngine } from "../../../code/image.ts";
import { isPlatformError, PlatformError } from "../../../core/errors.ts";
import type { FunctionRecord } from "../../../core/function.ts";
import { candidateOf } from "../../../registry/candidate.ts";
import type { NewFunction } from "../../../registry/functions.ts";
import type { ControlParts } from "../parts.ts";
import { startProblem } from "./start-problem.ts";

/** Of what it printed, what is told with the reason. */
const LINES_TOLD = 20;
const ABANDON_MS_MAX = 10_000;

export interface TryOutParts extends Pick<ControlParts, "warm" | "records" | "clock" | "log"> {
  readonly images?: { readonly engine: Pick<ImageEngine, "abandon"> } | undefined;
}

/**
 * Starts an instance of what is to be deployed, before calls are led to it. A deploy with this `revisionId` takes it over;
 * without one it leaves like any other that is idle.
 *
 * @throws PlatformError `VersionNotReady` with the reason and its last lines; what the host is at fault for, as it is.
 */
export async function tryOut(
  parts: TryOutParts,
  deployed: NewFunction,
  before: FunctionRecord | undefined,
  { signal }: { readonly signal: AbortSignal },
): Promise<{ readonly revisionId: string; readonly readyMs: number }> {
  const begunAt = parts.clock.now();
  const candidate = candidateOf(deployed, before, begunAt);
  try {
    return {
      revisionId: candidate.revisionId,
      readyMs: Math.round(await parts.warm(candidate, { signal })),
    };
  } catch (error) {
    await abandon(parts, deployed);
    if (isPlatformError(error) && error.code !== "SandboxStartFailed") throw error;
    const lines = await lastLines(parts, deployed, begunAt);
    if (!before) await parts.records.forget(deployed.name);
    const stays = before ? "what was live still is" : "the function was not made";
    throw new PlatformError(
      "VersionNotReady",
      [`the new version does not start, so ${stays}: ${startProblem(error)}`, ...lines].join("\n"),
      { cause: error },
    );
  }
}

async function abandon({ images, log }: TryOutParts, { name, code }: NewFunction): Promise<void> {
  const signal = AbortSignal.timeout(ABANDON_MS_MAX);
  await images?.engine.abandon(code.image?.id ?? "", { signal }).catch((error: unknown) => {
    log.warn("an image that was built in vain stays until the next round", { function: name, error });
  });
}

async function lastLines(
  { records }: TryOutParts,
  { name }: NewFunction,
  sinceAt: number,
): Promise<string[]> {
  const query = {
    functionName: name,
    sinceAt,
    untilAt: undefined,
    invocationId: undefined,
    version: "$LATEST",
    contains: undefined,
    last: LINES_TOLD,
    follow: false,
  };
  const lines: string[] = [];
  for await (const { stream, text } of records.read(query, { signal: new AbortController().signal }))
    if (stream !== "platform") lines.push(text);
  return lines;
}
