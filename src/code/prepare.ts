import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type BuildInputs, NO_BUILD_INPUTS } from "../core/build-inputs.ts";
import { isPlatformError, PlatformError } from "../core/errors.ts";
import { type CodeRef, type Entry, IMAGE_RUNTIME, type ImageOverrides } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { ImageBases } from "../core/image-bases.ts";
import { buildTree, findNeeds, type Need } from "./build/build.ts";
import { DOCKERFILE, hasDockerfile } from "./build/dockerfile.ts";
import { unusedSecrets } from "./build/dockerfile-secrets.ts";
import { isTypeScript } from "./build/esbuild.ts";
import { generateDockerfile } from "./build/generated-dockerfile.ts";
import type { BuildParts } from "./build/tool.ts";
import { readCodeFolder } from "./code-folder.ts";
import type { CodeDepot } from "./depot.ts";
import { type Detected, RUBY_RUNTIME_DEFAULT } from "./detect.ts";
import { type EntrySettings, findLoadedFile, settleEntry } from "./entry.ts";
import { checkReference, type ImageEngine, imageCode, settleImage, withExtensions } from "./image.ts";
import { buildImage, type ImageBuildParts } from "./image-build.ts";
import { checkSources, checkSyntax, type Parsers } from "./syntax.ts";

export interface PrepareParts {
  readonly depot: Pick<CodeDepot, "takeIn" | "takeInFolder" | "openTree">;
  readonly build: BuildParts;
  /** Finding out about an interpreter starts it: only what code may need is asked for. */
  readonly runtimes: {
    newestPython(): Promise<AvailableRuntime | undefined>;
    look(name: string): Promise<AvailableRuntime>;
  };
  /** Without it no folder is made into an image. */
  readonly packing?: ImagePacking | undefined;
}

export interface ImagePacking extends ImageBuildParts {
  /** For folders without a Dockerfile that are to be images. */
  readonly bases: ImageBases;
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
  /** For the build of a Dockerfile. */
  readonly buildArgs?: BuildInputs["args"] | undefined;
  readonly buildSecrets?: BuildInputs["secrets"] | undefined;
  /** Those of the version before, where none are said. */
  readonly keptBuildArgs?: BuildInputs["args"] | undefined;
  /** Ids of the secrets that it was built with, which nobody has kept. */
  readonly lostBuildSecrets?: readonly string[] | undefined;
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
  /** The number that it is expected to get, for the label of its image. */
  readonly version?: number | undefined;
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
  refuseBuildInputs(settings, "an image that is there already is not built");
  options.step("Packaging", `image ${name}`);
  options.step("Building", "pulling if it is not here");
  const facts = await images.find(name, options);
  const settled = settleImage(facts, keptKind(settings), { name });
  const { entry, image } = await withExtensions(images, settled, options);
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
 * @throws PlatformError `InvalidArchive`, `PayloadTooLarge`, `InvalidHandler`, `InvalidSyntax`, `UnsupportedMember`,
 * `BuildFailed`, `StorageFull`.
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

  const { packing } = parts;
  if (given.package === "image" && !packing)
    throw new PlatformError("EngineUnavailable", "package image: this daemon runs no images");
  if (packing && given.package !== "zip" && (await hasDockerfile(treeDir))) {
    step("Building", "image of the Dockerfile");
    const inputs = {
      args: given.buildArgs ?? given.keptBuildArgs ?? {},
      secrets: given.buildSecrets ?? new Map(),
    };
    const lost = (given.lostBuildSecrets ?? []).filter((id) => !inputs.secrets.has(id));
    for (const id of await takenSecrets(treeDir, lost))
      options.output(
        `warning: the version before was built with secret ${id}, which is not kept: give it again with --build-secret id=${id},src=FILE`,
      );
    const source = { code, treeDir, functionName: upload.functionName, version: upload.version, inputs };
    const made = await buildImage(packing, source, keptKind(given), options);
    return { ...made, runtime: IMAGE_RUNTIME, files: files.length };
  }
  refuseBuildInputs(given, "this folder has no Dockerfile, or is deployed as zip");
  const isPacked = given.package === "image";
  const settings = given.keptFrom === "image" ? withoutEntry(given) : given;
  const { entry, runtime } = await settleParsed(parts, treeDir, files, settings, options);
  const needs = await findNeeds(treeDir, entry, runtime);
  if (!settings.build) refuseUnbuilt(needs);
  if (!settings.build || needs.length === 0) {
    const prepared = { code, entry, runtime, files: files.length };
    if (isPacked && packing) return await packed(parts.depot, packing, upload, prepared, options);
    step("Building", settings.build ? "nothing to build" : "left out");
    return prepared;
  }

