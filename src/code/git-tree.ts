/** What of a tree of git is deployed, decided on its list of files. */
import { PlatformError } from "../core/errors.ts";
import { IGNORE_FILE, parseIgnoreRules } from "../core/ignore.ts";
import { CODE_BYTES_MAX, CODE_FILES_MAX } from "../core/limits.ts";

export interface GitEntry {
  /** As git has it: `100644`, `100755`, `120000` (a link), `160000` (a submodule). */
  readonly mode: string;
  /** Hash. */
  readonly object: string;
  readonly bytes: number;
  /** `/` between names. */
  readonly path: string;
}

export interface SettledTree {
  readonly files: readonly GitEntry[];
  readonly submodules: readonly string[];
  readonly bytes: number;
}

const LINK = "120000";
const SUBMODULE = "160000";
const LINKS_MAX = 1_000;
/** Links to links. */
const STEPS_MAX = 8;

/** The output of `ls-tree -r -l -z`. */
export function parseTree(text: string): GitEntry[] {
  return text.split("\0").flatMap((line) => {
    const match = /^(\d{6}) \w+ ([0-9a-f]+) +(\d+|-)\t([\s\S]+)$/.exec(line);
    if (!match) return [];
    const [, mode = "", object = "", bytes = "", path = ""] = match;
    return [{ mode, object, bytes: bytes === "-" ? 0 : Number(bytes), path }];
  });
}

/**
 * Leaves out what `.lambdaignore` says, and puts in place of links copies of what they point at, as `lambda deploy` does.
 *
 * @throws PlatformError `BuildFailed` for a link that leads outside or nowhere, for nothing at all, or too much.
 */
export async function settleTree(
  entries: readonly GitEntry[],
  textOf: (entry: GitEntry) => Promise<string>,
): Promise<SettledTree> {
  const ignore = entries.find(({ path, mode }) => path === IGNORE_FILE && mode !== LINK);
  const rules = parseIgnoreRules(ignore ? await textOf(ignore) : "");
  const isLeftOut = (path: string) => {
    const names = path.split("/");
    return names.some((_, at) => rules.isIgnored(names.slice(0, at + 1).join("/"), at + 1 < names.length));
  };
  const kept = entries.filter(({ path }) => !isLeftOut(path));
  const links = kept.filter(({ mode }) => mode === LINK);
  if (links.length > LINKS_MAX) {
    throw new PlatformError(
      "BuildFailed",
      `the code has ${links.length} links; at most ${LINKS_MAX} are followed`,
    );
  }
  const targets = new Map<string, string>();
  for (const link of entries.filter(({ mode }) => mode === LINK).slice(0, LINKS_MAX)) {
    targets.set(link.path, await textOf(link));
  }
  const copies = links.flatMap((link) => copiesOf(link.path, entries, targets));
  const files = [...kept.filter(({ mode }) => mode !== LINK && mode !== SUBMODULE), ...copies];
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  if (files.length === 0) throw new PlatformError("BuildFailed", "there is nothing to deploy in that folder");
  if (bytes > CODE_BYTES_MAX || files.length > CODE_FILES_MAX) {
    throw new PlatformError(
      "BuildFailed",
      `the code has ${files.length} files, ${bytes} bytes: at most ${CODE_FILES_MAX} and ${CODE_BYTES_MAX} can be deployed; leave out what it does not need with a ${IGNORE_FILE}`,
    );
  }
  const submodules = kept.filter(({ mode }) => mode === SUBMODULE).map(({ path }) => path);
  return { files, submodules, bytes };
}

/** The files that stand in place of a link: one, or those of the folder it points at. */
function copiesOf(
  link: string,
  entries: readonly GitEntry[],
  targets: ReadonlyMap<string, string>,
): GitEntry[] {
  let at = link;
  for (let step = 0; step < STEPS_MAX; step += 1) {
    const text = targets.get(at);
    if (text === undefined) break;
    at = follow(at, text, link);
  }
  const file = entries.find(({ path, mode }) => path === at && mode !== LINK && mode !== SUBMODULE);
  if (file) return [{ ...file, path: link }];
  const below = entries.filter(
    ({ path, mode }) => path.startsWith(`${at}/`) && mode !== LINK && mode !== SUBMODULE,
  );
  // A folder that the link itself is in would go round for ever.
  if (below.length > 0 && !link.startsWith(`${at}/`)) {
    return below.map((each) => ({ ...each, path: `${link}${each.path.slice(at.length)}` }));
  }
  throw new PlatformError("BuildFailed", `${link} is a link to ${at}, which cannot be deployed in its place`);
}

function follow(from: string, text: string, link: string): string {
  const names = from.split("/").slice(0, -1);
  for (const name of text.split("/")) {
    if (name === "" || name === ".") continue;
    if (name !== "..") names.push(name);
    else if (names.pop() === undefined) throw outside(link);
  }
  if (text.startsWith("/") || names.length === 0) throw outside(link);
  return names.join("/");
}

function outside(link: string): PlatformError {
  return new PlatformError(
    "BuildFailed",
    `${link} is a link that leads outside of the folder; copy what it points at into it`,
  );
}
