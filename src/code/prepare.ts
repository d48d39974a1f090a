import { PlatformError } from "../core/errors.ts";
import { type CodeRef, type Entry, IMAGE_RUNTIME, type ImageOverrides } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import { buildTree, findNeeds, type Need } from "./build/build.ts";
import { hasDockerfile } from "./build/dockerfile.ts";
import type { BuildParts } from "./build/tool.ts";
import { readCodeFolder } from "./code-folder.ts";
import type { CodeDepot } from "./depot.ts";
import { type EntrySettings, settleEntry } from "./entry.ts";
import { checkReference, type ImageEngine, imageCode, settleImage } from "./image.ts";
import { buildImage } from "./image-build.ts";

export interface PrepareParts {
  readonly depot: Pick<CodeDepot, "takeIn" | "takeInFolder" | "openTree">;
  readonly build: BuildParts;
  readonly runtimes: { list(): Promise<readonly AvailableRuntime[]> };
  /** Without one no folder is made into an image. */
  readonly images?: ImageEngine | undefined;
}

/** A runtime of this host; `path` is its interpreter. */
export interface AvailableRuntime {
  readonly name: string;
  readonly isHere: boolean;
  readonly path: string | undefined;
}

export interface CodeSettings extends EntrySettings {
  /** What a folder is made into; undefined makes an image of one that has a Dockerfile. */
  readonly package?: "zip" | "image" | undefined;
  /**
   * Set where the settings of the entry are not the user's but those of the version before, whose code was this. They
   * hold only for code of the same sort.
   */
  readonly keptFrom?: "tree" | "image" | undefined;
  /** Of an image: what is said in place of its own. */
  readonly overrides?: ImageOverrides | undefined;
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

/** An upload, and the function it is for. */
export interface CodeUpload {
  readonly file: string;
  readonly name: string | undefined;
  readonly functionName?: FunctionName | undefined;
}

/**
 * Takes in an image that the engine has or can pull, and finds out how it is spoken to.
 *
 * @throws PlatformError `InvalidRequest`, `ImageUnavailable`, `InvalidHandler`, `EngineUnavailable`.
 */
export async function prepareImage(
  images: ImageEngine,
  reference: string,
  settings: CodeSettings,
  options: PrepareOptions,
): Promise<PreparedCode> {
  const name = checkReference(reference);
  options.step("Packaging", `image ${name}`);
  options.step("Building", "pulling if it is not here");
  const facts = await images.find(name, options);
  const { entry, image } = settleImage(facts, keptKind(settings), { name });
  return { code: imageCode(facts, image), entry, runtime: IMAGE_RUNTIME, files: 0 };
}

/** Of the version before only the kind holds for another image: its command was that image's own. */
function keptKind(settings: CodeSettings): CodeSettings {
  if (settings.keptFrom === undefined) return settings;
  const kind = settings.keptFrom === "image" ? settings.kind : undefined;
  return { ...settings, kind, handler: undefined, module: undefined, command: undefined };
}

/**
 * Takes in an upload, finds out how it runs, and builds it if it has to be. Whatever fails, no tree is changed.
 *
 * @throws PlatformError `InvalidArchive`, `PayloadTooLarge`, `InvalidHandler`, `UnsupportedMember`, `BuildFailed`, `StorageFull`.
 */
export async function prepareCode(
  parts: PrepareParts,
  upload: CodeUpload,
  given: CodeSettings,
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

  if (parts.images && (await isForImage(treeDir, given))) {
    step("Building", "image of the Dockerfile");
    const made = await buildImage(
      parts.images,
      { code, treeDir, functionName: upload.functionName, pull: false },
      keptKind(given),
      options,
    );
    return { ...made, runtime: IMAGE_RUNTIME, files: files.length };
  }
  const settings = given.keptFrom === "image" ? withoutEntry(given) : given;
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

/** @throws PlatformError `InvalidHandler` for an image of a folder without a Dockerfile. */
async function isForImage(treeDir: string, settings: CodeSettings): Promise<boolean> {
  if (settings.package === "zip") return false;
  if (await hasDockerfile(treeDir)) return true;
  if (settings.package === undefined) return false;
  throw new PlatformError(
    "InvalidHandler",
    "package image: the folder has no Dockerfile; add one, for example FROM public.ecr.aws/lambda/nodejs:24, COPY and CMD",
  );
}

function withoutEntry(settings: CodeSettings): CodeSettings {
  return {
    ...settings,
    runtime: undefined,
    kind: undefined,
    handler: undefined,
    module: undefined,
    command: undefined,
  };
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
