import { PlatformError } from "../core/errors.ts";
import type { FunctionName } from "../core/ids.ts";

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
