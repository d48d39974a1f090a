import { PlatformError } from "../core/errors.ts";

/** A full disk or quota as PlatformError `StorageFull`, one that fails as `StoreUnavailable`, any other error as it is. */
export function asStorageError(error: unknown, dir: string): unknown {
  if (hasCode(error, ["EROFS", "EIO"])) {
    const detail = error instanceof Error ? error.message : "";
    const message = `cannot write code to ${dir} (${detail}); check the disk of the data folder`;
    return new PlatformError("StoreUnavailable", message, { cause: error });
  }
  if (!hasCode(error, ["ENOSPC", "EDQUOT"])) return error;
  const message = `no space left for code in ${dir}; free some or remove old versions`;
  return new PlatformError("StorageFull", message, { cause: error });
}

/** Whether it is an error of the system or of Node with one of these codes. */
export function hasCode(error: unknown, codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
