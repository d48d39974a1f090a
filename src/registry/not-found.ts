import { PlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { ReleaseRef } from "../core/project.ts";

export function functionNotFound(name: FunctionName): PlatformError {
  return new PlatformError(
    "FunctionNotFound",
    `function "${name}" does not exist; deploy it first, or list what there is`,
  );
}

export function versionNotFound(name: FunctionName, number: number | string): PlatformError {
  return new PlatformError(
    "VersionNotFound",
    `function "${name}" has no version ${number}; list its versions for what there is`,
  );
}

export function aliasNotFound(name: FunctionName, alias: string): PlatformError {
  return new PlatformError("AliasNotFound", `function "${name}" has no alias "${alias}"; create it first`);
}

export function notLive({ name, membership }: FunctionRecord): PlatformError {
  return new PlatformError(
    "FunctionNotFound",
    `function "${name}" is not in the live release of project "${membership?.project}"; it is in others only`,
  );
}

export function notInRelease(name: FunctionName, release: ReleaseRef, why: string): PlatformError {
  return new PlatformError(
    "VersionNotFound",
    `function "${name}" is not in release ${release.number} of project "${release.project}", ${why}; lambda releases shows them`,
  );
}
