import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { PlatformError } from "../../core/errors.ts";
import { readJavaScript } from "../source-exports.ts";
import { exists } from "../tree.ts";
import { type BuildParts, type BuildRun, runTool } from "./tool.ts";

const NATIVE_DEPTH_MAX = 4;

/**
 * Gives ES modules a `require`, for CommonJS packages in the bundle that load Node's own modules by it. A property
 * instead of a constant, since the code may declare a `require` of its own.
 */
const REQUIRE_FOR_MODULES =
  'import{createRequire as __createRequire}from"node:module";globalThis.require??=__createRequire(import.meta.url);';

export function isTypeScript(file: string): boolean {
  return /\.(?:[mc]?ts|tsx)$/.test(file);
}

/**
 * Bundles a TypeScript file with the packages it uses into JavaScript beside it, with a source map, and removes it.
 * Returns the name of the new file: the same, but for its ending. Types are not checked.
 *
 * @throws PlatformError `BuildFailed` with esbuild's own message, which names file, line and column.
 */
export async function bundleTypeScript(
  parts: BuildParts,
  run: BuildRun,
  source: { readonly file: string; readonly runtime: string },
): Promise<string> {
  if (parts.esbuild === undefined)
    throw new PlatformError(
      "BuildFailed",
      `${source.file} needs esbuild, which is not installed for this platform; run npm install again without --omit=optional, or deploy JavaScript`,
    );
  const isCommonJs = await wantsCommonJs(run.dir, source.file);
  const made = source.file.replace(/\.\w+$/, isCommonJs ? ".cjs" : ".mjs");
  const external = (await findNativePackages(join(run.dir, "node_modules"))).map(
    (name) => `--external:${name}`,
  );
  await runTool(parts, run, {
    title: "esbuild",
    command: [
      parts.esbuild,
      source.file,
      "--bundle",
      "--platform=node",
      `--target=node${source.runtime.match(/\d+/)?.[0] ?? "24"}`,
      `--format=${isCommonJs ? "cjs" : "esm"}`,
      ...(isCommonJs ? [] : [`--banner:js=${REQUIRE_FOR_MODULES}`]),
      "--sourcemap=linked",
      "--sources-content=true",
      "--keep-names",
      "--loader:.node=copy",
      "--color=false",
      ...external,
      `--outfile=${made}`,
    ],
    environment: {},
    remedy: "run npm install in lambdad's own folder again",
  });
  await rm(join(run.dir, source.file));
  return made;
}

/** Packages with native code look for it beside themselves, so they stay where they are. */
async function findNativePackages(modules: string, scope = ""): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(modules, { withFileTypes: true }).catch(() => [])) {
    if (!entry.isDirectory()) continue;
    const path = join(modules, entry.name);
    if (entry.name.startsWith("@") && scope === "")
      found.push(...(await findNativePackages(path, `${entry.name}/`)));
    else if ((await exists(join(path, "binding.gyp"))) || (await hasNativeFile(path, 0)))
      found.push(scope + entry.name);
  }
  return found;
}

async function hasNativeFile(dir: string, depth: number): Promise<boolean> {
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    if (entry.isFile() && entry.name.endsWith(".node")) return true;
    const isInner = entry.isDirectory() && entry.name !== "node_modules" && depth < NATIVE_DEPTH_MAX;
    if (isInner && (await hasNativeFile(join(dir, entry.name), depth + 1))) return true;
  }
  return false;
}

/** What the ending says, else package.json, else what the file uses: TypeScript is mostly written as ES modules. */
async function wantsCommonJs(dir: string, file: string): Promise<boolean> {
  if (/\.[mc]ts$/.test(file)) return file.endsWith(".cts");
  const manifest = await readFile(join(dir, "package.json"), "utf8").catch(() => "");
  const type = manifest.match(/"type"\s*:\s*"(module|commonjs)"/)?.[1];
  if (type !== undefined) return type === "commonjs";
  return readJavaScript(await readFile(join(dir, file), "utf8")).isCommonJs;
}
