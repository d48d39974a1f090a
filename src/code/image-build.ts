import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { BuildInputs } from "../core/build-inputs.ts";
import { isPlatformError, PlatformError } from "../core/errors.ts";
import type { BaseImage, CodeRef, Entry } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import { digestIn, parseImageReference } from "../core/image.ts";
import { beyondClassic } from "./build/beyond-classic.ts";
import { DOCKERFILE, openBuildContext } from "./build/dockerfile.ts";
import { findBases } from "./build/dockerfile-bases.ts";
import { unusedSecrets } from "./build/dockerfile-secrets.ts";
import { CLIENT, CLIENT_DIR, CONTEXT_DIR, type Language } from "./build/generated-dockerfile.ts";
import {
  type ImageEngine,
  type ImageSettings,
  type ImageWork,
  settleImage,
  withExtensions,
} from "./image.ts";
import { exists } from "./tree.ts";

export interface ImageSource {
  /** Of the folder, as the depot has it. */
  readonly code: CodeRef;
  readonly treeDir: string;
  readonly functionName: FunctionName | undefined;
  /** For a folder that has none. */
  readonly dockerfile?: string | undefined;
  /** The number that the version is expected to get, for its label. */
  readonly version: number | undefined;
  readonly inputs: BuildInputs;
}

export interface ImageBuildParts {
  readonly images: Pick<ImageEngine, "build" | "look" | "find" | "extensionsOf">;
  /** Where the Runtime API clients of slim images are (runtimes/container). */
  readonly clientDir: string;
}

/**
 * Builds the image of a folder with a Dockerfile, its own or one that was made for it. The code keeps its tree, so that it
 * can be built again on a newer base.
 *
 * @throws PlatformError `BuildFailed`, `EngineUnavailable`, `InvalidHandler`.
 */
export async function buildImage(
  { images, clientDir }: ImageBuildParts,
  source: ImageSource,
  settings: ImageSettings,
  work: ImageWork,
): Promise<{ readonly code: CodeRef; readonly entry: Entry }> {
  const { code, treeDir, functionName, inputs } = source;
  if (functionName === undefined)
    throw new PlatformError("InvalidRequest", "an image is built for a function, and none was named");
  const dockerfile = source.dockerfile ?? (await readFile(join(treeDir, DOCKERFILE), "utf8"));
  const added =
    source.dockerfile === undefined ? undefined : await addedFiles(treeDir, source.dockerfile, clientDir);
  const { context } = await openBuildContext(treeDir, added);
  const named = findBases(dockerfile, inputs.args);
  for (const id of unusedSecrets(dockerfile, [...inputs.secrets.keys()]))
    work.output(`warning: secret ${id} is given, and no RUN --mount=type=secret,id=${id} takes it`);
  const base = await findBase(images, named.base, work);
  const otherBases: BaseImage[] = [];
  for (const name of named.others) {
    const other = await findBase(images, name, work);
    if (other) otherBases.push(other);
  }
  const order = {
    functionName,
    context,
    dockerfile: DOCKERFILE,
    labels: annotations(source, base),
    beyondClassic: beyondClassic(dockerfile),
    inputs,
  };
  const facts = await images.build(order, work);
  const settled = settleImage(facts, settings, {
    ...{ name: "", base, otherBases, dockerfile: source.dockerfile },
    buildArgs: Object.keys(inputs.args).length > 0 ? inputs.args : undefined,
    buildSecrets: inputs.secrets.size > 0 ? [...inputs.secrets.keys()] : undefined,
  });
  const { entry, image } = await withExtensions(images, settled, work);
  return { code: { ...code, treeBytes: facts.bytes, image }, entry };
}

/** The labels that others' tools read (OCI image specification, annotations). */
function annotations(
  { code, functionName, version }: ImageSource,
  base: BaseImage | undefined,
): Readonly<Record<string, string>> {
  const own = "org.opencontainers.image";
  return {
    [`${own}.title`]: functionName ?? "",
    [`${own}.created`]: new Date().toISOString(),
    [`${own}.revision`]: code.treeId,
    ...(version !== undefined && { [`${own}.version`]: String(version) }),
    ...(base !== undefined && { [`${own}.base.name`]: base.name }),
    ...(base?.digest !== undefined && { [`${own}.base.digest`]: base.digest }),
  };
}

/** As it is when the build begins; pulled before it, so that what is remembered is what was built on. */
async function findBase(
  images: ImageBuildParts["images"],
  named: string | undefined,
  work: ImageWork,
): Promise<BaseImage | undefined> {
  const name = parseImageReference(named ?? "");
  if (name === undefined) return undefined;
  try {
    const facts = await images.find(name, work);
    const digest = digestIn(name, facts.digests);
    return { name, id: facts.id, ...(digest !== undefined && { digest }) };
  } catch (error) {
    // The build says it in its own words, or does without.
    if (isPlatformError(error, "ImageUnavailable")) return undefined;
    throw error;
  }
}

const LANGUAGES: readonly Language[] = ["nodejs", "python"];

/** The Dockerfile itself, which stays out of the image, and the client that it copies. */
async function addedFiles(
  treeDir: string,
  dockerfile: string,
  clientDir: string,
): Promise<Map<string, string>> {
  const added = new Map([[DOCKERFILE, dockerfile]]);
  if (!(await exists(join(treeDir, ".dockerignore"))))
    added.set(".dockerignore", `${DOCKERFILE}\n.dockerignore\n`);
  const language = LANGUAGES.find((each) => dockerfile.includes(`${CLIENT_DIR}${CLIENT[each].file}`));
  if (!language) return added;
  for (const [name, text] of await readClient(language, clientDir)) added.set(`${CONTEXT_DIR}/${name}`, text);
  return added;
}

/** The files of a Runtime API client, by their names in the image's folder of it. */
export async function readClient(language: Language, clientDir: string): Promise<Map<string, string>> {
  const { file, beside } = CLIENT[language];
  const files = new Map([[file, await readFile(join(clientDir, file), "utf8")]]);
  for (const [name, from] of Object.entries(beside)) {
    files.set(name, await readFile(join(clientDir, "..", from), "utf8"));
  }
  return files;
}
