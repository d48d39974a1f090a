import { isPlatformError } from "../core/errors.ts";
import type { FunctionName } from "../core/ids.ts";
import { formatRelease, type ReleaseRef } from "../core/project.ts";
import type { Functions } from "./functions.ts";
import type { Target } from "./target.ts";

/**
 * What a call out of a release leads to: in it, if the function belongs to its project and is asked for by no other
 * name than its own; else what anybody gets.
 */
export async function resolveWithin(
  functions: Pick<Functions, "resolve" | "resolveCached">,
  release: ReleaseRef | undefined,
  name: FunctionName,
  qualifier: string | undefined,
): Promise<Target> {
  const find = async (wanted: string | undefined) =>
    functions.resolveCached(name, wanted) ?? (await functions.resolve(name, wanted));
  if (!release || qualifier !== undefined) return await find(qualifier);
  const pinned = functions.resolveCached(name, formatRelease(release));
  if (pinned) return pinned;
  const anybodys = functions.resolveCached(name, undefined);
  if (anybodys && anybodys.record.membership?.project !== release.project) return anybodys;
  // It may be live no more, or not yet, and have been in the release all the same.
  return await functions.resolve(name, formatRelease(release)).catch(async (error: unknown) => {
    if (!isPlatformError(error, "VersionNotFound")) throw error;
    const target = await find(undefined);
    if (target.record.membership?.project === release.project) throw error;
    return target;
  });
}
