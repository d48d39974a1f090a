import { readFile, stat } from "node:fs/promises";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { findMissingPackages } from "../code/build/npm.ts";
import { detectEntry } from "../code/detect.ts";
import { checkSources, type Parsers } from "../code/syntax.ts";
import { isPlatformError, PlatformError } from "../core/errors.ts";

/** A lifecycle module on this machine, and what its package.json says of it. */
export interface LifecycleSource {
  /** Absolute; its packages are in node_modules here or above. */
  readonly dir: string;
  /** Relative to `dir`. */
  readonly module: string;
  readonly name: string;
  readonly version: string;
}

const VERSION_NONE = "0.0.0";

/**
 * Finds the module in a folder by the rules of a deployment, or takes the file that was named.
 *
 * @param path a folder or a file; absolute
 * @param module within the folder, if the user said which
 * @throws PlatformError `InvalidHandler` if there is no lifecycle module there, `InvalidSyntax` if that is since it does not parse,
 * `BuildFailed` if packages are missing.
 */
export async function findLifecycleSource(
  path: string,
  module: string | undefined,
  parsers: Parsers,
  options: { readonly signal: AbortSignal },
): Promise<LifecycleSource> {
  const found = await stat(path).catch(() => {
    throw new PlatformError(
      "InvalidHandler",
      `there is no ${path}; name a folder with a lifecycle module, or its file`,
    );
  });
  const dir = found.isDirectory() ? path : dirname(path);
  const file = found.isDirectory() ? (module ?? (await detectModule(dir, parsers, options))) : basename(path);
  await checkFile(dir, file);
  const missing = await findMissingPackages(dir);
  if (missing.length > 0)
    throw new PlatformError(
      "BuildFailed",
      `${missing.join(", ")} of package.json ${missing.length === 1 ? "is" : "are"} not installed; run npm install in ${dir} first`,
    );
  const about = await readManifest(dir);
  return { dir, module: file, name: about.name ?? nameOf(path), version: about.version ?? VERSION_NONE };
}

async function detectModule(
  dir: string,
  parsers: Parsers,
  options: { readonly signal: AbortSignal },
): Promise<string> {
  const { entry, why } = await detectEntry(dir, []).catch(async (error: unknown) => {
    if (isPlatformError(error, "InvalidHandler")) await checkSources(parsers, dir, options);
    throw error;
  });
  if (entry.kind === "lifecycle") return entry.module;
  throw new PlatformError(
    "InvalidHandler",
    `this is a ${entry.kind} (${why.join(", ")}), and only lifecycle modules, which export run(context, request, response), ` +
      "become executables; name the file with --module if there is one",
  );
}

async function checkFile(dir: string, file: string): Promise<void> {
  const path = resolve(dir, file);
  const isInside = !relative(dir, path).startsWith(`..${sep}`) && relative(dir, path) !== "..";
  const isFile = isInside && (await stat(path).catch(() => undefined))?.isFile();
  if (!isFile)
    throw new PlatformError("InvalidHandler", `there is no file ${file} in ${dir}; correct --module`);
  if (!/\.(?:[mc]?[jt]s|tsx|jsx)$/.test(file))
    throw new PlatformError(
      "InvalidHandler",
      `${file} is neither JavaScript nor TypeScript; correct --module`,
    );
}

async function readManifest(dir: string): Promise<{ readonly name?: string; readonly version?: string }> {
  const text = await readFile(join(dir, "package.json"), "utf8").catch(() => "{}");
  let manifest: unknown;
  try {
    manifest = JSON.parse(text);
  } catch (cause) {
    throw new PlatformError("BuildFailed", `${join(dir, "package.json")} is no JSON; correct it`, { cause });
  }
  const said = (member: string): string | undefined => {
    const value = Object.entries(manifest ?? {}).find(([key]) => key === member)?.[1];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const name = said("name")?.replace(/^@[^/]*\//, "");
  const version = said("version");
  return { ...(name && { name }), ...(version && { version }) };
}

function nameOf(path: string): string {
  return basename(path).replace(/\.\w+$/, "") || "effe";
}
