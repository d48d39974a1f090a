/** Finds the program of a sandbox before it is started: a missing one is the platform's answer, not an exit code. */
import { constants } from "node:fs";
import { access, lstat } from "node:fs/promises";
import { join, posix } from "node:path";

/** Where something on this host appears inside; of nested ones the innermost is meant. */
export interface Mapping {
  readonly inside: string;
  readonly host: string;
}

/**
 * The program's absolute path inside; undefined if there is none.
 *
 * @param path the value of PATH inside.
 */
export async function findProgram(
  name: string,
  search: { readonly path: string; readonly workingDir: string; readonly mappings: readonly Mapping[] },
): Promise<string | undefined> {
  const candidates = name.includes("/")
    ? [posix.resolve(search.workingDir, name)]
    : search.path
        .split(":")
        .filter((folder) => folder.startsWith("/"))
        .map((folder) => posix.join(folder, name));
  for (const candidate of candidates) {
    const host = toHost(candidate, search.mappings);
    if (host !== undefined && (await isProgram(host))) return candidate;
  }
  return undefined;
}

function toHost(inside: string, mappings: readonly Mapping[]): string | undefined {
  const [mapping] = mappings
    .filter((each) => inside === each.inside || inside.startsWith(`${each.inside.replace(/\/$/, "")}/`))
    .sort((a, b) => b.inside.length - a.inside.length);
  return mapping && join(mapping.host, inside.slice(mapping.inside.length));
}

async function isProgram(path: string): Promise<boolean> {
  try {
    const found = await lstat(path);
    // A link may lead to a place that exists inside only.
    if (found.isSymbolicLink()) return true;
    if (!found.isFile()) return false;
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
