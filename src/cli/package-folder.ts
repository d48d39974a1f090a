import { createReadStream } from "node:fs";
import { lstat, readdir, readFile, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { PassThrough, type Readable } from "node:stream";
import { IGNORE_FILE, type IgnoreRules, parseIgnoreRules } from "../core/ignore.ts";
import { CODE_BYTES_MAX, CODE_FILES_MAX } from "../core/limits.ts";
import { CliError, usageError } from "./cli-error.ts";
import { isCode, messageOf } from "./settings.ts";
import { formatBytes } from "./units.ts";

/** A folder's files in order of their names, and how to send them. */
export interface FolderPackage {
  readonly files: readonly PackagedFile[];
  /** Sum of the files. */
  readonly bytes: number;
  /** A zip that is the same, byte for byte, whenever the files are: no times, no owners, no order of the disk. */
  openZip(): Promise<Readable>;
}

export interface PackagedFile {
  /** Within the package, `/` between names. */
  readonly path: string;
  /** On this machine, links resolved. */
  readonly source: string;
  readonly bytes: number;
  readonly isExecutable: boolean;
}

/** The earliest a zip can say. */
const NO_TIME = new Date(1980, 0, 1);

/**
 * Lists what of a folder is deployed. Links that stay inside become copies of what they point at; the daemon takes no
 * links, since they could lead anywhere on its machine. `alsoIgnored` are lines as of an ignore file, before the folder's own.
 *
 * @throws CliError `Usage` for a link that leads outside, a device or socket, nothing at all or too much.
 */
export async function packageFolder(
  folder: string,
  alsoIgnored: readonly string[] = [],
): Promise<FolderPackage> {
  const root = await realpath(folder);
  const own = await readIgnoreFile(join(root, IGNORE_FILE));
  const rules = parseIgnoreRules([...alsoIgnored, own].join("\n"));
  const files: PackagedFile[] = [];
  await collect({ root, rules, files }, root, "", [root]);
  if (files.length === 0) {
    throw usageError(
      `${folder} has nothing to deploy: it is empty, or all of it is left out`,
      "lambda init FOLDER makes a function to start from",
    );
  }
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  if (bytes > CODE_BYTES_MAX || files.length > CODE_FILES_MAX) {
    throw usageError(
      `${folder} has ${files.length} files, ${formatBytes(bytes)}: at most ${CODE_FILES_MAX} and ${formatBytes(CODE_BYTES_MAX)} can be deployed`,
      `leave out what it does not need with a ${IGNORE_FILE}`,
    );
  }
  return { files, bytes, openZip: () => openZip(files) };
}

async function readIgnoreFile(path: string): Promise<string> {
  return readFile(path, "utf8").catch((error: unknown) => {
    if (isCode(error, "ENOENT")) return "";
    throw CliError.local("FileUnusable", `cannot read ${path}: ${messageOf(error)}`);
  });
}

interface Walk {
  readonly root: string;
  readonly rules: IgnoreRules;
  readonly files: PackagedFile[];
}

/** `within` are the real folders that lead here: a link to one of them would go round for ever. */
async function collect(walk: Walk, folder: string, prefix: string, within: readonly string[]): Promise<void> {
  const names = (await readdir(folder)).sort((one, other) => (one < other ? -1 : 1));
  for (const name of names) {
    const path = prefix + name;
    const source = await resolveLink(walk, join(folder, name), path);
    if (source === undefined) continue;
    const facts = await stat(source);
    if (walk.rules.isIgnored(path, facts.isDirectory())) continue;
    if (facts.isDirectory()) {
      if (within.includes(source))
        throw usageError(`${path} is a link to a folder that it is in`, leaveOut(path));
      await collect(walk, source, `${path}/`, [...within, source]);
    } else if (facts.isFile()) {
      walk.files.push({ path, source, bytes: facts.size, isExecutable: (facts.mode & 0o111) !== 0 });
    } else {
      throw usageError(`${path} is neither file nor folder and cannot be deployed`, leaveOut(path));
    }
  }
}

/** The path itself, or where a link leads; undefined for a link that is left out, which may lead anywhere. */
async function resolveLink(walk: Walk, file: string, path: string): Promise<string | undefined> {
  if (!(await lstat(file)).isSymbolicLink()) return file;
  if (walk.rules.isIgnored(path, false)) return undefined;
  const target = await realpath(file).catch(() => {
    throw usageError(`${path} is a link to nothing`, leaveOut(path));
  });
  if (target === walk.root || target.startsWith(walk.root + sep)) return target;
  throw usageError(
    `${path} is a link that leads outside of the folder, to ${target}`,
    `copy what it points at into the folder, or ${leaveOut(path)}`,
  );
}

function leaveOut(path: string): string {
  return `leave it out: echo ${JSON.stringify(`/${path}`)} >> ${IGNORE_FILE}`;
}

export async function openZip(files: readonly PackagedFile[]): Promise<Readable> {
  const { ZipFile } = await import("yazl");
  const zip = new ZipFile();
  const output = new PassThrough();
  zip.outputStream.pipe(output);
  // A file that shrinks or vanishes meanwhile.
  zip.on("error", (error: unknown) => {
    output.destroy(CliError.local("FileUnusable", `packaging failed: ${messageOf(error)}`, "deploy again"));
  });
  for (const file of files) {
    zip.addReadStreamLazy(
      file.path,
      {
        mtime: NO_TIME,
        forceDosTimestamp: true,
        mode: file.isExecutable ? 0o100755 : 0o100644,
        size: file.bytes,
      },
      (give) => give(undefined, createReadStream(file.source)),
    );
  }
  zip.end();
  return output;
}
