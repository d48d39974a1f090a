/**
 * A tree on disk and the manifest that names it. The manifest is JSON, made the same way everywhere:
 * `{"folders":[path…],"files":[[path, "x" or "-", bytes, SHA-256 in hex]…]}`, sorted by path; `folders` has only those
 * with nothing in them. The id of a tree is the SHA-256 of that text, so it covers paths, modes, sizes and content, and
 * a changed manifest shows itself.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { chmod, type FileHandle, lstat, mkdir, open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "../core/crc32.ts";
import type { PlatformError } from "../core/errors.ts";
import { quoted, refusal } from "./entry-path.ts";
import { inParallel } from "./in-parallel.ts";
import type { PlannedFile, UnpackPlan } from "./plan.ts";
import { hasCode } from "./storage-error.ts";

export interface TreeManifest {
  readonly folders: readonly string[];
  readonly files: readonly TreeFile[];
}

/** Path, `x` if executable, bytes, SHA-256 in hex. */
export type TreeFile = readonly [path: string, mode: "x" | "-", bytes: number, sha256: string];

const MODE_OF = { x: 0o755, "-": 0o644 } as const;
const FOLDER_MODE = 0o755;
const AT_ONCE = 16;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;
const ELF_MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);

export function manifestText(manifest: TreeManifest): string {
  return JSON.stringify({ folders: manifest.folders, files: manifest.files });
}

export function treeIdOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * Writes what was planned into `dir`, which must not exist, and syncs it to disk.
 *
 * @throws PlatformError `InvalidArchive` if content is not what the archive said; errors of the file system as they are.
 */
export async function writeTree(
  dir: string,
  plan: UnpackPlan,
  { signal }: { readonly signal: AbortSignal },
): Promise<TreeManifest> {
  const withContent = new Set<string>();
  await makeFolder(dir);
  for (const folder of plan.folders) {
    signal.throwIfAborted();
    await makeFolder(join(dir, folder));
    withContent.add(parentOf(folder));
  }
  const files: TreeFile[] = [];
  await inParallel(plan.files, AT_ONCE, async (file) => {
    signal.throwIfAborted();
    withContent.add(parentOf(file.path));
    files.push(await writeFile(dir, file, signal));
  });
  await inParallel([dir, ...[...plan.folders].map((folder) => join(dir, folder))], AT_ONCE, syncFolder);
  return {
    folders: [...plan.folders].filter((folder) => !withContent.has(folder)).sort(byCodeUnits),
    files: files.sort(([one], [other]) => byCodeUnits(one, other)),
  };
}

/** Makes names in a folder survive a power failure. */
export async function syncFolder(dir: string): Promise<void> {
  await using handle = await open(dir, O_RDONLY);
  await handle.sync();
}

/** What in `dir` is not as the manifest says, in words; undefined if nothing. Reads every file. */
export async function findChange(dir: string, manifest: TreeManifest): Promise<string | undefined> {
  const changes: string[] = [];
  await inParallel(manifest.files, AT_ONCE, async (file) => {
    if (changes.length > 0) return;
    const isSame = await hasContent(join(dir, file[0]), file).catch(() => false);
    if (!isSame) changes.push(`${quoted(file[0])} is missing or changed`);
  });
  if (changes.length > 0) return changes[0];
  const expected = new Set([...manifest.folders, ...manifest.files.map(([path]) => path)]);
  const added = await findAdded(dir, "", expected);
  return added === undefined ? undefined : `${quoted(added)} does not belong to it`;
}

/** @throws SyntaxError, TypeError for what `manifestText` has not made. */
export function parseManifest(text: string): TreeManifest {
  const manifest = JSON.parse(text) as TreeManifest;
  if (!Array.isArray(manifest.files) || !Array.isArray(manifest.folders))
    throw new TypeError("not a manifest");
  return manifest;
}

export async function readManifest(file: string): Promise<string> {
  return await readFile(file, "utf8");
}

async function makeFolder(dir: string): Promise<void> {
  await mkdir(dir);
  // What mkdir is asked for, the umask narrows.
  await chmod(dir, FOLDER_MODE);
}

