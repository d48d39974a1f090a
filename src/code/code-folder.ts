import { constants } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { looksExecutable } from "./tree.ts";

/** Of a file that is looked into; code that is larger was made by a tool and says what it exports at its end. */
const READ_BYTES_MAX = 1024 * 1024;

/** A tree as detection sees it: names, and the text of a few files. */
export interface CodeFolder {
  /** Paths of files in the tree and, except for those of dependencies, in folders below it, sorted. */
  readonly files: readonly string[];
  has(path: string): boolean;
  /** Empty if there is no such file. */
  read(path: string): Promise<string>;
  readJson(path: string): Promise<Readonly<Record<string, unknown>>>;
  /** A script with an interpreter line or an ELF program, with its executable bit set. */
  isProgram(path: string): Promise<boolean>;
}

const NOT_OURS = new Set(["node_modules", ".git", "__pycache__", ".venv", "venv"]);
const DEPTH_MAX = 8;

export async function readCodeFolder(dir: string): Promise<CodeFolder> {
  const files: string[] = [];
  await list(dir, "", files, 0);
  files.sort();
  const known = new Set(files);
  const read = async (path: string) => (known.has(path) ? await readStart(join(dir, path)) : Buffer.alloc(0));
  return {
    files,
    has: (path) => known.has(path),
    read: async (path) => (await read(path)).toString("utf8"),
    readJson: async (path) => parseObject((await read(path)).toString("utf8")),
    async isProgram(path) {
      await using handle = await open(join(dir, path), constants.O_RDONLY | constants.O_NOFOLLOW);
      const { mode } = await handle.stat();
      const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0);
      return (mode & 0o111) !== 0 && looksExecutable(buffer);
    },
  };
}

async function list(dir: string, path: string, files: string[], depth: number): Promise<void> {
  for (const entry of await readdir(join(dir, path), { withFileTypes: true })) {
    const inner = path === "" ? entry.name : `${path}/${entry.name}`;
    if (entry.isFile()) files.push(inner);
    else if (entry.isDirectory() && !NOT_OURS.has(entry.name) && depth < DEPTH_MAX)
      await list(dir, inner, files, depth + 1);
  }
}

async function readStart(path: string): Promise<Buffer> {
  await using handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const { size } = await handle.stat();
  const buffer = Buffer.alloc(Math.min(size, READ_BYTES_MAX));
  // The end of a large file is where compilers put exports.
  const { bytesRead } = await handle.read(buffer, 0, buffer.length, Math.max(0, size - READ_BYTES_MAX));
  return buffer.subarray(0, bytesRead);
}

/** An object of a JSON text; empty for anything else, whose own tool says best what is wrong with it. */
function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
  } catch {
    return {};
  }
}
