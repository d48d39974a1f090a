import { randomBytes } from "node:crypto";
import { cp, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Entry } from "../../core/function.ts";
import { findSource, renameSource } from "../entry.ts";
import { asStorageError } from "../storage-error.ts";
import { exists } from "../tree.ts";
import { bundleTypeScript, isTypeScript } from "./esbuild.ts";
import { compileGo } from "./go.ts";
import { findMissingPackages, installPackages } from "./npm.ts";
import { installRequirements, needsPip } from "./pip.ts";
import type { BuildParts, BuildRun } from "./tool.ts";

/** What must be done before code can run, in the order it is done; `bundle` is TypeScript by esbuild. */
export type Need = "npm" | "pip" | "go" | "bundle";

export interface BuildInput {
  readonly treeDir: string;
  readonly entry: Entry;
  readonly runtime: string;
  readonly allowScripts: boolean;
  /** The interpreter of a Python runtime, whose packages must fit it. */
  readonly python: string;
}

/** A folder that the caller owns, to be disposed once it has been taken in. */
export interface Built extends AsyncDisposable {
  readonly folder: string;
  /** With the names of files that the build has made. */
  readonly entry: Entry;
}

export async function findNeeds(treeDir: string, entry: Entry, runtime: string): Promise<readonly Need[]> {
  const needs: Need[] = [];
  if (runtime.startsWith("nodejs") && (await findMissingPackages(treeDir)).length > 0) needs.push("npm");
  if (runtime.startsWith("python") && (await needsPip(treeDir))) needs.push("pip");
  if (runtime.startsWith("provided") && (await runsGo(treeDir, entry))) needs.push("go");
  const source = await findSource(treeDir, entry, runtime);
  if (source !== undefined && isTypeScript(source)) needs.push("bundle");
  return needs;
}

/**
 * Does what `needs` says to a copy of the tree; the tree itself is only read. Build tools run as the daemon's user,
 * with the network, and with an environment of their own.
 *
 * @throws PlatformError `BuildFailed` with the tool's own words, `StorageFull`; nothing is left then.
 */
export async function buildTree(
  parts: BuildParts,
  input: BuildInput,
  needs: readonly Need[],
  options: { readonly signal: AbortSignal; readonly output: (line: string) => void },
): Promise<Built> {
  const folder = join(parts.stagingDir, `build-${randomBytes(8).toString("hex")}`);
  const run: BuildRun = { dir: folder, ...options };
  const remove = async () => {
    // Go makes its module cache read-only for others, and tools may leave what they cached in their home.
    for (const dir of [folder, `${folder}.home`])
      await rm(dir, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    await mkdir(`${folder}.home`, { recursive: true, mode: 0o700 });
    await cp(input.treeDir, folder, { recursive: true, verbatimSymlinks: true });
    let { entry } = input;
    for (const need of needs) entry = await satisfy(parts, run, { ...input, entry }, need);
    return { folder, entry, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw asStorageError(error, parts.stagingDir);
  }
}

async function satisfy(parts: BuildParts, run: BuildRun, input: BuildInput, need: Need): Promise<Entry> {
  const { allowScripts, entry, python } = input;
  switch (need) {
    case "npm":
      await installPackages(parts, run, { allowScripts });
      return entry;
    case "pip":
      await installRequirements(parts, run, { allowScripts, python });
      return entry;
    case "go":
      await compileGo(parts, run);
      return entry;
    case "bundle": {
      const source = await findSource(run.dir, entry, input.runtime);
      if (source === undefined) return entry;
      const made = await bundleTypeScript(parts, run, { file: source, runtime: input.runtime });
      return renameSource(entry, source, made);
    }
  }
}

/** Whether the program that the entry runs is to come out of a go.mod. */
async function runsGo(treeDir: string, entry: Entry): Promise<boolean> {
  const isBootstrap = entry.kind === "handler" || ("command" in entry && entry.command[0] === "./bootstrap");
  return (
    isBootstrap && (await exists(join(treeDir, "go.mod"))) && !(await exists(join(treeDir, "bootstrap")))
  );
}
