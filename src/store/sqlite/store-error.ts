import { isPlatformError, PlatformError } from "../../core/errors.ts";

/** Primary result codes of SQLite that mean the disk, not the statement: https://sqlite.org/rescode.html */
const FULL = 13;
const CORRUPT = 11;
const NOT_A_DATABASE = 26;
const DISK_CODES: ReadonlySet<number> = new Set([
  7, // NOMEM
  8, // READONLY
  10, // IOERR
  CORRUPT,
  FULL,
  14, // CANTOPEN
  15, // PROTOCOL
  NOT_A_DATABASE,
]);

/** SQLite's primary result code; undefined if the error is not SQLite's. */
export function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number")
    return undefined;
  return error.errcode & 0xff;
}

/** The whole transaction is lost, not only the statement that met the error. */
export function isDiskError(error: unknown): boolean {
  const code = sqliteCode(error);
  return code !== undefined && DISK_CODES.has(code);
}

export function isDamaged(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === CORRUPT || code === NOT_A_DATABASE;
}

/** What a caller is told of an error of the database or the file system; errors that are ours already stay as they are. */
export function storeError(error: unknown, doing: string): PlatformError {
  if (isPlatformError(error)) return error;
  const detail = error instanceof Error ? error.message : String(error);
  if (sqliteCode(error) === FULL || isOutOfSpace(error)) {
    return new PlatformError(
      "StorageFull",
      `${doing}: no space left on the disk of the data folder; free some`,
      {
        cause: error,
      },
    );
  }
  if (isDamaged(error)) {
    return new PlatformError(
      "StoreUnavailable",
      `${doing}: the database is damaged (${detail}); stop lambdad and restore lambdad.db from a backup`,
      { cause: error },
    );
  }
  return new PlatformError("StoreUnavailable", `${doing}: ${detail}; check the disk of the data folder`, {
    cause: error,
  });
}

function isOutOfSpace(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
}
