/**
 * Which release a request is part of. Nobody says so of most requests, and they get what is live. Otherwise:
 *
 *   Lambda-Release: 12, or shop@12     a header names it
 *   r12--FUNCTION.DOMAIN               the host does, for a function of the project
 *   r12--PROJECT.DOMAIN/FUNCTION/rest  or for the project
 *   the address it came to             that of a release is only told to its own instances (release-addresses.ts)
 */
import { isPlatformError, PlatformError } from "../../core/errors.ts";
import type { FunctionName } from "../../core/ids.ts";
import {
  formatRelease,
  parseProjectName,
  parseRelease,
  parseReleaseLabel,
  type ReleaseRef,
} from "../../core/project.ts";
import type { Release } from "../../core/release.ts";
import type { Functions } from "../../registry/functions.ts";
import { resolveWithin } from "../../registry/siblings.ts";
import type { Target } from "../../registry/target.ts";
import type { DirectRoute } from "./routing.ts";

export interface ReleaseParts {
  readonly functions: Pick<Functions, "resolve" | "resolveCached">;
  /** Of the instances that know the address that the request came to. */
  readonly caller?: ReleaseRef | undefined;
  readonly findRelease: (release: ReleaseRef) => Promise<Release | undefined>;
}

type FunctionAddress = Extract<DirectRoute, { readonly kind: "function" }>;

/**
 * What a function's name leads to. `asked` is the value of `Lambda-Release`.
 *
 * @throws PlatformError `InvalidRequest` for a header that names no release, `VersionNotFound` for one that the function
 * is not in; those of `Functions.resolve`.
 */
export async function resolveRequested(
  { functions, caller }: ReleaseParts,
  asked: string | undefined,
  name: FunctionName,
  qualifier: string | undefined,
): Promise<Target> {
  if (asked === undefined) return await resolveWithin(functions, caller, name, qualifier);
  if (qualifier !== undefined) {
    throw new PlatformError(
      "InvalidRequest",
      `Lambda-Release: the address names version or alias ${qualifier} already; send one of them`,
    );
  }
  const release = parseRelease(asked) ?? (await releaseByNumber(functions, asked, name));
  return (
    functions.resolveCached(name, formatRelease(release)) ??
    (await functions.resolve(name, formatRelease(release)))
  );
}

/**
 * What a host `r12--NAME` leads to: a release of the function's project or, where there is no such function, of the
 * project of that name. Undefined if there is neither.
 */
export async function findInProject(
  { findRelease }: Pick<ReleaseParts, "findRelease">,
  { name, qualifier, prefix }: FunctionAddress,
): Promise<Release | undefined> {
  const project = parseProjectName(name);
  const number = qualifier === undefined ? undefined : parseReleaseLabel(qualifier);
  if (!project || number === undefined || prefix !== "") return undefined;
  return await findRelease({ project, number });
}

/** Whether an error says that there is nothing of that name, so that it may be a project's. */
export function mayBeProject(error: unknown, { qualifier }: FunctionAddress): boolean {
  if (qualifier === undefined || parseReleaseLabel(qualifier) === undefined) return false;
  return isPlatformError(error, "FunctionNotFound") || isPlatformError(error, "AliasNotFound");
}

async function releaseByNumber(
  functions: ReleaseParts["functions"],
  text: string,
  name: FunctionName,
): Promise<ReleaseRef> {
  const number = parseReleaseLabel(`r${text}`);
  if (number === undefined) {
    throw new PlatformError(
      "InvalidRequest",
      `Lambda-Release: expected a number, or PROJECT@NUMBER, got ${JSON.stringify(text.slice(0, 80))}`,
    );
  }
  const { record } = await functions.resolve(name, undefined);
  if (record.membership) return { project: record.membership.project, number };
  throw new PlatformError(
    "VersionNotFound",
    `Lambda-Release: "${name}" belongs to no project, so it is in no release ${number}`,
  );
}
