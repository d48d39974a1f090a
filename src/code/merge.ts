/** Trees laid over each other, as `/opt` is made of layers. */
import { chmod, copyFile, link, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { inParallel } from "./in-parallel.ts";
import { hasCode } from "./storage-error.ts";
import { syncFolder, type TreeFile, type TreeManifest } from "./tree.ts";

/** A tree and where it is on this host. */
export interface PlacedTree {
  readonly dir: string;
  readonly manifest: TreeManifest;
}

export interface Merged {
  readonly manifest: TreeManifest;
  readonly bytes: number;
  /** The folder that each file comes from, by its path. */
  readonly sources: ReadonlyMap<string, string>;
}

const AT_ONCE = 16;
const FOLDER_MODE = 0o755;

/**
 * What results when `trees` are unpacked one after the other: a later file takes the place of an earlier one, and of a
 * folder that stands in its way; a later folder takes that of a file. Pure.
 */
export function mergeManifests(trees: readonly PlacedTree[]): Merged {
  const files = new Map<string, { readonly file: TreeFile; readonly dir: string }>();
  const folders = new Set<string>();
  const addFolder = (folder: string) => {
    for (let at = folder; at !== "" && at !== "."; at = dirname(at)) {
      files.delete(at);
      folders.add(at);
    }
  };
  for (const { dir, manifest } of trees) {
    for (const folder of manifest.folders) addFolder(folder);
    for (const file of manifest.files) {
      const [path] = file;
      if (folders.has(path)) removeBelow(path, files, folders);
      addFolder(dirname(path));
      files.set(path, { file, dir });
    }
  }
  const filled = new Set<string>([...files.keys(), ...folders].map((path) => dirname(path)));
  const merged = [...files.values()];
  return {
    manifest: {
      folders: [...folders].filter((folder) => !filled.has(folder)).sort(byCodeUnits),
      files: merged.map(({ file }) => file).sort(([one], [other]) => byCodeUnits(one, other)),
    },
    bytes: merged.reduce((sum, { file }) => sum + file[2], 0),
    sources: new Map([...files].map(([path, { dir }]) => [path, dir])),
  };
}

/** Writes a merged tree to `dir`, which must not exist. Files are shared with the trees they come from: nobody writes either. */
export async function writeMerged(
  dir: string,
  { manifest, sources }: Merged,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const folders = new Set<string>([dir]);
  for (const [path] of manifest.files) folders.add(dirname(join(dir, path)));
  for (const folder of manifest.folders) folders.add(join(dir, folder));
  for (const folder of folders) {
    signal.throwIfAborted();
    await mkdir(folder, { recursive: true });
  }
  // What mkdir is asked for, the umask narrows.
  for (const folder of eachFolder(dir, folders)) await chmod(folder, FOLDER_MODE);
  await inParallel([...sources], AT_ONCE, async ([path, source]) => {
    signal.throwIfAborted();
    await share(join(source, path), join(dir, path));
  });
  await inParallel([...folders], AT_ONCE, syncFolder);
}

/** With those in between. */
function eachFolder(top: string, leaves: ReadonlySet<string>): ReadonlySet<string> {
  const all = new Set<string>([top]);
  for (const leaf of leaves) for (let at = leaf; !all.has(at); at = dirname(at)) all.add(at);
  return all;
}

async function share(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    // Some file systems have no links, or no more of them for this file.
    if (!hasCode(error, ["EMLINK", "EPERM", "EXDEV", "ENOTSUP"])) throw error;
    await copyFile(from, to);
  }
}

function removeBelow(folder: string, files: Map<string, unknown>, folders: Set<string>): void {
  for (const path of files.keys()) if (path.startsWith(`${folder}/`)) files.delete(path);
  for (const path of folders) if (path === folder || path.startsWith(`${folder}/`)) folders.delete(path);
}

/** The same order on every machine, whatever its language. */
function byCodeUnits(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
