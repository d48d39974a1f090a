import { existsSync, lstatSync, mkdirSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Environment } from "./host.ts";

/** Folders of the host that may be kept in memory. */
export interface RunPlaces {
  readonly run: string;
  /** Everybody may write there, but nobody to what is another's. */
  readonly shared: string;
}

const PLACES: RunPlaces = { run: "/run", shared: "/dev/shm" };
/** What statfs(2) calls TMPFS_MAGIC and RAMFS_MAGIC. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** Where files of running containers are, in which an engine must find them. */
export function runRoot(environment: Environment): string {
  const uid = process.getuid?.() ?? 0;
  if (uid === 0 && existsSync(PLACES.run)) return join(PLACES.run, "lambdad");
  return join(environment.XDG_RUNTIME_DIR ?? tmpdir(), `lambdad-${uid}`);
}

/**
 * Where sockets and pipes of running sandboxes are: a dozen small files for each, made and removed with it. In memory where that is to be
 * had: where `/run` is on a disk (in containers, and on hosts without systemd) its file system takes longer for them than all else of a start.
 */
export function sandboxRoot(environment: Environment, places = PLACES): string {
  const usual = runRoot(environment);
  if (process.platform !== "linux" || process.getuid?.() !== 0) return usual;
  if (!existsSync(places.run) || isInMemory(places.run) || !isInMemory(places.shared)) return usual;
  const folder = join(places.shared, "lambdad");
  return isOurs(folder) ? folder : usual;
}

function isInMemory(path: string): boolean {
  try {
    return IN_MEMORY.has(statfsSync(path).type);
  } catch {
    return false;
  }
}

/** Makes it if it is missing. Somebody else may have been first, and then it stays theirs. */
function isOurs(folder: string): boolean {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch {
    // It is there, or cannot be.
  }
  const found = lstatSync(folder, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === process.getuid?.() && (found.mode & 0o022) === 0;
}
