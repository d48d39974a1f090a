/**
 * The two files of a key ring. They are read and written while the daemon starts and nothing else runs, so nothing here
 * gives way to others but the wait for the disk.
 */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fsync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { PlatformError } from "../../core/errors.ts";

const MASTER_BYTES = 32;
const synced = promisify(fsync);

export interface Master {
  readonly master: Buffer;
  /** ms since epoch. */
  readonly madeAt: number;
}

/**
 * Reads the master key of the data folder `dir`; makes one if there is none.
 *
 * @throws PlatformError `ConfigurationInvalid` if what is there cannot be one.
 */
export async function openMaster(dir: string): Promise<Master> {
  const file = join(dir, "master.key");
  const mode = modeOf(file) ?? (await makeMaster(file));
  if (mode & 0o077) chmodSync(file, 0o600);
  const master = readFileSync(file);
  if (master.length !== MASTER_BYTES) {
    throw new PlatformError(
      "ConfigurationInvalid",
      `${file}: expected ${MASTER_BYTES} bytes, got ${master.length}; restore it from a copy, or remove it to start with new keys`,
    );
  }
  return { master, madeAt: Math.floor(statSync(file).mtimeMs) };
}

/** Returns its mode. What is sealed under it would be lost with it, so it is on the disk before anything is. */
async function makeMaster(file: string): Promise<number> {
  const temporary = nameBeside(file);
  const descriptor = openSync(temporary, "wx", 0o600);
  try {
    try {
      writeFileSync(descriptor, randomBytes(MASTER_BYTES));
      await synced(descriptor);
    } finally {
      closeSync(descriptor);
    }
    // A link fails where a rename would replace: of two daemons that start at once, one master wins.
    linkSync(temporary, file);
  } catch (error) {
    if (!isCode(error, "EEXIST")) throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
  return statSync(file).mode;
}

/** Whether there is a file with something in it: after a power failure one may be left that has nothing. */
export function isWritten(file: string): boolean {
  return (statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

/** Puts a file of mode 0600 in place in one step. It can be written again, so nobody waits for the disk. */
export function placeFile(file: string, content: string): void {
  const temporary = nameBeside(file);
  try {
    writeFileSync(temporary, content, { mode: 0o600, flag: "wx" });
    renameSync(temporary, file);
  } finally {
    rmSync(temporary, { force: true });
  }
}

function nameBeside(file: string): string {
  return `${file}.${randomBytes(6).toString("hex")}`;
}

function modeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.mode;
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