  step("Building", needs.map((need) => TITLE_OF[need]).join(", "));
  const { path: python = "python3" } = needs.includes("pip") ? await parts.runtimes.look(runtime) : {};
  const input = { treeDir, entry, runtime, allowScripts: settings.allowScripts, python };
  await using built = await buildTree(parts.build, input, needs, options);
  const builtCode = await parts.depot.takeInFolder(built.folder, code, { signal });
  const prepared = { code: builtCode, entry: built.entry, runtime, files: files.length };
  return isPacked && packing ? await packed(parts.depot, packing, upload, prepared, options) : prepared;
}

/** How the code runs; code that does not parse is refused here, whether that hides how it runs or not. */
async function settleParsed(
  parts: PrepareParts,
  treeDir: string,
  files: readonly string[],
  settings: CodeSettings,
  { signal }: PrepareOptions,
): Promise<Detected> {
  const newest = mayBePython(files, settings) ? await parts.runtimes.newestPython() : undefined;
  const parsers = parsersOf(parts, settings.runtime);
  try {
    const settled = await settleEntry(treeDir, settings, newest ? [newest.name] : []);
    const file = settings.build ? await findLoadedFile(treeDir, settled.entry, settled.runtime) : undefined;
    // What TypeScript comes to is its build's to say.
    if (file !== undefined && !isTypeScript(file))
      await checkSyntax(parsersOf(parts, settled.runtime), treeDir, file, { signal });
    return settled;
  } catch (error) {
    const isSaid = [settings.handler, settings.module, settings.command].some((said) => said !== undefined);
    if (isSaid || !isPlatformError(error, "InvalidHandler")) throw error;
    await checkSources(parsers, treeDir, { signal });
    throw error;
  }
}

/** Those of the runtime that the code is for, else of this host. */
function parsersOf({ build, runtimes }: PrepareParts, runtime = ""): Parsers {
  const pathOf = async (name: string | undefined) => {
    // One that is not here is told by whoever is to run it.
    const found = name === undefined ? undefined : await runtimes.look(name).catch(() => undefined);
    return found?.isHere ? found.path : undefined;
  };
  return {
    environment: build.environment,
    async find(language) {
      switch (language) {
        case "javascript":
          return (runtime.startsWith("nodejs") && (await pathOf(runtime))) || process.execPath;
        case "typescript":
          return build.esbuild;
        case "python":
          return await pathOf(runtime.startsWith("python") ? runtime : (await runtimes.newestPython())?.name);
        case "ruby":
          return await pathOf(runtime.startsWith("ruby") ? runtime : RUBY_RUNTIME_DEFAULT);
      }
    },
  };
}

/** Whether it matters which Pythons are here: where the runtime is said, or nothing of the code can be Python's, it does not. */
function mayBePython(files: readonly string[], { runtime, command }: CodeSettings): boolean {
  if (runtime !== undefined) return false;
  return command !== undefined || files.some((file) => /\.py$|^Procfile$|^[^./]+$/.test(file));
}

/** The image of a tree without a Dockerfile, after all that had to be built was. */
async function packed(
  depot: Pick<CodeDepot, "openTree">,
  packing: ImagePacking,
  upload: CodeUpload,
  prepared: PreparedCode,
  options: PrepareOptions,
): Promise<PreparedCode> {
  const { code, entry, runtime, files } = prepared;
  const { text } = generateDockerfile(entry, runtime, packing.bases);
  options.step("Building", `image on ${/^FROM (\S+)/.exec(text)?.[1]}`);
  const treeDir = await depot.openTree(code.treeId);
  const source = {
    code,
    treeDir,
    functionName: upload.functionName,
    dockerfile: text,
    version: upload.version,
    inputs: NO_BUILD_INPUTS,
  };
  const settings = { kind: entry.kind, handler: undefined, command: undefined };
  return { ...(await buildImage(packing, source, settings, options)), runtime: IMAGE_RUNTIME, files };
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

async function takenSecrets(treeDir: string, ids: readonly string[]): Promise<readonly string[]> {
  if (ids.length === 0) return [];
  const unused = unusedSecrets(await readFile(join(treeDir, DOCKERFILE), "utf8"), ids);
  return ids.filter((id) => !unused.includes(id));
}

/** @throws PlatformError `InvalidRequest` for what nothing would take. */
function refuseBuildInputs({ buildArgs, buildSecrets }: CodeSettings, why: string): void {
  const args = Object.keys(buildArgs ?? {});
  const secrets = [...(buildSecrets?.keys() ?? [])];
  if (args.length === 0 && secrets.length === 0) return;
  const given = [
    ...args.map((name) => `build argument ${name}`),
    ...secrets.map((id) => `build secret ${id}`),
  ];
  throw new PlatformError("InvalidRequest", `${given.join(", ")}: they are for Dockerfiles, and ${why}`);
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
