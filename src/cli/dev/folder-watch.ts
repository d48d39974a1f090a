/**
 * Sees every change below some folders, however it is made: in place, by renaming over (most editors), by replacing a
 * whole folder. A watch on each folder by itself reports all of these; `fs.watch` with `recursive` loses a file on Linux once
 * it was renamed over. What exactly happened is not told, since the caller looks at the files anyway.
 */
import { type FSWatcher, watch } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

export interface WatchedFolder {
  /** Absolute. It may vanish and come back. */
  readonly dir: string;
  /** `path` is relative to `dir`, with `/` between names. */
  isIgnored(path: string, isFolder: boolean): boolean;
}

export interface FolderWatch extends Disposable {
  /** Watches these from now on, and folders that have come below them. Nothing that changes after it began is missed. */
  watch(folders: readonly WatchedFolder[]): Promise<void>;
}

/** How often everything is looked at where the system has no watches left. */
const POLL_MS = 500;

interface Watched {
  readonly watcher: FSWatcher;
  /** Tells a folder from another that took its place, and maybe its inode. */
  readonly identity: string;
}

/**
 * @param changed is told the path of what changed, or of a folder above it
 * @param exhausted is told once that changes are looked for every half second from now on
 */
export function openFolderWatch(changed: (path: string) => void, exhausted: () => void): FolderWatch {
  const watched = new Map<string, Watched>();
  let poll: NodeJS.Timeout | undefined;

  const startPolling = () => {
    if (poll) return;
    exhausted();
    poll = setInterval(() => changed(""), POLL_MS);
    poll.unref();
  };

  const add = async (
    dir: string,
    onName: (name: string | null) => void,
    seen: Set<string>,
  ): Promise<boolean> => {
    const facts = await stat(dir, { bigint: true }).catch(() => undefined);
    if (!facts?.isDirectory()) return false;
    seen.add(dir);
    const before = watched.get(dir);
    const identity = `${facts.dev} ${facts.ino} ${facts.birthtimeNs}`;
    if (before?.identity === identity) return true;
    before?.watcher.close();
    watched.delete(dir);
    try {
      const watcher = watch(dir, { persistent: false }, (_event, name) => onName(name));
      // Gone: the folder above has told.
      watcher.on("error", () => undefined);
      watched.set(dir, { watcher, identity });
    } catch {
      // inotify has a limit of watches and one of instances.
      startPolling();
    }
    return true;
  };

  const addTree = async (folder: WatchedFolder, path: string, seen: Set<string>): Promise<void> => {
    const dir = join(folder.dir, path);
    const isThere = await add(
      dir,
      (name) => {
        if (name === null) return changed(dir);
        const inner = path === "" ? name : `${path}/${name}`;
        if (!folder.isIgnored(inner, false) && !folder.isIgnored(inner, true))
          changed(join(folder.dir, inner));
      },
      seen,
    );
    if (!isThere) return;
    for (const entry of await readdir(dir, { withFileTypes: true }).catch(() => [])) {
      const inner = path === "" ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory() && !folder.isIgnored(inner, true)) await addTree(folder, inner, seen);
    }
  };

  return {
    async watch(folders) {
      const seen = new Set<string>();
      for (const folder of folders) {
        const parent = dirname(folder.dir);
        const isInner = folders.some((other) => other !== folder && parent.startsWith(other.dir));
        // A folder that is replaced is seen by the one above it.
        if (!isInner && !seen.has(parent))
          await add(
            parent,
            (name) => {
              const dirs = folders.filter(({ dir }) => dirname(dir) === parent);
              if (name === null || dirs.some(({ dir }) => basename(dir) === name)) changed(parent);
            },
            seen,
          );
        await addTree(folder, "", seen);
      }
      for (const [dir, { watcher }] of watched) {
        if (seen.has(dir)) continue;
        watcher.close();
        watched.delete(dir);
      }
    },
    [Symbol.dispose]() {
      clearInterval(poll);
      for (const { watcher } of watched.values()) watcher.close();
      watched.clear();
    },
  };
}
