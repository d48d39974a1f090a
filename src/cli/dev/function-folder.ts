/** A folder on the developer's machine: what runs in it, and which of its files matter. */
import { readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { detectEntry } from "../../code/detect.ts";
import { isPlatformError } from "../../core/errors.ts";
import type { Entry } from "../../core/function.ts";
import { IGNORE_FILE, type IgnoreRules, parseIgnoreRules } from "../../core/ignore.ts";
import { isCode } from "../settings.ts";
import { ENV_FILE } from "./env-file.ts";
import type { WatchedFolder } from "./folder-watch.ts";

export const PYTHON_HERE = ["python3"];

/** Files that editors and tools leave for a moment, besides what no package has. */
export const DEV_IGNORED = [
  ENV_FILE,
  "*.sw[a-p]",
  "*~",
  ".#*",
  "#*#",
  "4913",
  "*___jb_*",
  ".idea/",
  ".vscode/",
  "*.tmp",
];

/** What runs in a folder; undefined if that does not show. */
export async function detect(folder: string): Promise<Entry | { readonly kind: "image" } | undefined> {
  if (await isFile(join(folder, "Dockerfile"))) return { kind: "image" };
  try {
    return (await detectEntry(folder, PYTHON_HERE)).entry;
  } catch (error) {
    if (isPlatformError(error) || isCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** What git leaves out is not watched, unless it is what runs: built by another tool, say. */
export async function watchedFolder(root: string, functions: readonly string[]): Promise<WatchedFolder> {
  const own = [parseIgnoreRules([...DEV_IGNORED.slice(1), "node_modules/"].join("\n"))];
  const git = await rulesOf(join(root, ".gitignore"));
  const runs: string[] = [];
  for (const name of functions) {
    const prefix = name === "" ? "" : `${name}/`;
    const rules = await rulesOf(join(root, name, IGNORE_FILE));
    own.push({
      isIgnored: (path, isFolder) =>
        path.startsWith(prefix) && rules.isIgnored(path.slice(prefix.length), isFolder),
    });
    const top = topOf(await detect(join(root, name)));
    if (top !== undefined) runs.push(prefix + top);
  }
  return {
    dir: root,
    isIgnored(path, isFolder) {
      if (own.some((rules) => rules.isIgnored(path, isFolder))) return true;
      if (basename(path) === ENV_FILE || basename(path) === IGNORE_FILE) return false;
      const isRun = runs.some((run) => path === run || path.startsWith(`${run}/`));
      return !isRun && git.isIgnored(path, isFolder);
    },
  };
}

/** The first folder or file on the way to what runs. */
function topOf(entry: Awaited<ReturnType<typeof detect>>): string | undefined {
  switch (entry?.kind) {
    case "handler":
      return entry.handler.includes("/") ? entry.handler.split("/")[0] : undefined;
    case "lifecycle":
      return entry.module.split("/")[0];
    case "server":
    case "filter":
      return entry.command
        .find((word) => /\.[mc]?[jt]s$|^\.\//.test(word))
        ?.replace(/^\.\//, "")
        .split("/")[0];
    default:
      return undefined;
  }
}

export async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}

async function rulesOf(file: string): Promise<IgnoreRules> {
  return parseIgnoreRules(await readFile(file, "utf8").catch(() => ""));
}
