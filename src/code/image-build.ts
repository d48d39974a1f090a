import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PlatformError } from "../core/errors.ts";
import type { CodeRef, Entry, ImageRef } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import { digestIn, parseImageReference } from "../core/image.ts";
import { baseImageOf, DOCKERFILE, openBuildContext } from "./build/dockerfile.ts";
import { type ImageEngine, type ImageSettings, type ImageWork, settleImage } from "./image.ts";

export interface ImageSource {
  /** Of the folder, as the depot has it. */
  readonly code: CodeRef;
  readonly treeDir: string;
  readonly functionName: FunctionName | undefined;
  /** Whether newer base images are looked for. */
  readonly pull: boolean;
}

/**
 * Builds the image of a folder with a Dockerfile. The code keeps its tree, so that it can be built again on a newer base.
 *
 * @throws PlatformError `BuildFailed`, `EngineUnavailable`, `InvalidHandler`.
 */
export async function buildImage(
  images: Pick<ImageEngine, "build" | "look">,
  source: ImageSource,
  settings: ImageSettings,
  work: ImageWork,
): Promise<{ readonly code: CodeRef; readonly entry: Entry }> {
  const { code, treeDir, functionName } = source;
  if (functionName === undefined)
    throw new PlatformError("InvalidRequest", "an image is built for a function, and none was named");
  const dockerfile = await readFile(join(treeDir, DOCKERFILE), "utf8");
  const { context } = await openBuildContext(treeDir);
  const baseName = parseImageReference(baseImageOf(dockerfile) ?? "");
  const facts = await images.build(
    {
      functionName,
      context,
      dockerfile: DOCKERFILE,
      labels: annotations(functionName, code, baseName),
      pull: source.pull,
    },
    work,
  );
  const base = await findBase(images, baseName, work);
  const { entry, image } = settleImage(facts, settings, { name: "", base });
  return { code: { ...code, treeBytes: facts.bytes, image }, entry };
}

/** The labels that others' tools read (OCI image specification, annotations). */
function annotations(
  functionName: FunctionName,
  code: CodeRef,
  baseName: string | undefined,
): Readonly<Record<string, string>> {
  const own = "org.opencontainers.image";
  return {
    [`${own}.title`]: functionName,
    [`${own}.revision`]: code.treeId,
    ...(baseName !== undefined && { [`${own}.base.name`]: baseName }),
  };
}

async function findBase(
  images: Pick<ImageEngine, "look">,
  name: string | undefined,
  { signal }: ImageWork,
): Promise<ImageRef["base"]> {
  if (name === undefined) return undefined;
  const facts = await images.look(name, { signal });
  if (!facts) return undefined;
  const digest = digestIn(name, facts.digests);
  return { name, id: facts.id, ...(digest !== undefined && { digest }) };
}
