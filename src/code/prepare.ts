import { PlatformError } from "../core/errors.ts";
import type { CodeRef, Entry } from "../core/function.ts";
import { buildTree, findNeeds, type Need } from "./build/build.ts";
import type { BuildParts } from "./build/tool.ts";
import { readCodeFolder } from "./code-folder.ts";
import type { CodeDepot } from "./depot.ts";
import { type EntrySettings, settleEntry } from "./entry.ts";

export interface PrepareParts {
  readonly depot: Pick<CodeDepot, "takeIn" | "takeInFolder" | "openTree">;
  readonly build: BuildParts;
  readonly runtimes: { list(): Promise<readonly AvailableRuntime[]> };
}

/** A runtime of this host; `path` is its interpreter. */
export interface AvailableRuntime {
  readonly name: string;
  readonly isHere: boolean;
  readonly path: string | undefined;
}

export interface CodeSettings extends EntrySettings {
  /** False takes the code as it is. */
  readonly build: boolean;
  /** Whether dependencies may run install scripts. */
  readonly allowScripts: boolean;
}

export interface PreparedCode {
  readonly code: CodeRef;
  readonly entry: Entry;
  readonly runtime: string;
  /** How many files the upload had, without those of dependencies. */
  readonly files: number;
}

export interface PrepareOptions {
  readonly signal: AbortSignal;
  /** A line of a build tool. */
  readonly output: (text: string) => void;
  /** What is done now: `Packaging`, then `Building`. */
  readonly step: (title: string, detail: string) => void;
}

const TITLE_OF: Readonly<Record<Need, string>> = {
  npm: "npm packages",
  pip: "Python packages",
  go: "Go program",
  bundle: "TypeScript",
};

/**
 * Takes in an upload, finds out how it runs, and builds it if it has to be. Whatever fails, no tree is changed.
 *
 * @throws PlatformError `InvalidArchive`, `PayloadTooLarge`, `InvalidHandler`, `UnsupportedMember`, `BuildFailed`, `StorageFull`.
 */
export async function prepareCode(
  parts: PrepareParts,
  upload: { readonly file: string; readonly name: string | undefined },
  settings: CodeSettings,
  options: PrepareOptions,
): Promise<PreparedCode> {
  const { signal, step } = options;
  const code = await parts.depot.takeIn(upload, { signal });
  const treeDir = await parts.depot.openTree(code.treeId);
  const { files } = await readCodeFolder(treeDir);
  step(
    "Packaging",
    `${files.length} ${files.length === 1 ? "file" : "files"}, ${bytesInWords(code.treeBytes)}`,
  );

  const runtimes = (await parts.runtimes.list()).filter((runtime) => runtime.isHere);
  const { entry, runtime } = await settleEntry(
    treeDir,
    settings,
    runtimes.map(({ name }) => name),
  );
  const needs = await findNeeds(treeDir, entry, runtime);
  if (!settings.build) refuseUnbuilt(needs);
  if (!settings.build || needs.length === 0) {
    step("Building", settings.build ? "nothing to build" : "left out");
    return { code, entry, runtime, files: files.length };
  }

  step("Building", needs.map((need) => TITLE_OF[need]).join(", "));
  const python = runtimes.find(({ name }) => name === runtime)?.path ?? "python3";
  const input = { treeDir, entry, runtime, allowScripts: settings.allowScripts, python };
  await using built = await buildTree(parts.build, input, needs, options);
  const builtCode = await parts.depot.takeInFolder(built.folder, code, { signal });
  return { code: builtCode, entry: built.entry, runtime, files: files.length };
}

/** Packages may be missing on purpose; a program that is still source code cannot run. */
function refuseUnbuilt(needs: readonly Need[]): void {
  const need = needs.find((name) => name === "go" || name === "bundle");
  if (need)
    throw new PlatformError(
      "InvalidHandler",
      `the code is a ${TITLE_OF[need]} that must be built first; deploy it without "build": false, or build it yourself`,
    );
}

function bytesInWords(bytes: number): string {
  if (bytes < 1_024) return `${bytes} B`;
  const kib = bytes / 1_024;
  return kib < 1_024 ? `${kib.toFixed(1)} KiB` : `${(kib / 1_024).toFixed(1)} MiB`;
}
