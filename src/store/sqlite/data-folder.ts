import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { PlatformError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { sqliteCode, storeError } from "./store-error.ts";

/**
 * Makes the data folder and takes it for this process alone, until disposed or until the process is gone, however it
 * goes: the lock is one that the kernel holds for a process (SQLite's, on a database of its own that stays empty).
 *
 * @throws PlatformError `DataFolderInUse` with the process that has it, `DataFolderMismatch` if anybody may write to
 * it, `StoreUnavailable` or `StorageFull` if it cannot be made.
 */
export function claimDataFolder(dir: string, log: Log): AsyncDisposable {
  makeFolder(dir, log);
  const lockFile = join(dir, "lambdad.lock");
  const pidFile = join(dir, "lambdad.pid");
  createEmpty(lockFile);
  const lock = new DatabaseSync(lockFile);
  try {
    lock.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE");
    writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  } catch (error) {
    lock.close();
    if (sqliteCode(error) !== BUSY) throw storeError(error, `cannot take data folder ${dir}`);
    throw new PlatformError(
      "DataFolderInUse",
      `data folder ${dir} is in use by ${holder(pidFile)}; stop that lambdad, or choose another folder with --data`,
      { cause: error },
    );
  }
  return {
    async [Symbol.asyncDispose]() {
      if (!lock.isOpen) return;
      // Before the lock goes: after it, the file may be another daemon's.
      rmSync(pidFile, { force: true });
      lock.close();
    },
  };
}

const BUSY = 5;

function makeFolder(dir: string, log: Log): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const { mode } = statSync(dir);
    if ((mode & 0o077) === 0) return;
    const isFresh = readdirSync(dir).length === 0;
    if (isFresh) {
      chmodSync(dir, 0o700);
      return;
    }
    if ((mode & 0o002) !== 0) {
      throw new PlatformError(
        "DataFolderMismatch",
        `data folder ${dir} has other files in it and anybody may write to it; choose a folder of lambdad's own, or run chmod 700 ${dir}`,
      );
    }
    // A folder that was there with something in it is somebody's: its mode is theirs to change.
    log.warn("the data folder can be entered by other users", { dir, remedy: `chmod 700 ${dir}` });
  } catch (error) {
    throw storeError(error, `cannot use data folder ${dir}`);
  }
}

/**
 * A file that exists is not opened: closing it would release the locks that this process holds on it (POSIX), should
 * it have the folder open already.
 */
export function createEmpty(file: string): void {
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) {
      throw storeError(error, `cannot create ${file}`);
    }
  }
}

function holder(pidFile: string): string {
  try {
    const pid = readFileSync(pidFile, "utf8").trim();
    if (/^\d+$/.test(pid)) return `process ${pid}`;
  } catch {
    // It has not been written yet: the lock alone says that somebody is there.
  }
  return "another process";
}