async function writeFile(dir: string, file: PlannedFile, signal: AbortSignal): Promise<TreeFile> {
  await using handle = await open(join(dir, file.path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  const { sha256, isProgram } = await writeContent(handle, file, signal);
  const mode = (file.isExecutable ?? isProgram) ? "x" : "-";
  await handle.chmod(MODE_OF[mode]);
  await handle.sync();
  return [file.path, mode, file.size, sha256];
}

async function writeContent(
  handle: FileHandle,
  file: PlannedFile,
  signal: AbortSignal,
): Promise<{ readonly sha256: string; readonly isProgram: boolean }> {
  const hash = createHash("sha256");
  let bytes = 0;
  let checksum = 0;
  let isProgram = false;
  try {
    for await (const chunk of file.content()) {
      signal.throwIfAborted();
      if (bytes === 0) isProgram = looksExecutable(chunk);
      bytes += chunk.length;
      if (bytes > file.size) break;
      hash.update(chunk);
      if (file.crc32 !== undefined) checksum = crc32(chunk, checksum);
      await handle.writeFile(chunk);
    }
  } catch (error) {
    if (hasCode(error, ["ERR_BUFFER_TOO_LARGE"])) throw wrongSize(file, "more");
    throw isBrokenData(error)
      ? refusal(`the data of archive entry ${quoted(file.path)} is damaged`, "pack and upload it again", {
          cause: error,
        })
      : error;
  }
  if (bytes !== file.size) throw wrongSize(file, bytes > file.size ? "more" : bytes);
  if (file.crc32 !== undefined && checksum !== file.crc32)
    throw refusal(`archive entry ${quoted(file.path)} has a wrong checksum`, "pack and upload it again");
  return { sha256: hash.digest("hex"), isProgram };
}

function wrongSize(file: PlannedFile, has: number | "more"): PlatformError {
  const name = quoted(file.path);
  return refusal(
    `archive entry ${name} says that it has ${file.size} bytes, but it has ${has}`,
    "pack again",
  );
}

/** Whether zlib says that its input makes no sense: `Z_DATA_ERROR`, `Z_BUF_ERROR`. */
export function isBrokenData(error: unknown): boolean {
  return hasCode(error, ["Z_DATA_ERROR", "Z_BUF_ERROR"]);
}

/** A script with an interpreter line, or an ELF program. */
export function looksExecutable(start: Uint8Array): boolean {
  return (start[0] === 0x23 && start[1] === 0x21) || ELF_MAGIC.equals(start.subarray(0, 4));
}

async function hasContent(path: string, [, mode, bytes, sha256]: TreeFile): Promise<boolean> {
  await using handle = await open(path, O_RDONLY | O_NOFOLLOW);
  const stats = await handle.stat();
  if (!stats.isFile() || stats.size !== bytes || (stats.mode & 0o7777) !== MODE_OF[mode]) return false;
  const hash = createHash("sha256");
  for await (const chunk of handle.createReadStream({ autoClose: false })) hash.update(chunk);
  return hash.digest("hex") === sha256;
}

/** The first path below `dir` that is neither expected nor on the way to something expected. */
async function findAdded(
  dir: string,
  path: string,
  expected: ReadonlySet<string>,
): Promise<string | undefined> {
  const names = await readdir(join(dir, path), { withFileTypes: true });
  if (names.length === 0 && path !== "" && !expected.has(path)) return path;
  for (const entry of names) {
    const inner = path === "" ? entry.name : `${path}/${entry.name}`;
    if (!entry.isDirectory()) {
      if (!expected.has(inner)) return inner;
    } else {
      const added = await findAdded(dir, inner, expected);
      if (added !== undefined) return added;
    }
  }
  return undefined;
}

/** The same order on every machine, whatever its language. */
function byCodeUnits(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

function parentOf(path: string): string {
  const end = path.lastIndexOf("/");
  return end === -1 ? "" : path.slice(0, end);
}

/** Whether something has that name, a broken link included. */
export async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}
