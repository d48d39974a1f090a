import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { tarEntry } from "../../core/tar-entry.ts";
import { exists } from "../tree.ts";
import { parseDockerIgnore } from "./dockerignore.ts";

export const DOCKERFILE = "Dockerfile";

export async function hasDockerfile(treeDir: string): Promise<boolean> {
  return await exists(join(treeDir, DOCKERFILE));
}

/**
 * The files of a build as a tar, without what `.dockerignore` names; the Dockerfile itself always goes along. `added` are
 * texts by path that the folder does not have.
 */
export async function openBuildContext(
  treeDir: string,
  added: ReadonlyMap<string, string> = new Map(),
): Promise<{ readonly context: Readable; readonly files: number }> {
  const rules = parseDockerIgnore(await readFile(join(treeDir, ".dockerignore"), "utf8").catch(() => ""));
  const files: string[] = [];
  await collect(treeDir, "", files);
  const sent = files.filter(
    (path) => path === DOCKERFILE || path === ".dockerignore" || !rules.isIgnored(path),
  );
  // With their folders, whose modes would otherwise be the engine's choice.
  const folders = new Set(sent.flatMap(foldersOf));
  const { create } = await import("tar");
  const paths = [...folders, ...sent].map(unambiguous);
  const pack = create({ cwd: treeDir, portable: true, noDirRecurse: true }, paths);
  async function* all(): AsyncGenerator<Uint8Array> {
    for (const [path, text] of added) yield tarEntry(path, text);
    yield* pack;
  }
  return { context: Readable.from(all(), { objectMode: false }), files: sent.length + added.size };
}

/** Outer ones first. */
function foldersOf(path: string): string[] {
  const names = path.split("/").slice(0, -1);
  return names.map((_, index) => names.slice(0, index + 1).join("/"));
}

/** tar would take what begins with @ for the name of another archive. */
function unambiguous(path: string): string {
  return path.startsWith("@") ? `./${path}` : path;
}

async function collect(dir: string, path: string, files: string[]): Promise<void> {
  const entries = await readdir(join(dir, path), { withFileTypes: true });
  for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
    const inner = path === "" ? entry.name : `${path}/${entry.name}`;
    if (entry.isDirectory()) await collect(dir, inner, files);
    else if (entry.isFile()) files.push(inner);
  }
}
