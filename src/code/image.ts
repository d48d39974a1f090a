import type { Readable } from "node:stream";
import { imageArchitecture } from "../core/architecture.ts";
import type { BuildInputs } from "../core/build-inputs.ts";
import { PlatformError } from "../core/errors.ts";
import type { CodeRef, Entry, EntryKind, ImageOverrides, ImageRef } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import { IMAGE_REFERENCE_RULE, type ImageFacts, parseImageReference } from "../core/image.ts";

/** What deploying an image needs of the engine. */
export interface ImageEngine {
  /** The image of that name or id; pulled where the engine does not have it. */
  find(reference: string, work: ImageWork): Promise<ImageFacts>;
  look(reference: string, options: { readonly signal: AbortSignal }): Promise<ImageFacts | undefined>;
  /** Names of the programs directly in `/opt/extensions` of an image, by its id. */
  extensionsOf(imageId: string, options: { readonly signal: AbortSignal }): Promise<readonly string[]>;
  build(build: ImageBuildOrder, work: ImageWork): Promise<ImageFacts>;
  /** Lets go of what was built and will not be published. */
  abandon(imageId: string, options: { readonly signal: AbortSignal }): Promise<void>;
  /** Asks the registry for what that name means now. */
  pull(reference: string, work: ImageWork): Promise<void>;
  /** What the engine has, by id. */
  inventory(options: { readonly signal: AbortSignal }): Promise<ReadonlyMap<string, ImageHere>>;
}

export interface ImageHere {
  readonly bytes: number;
  /** Those of this daemon that were made of it. */
  readonly containers: number;
  /** `NAME@sha256:…` */
  readonly digests: readonly string[];
}

export interface ImageWork {
  readonly signal: AbortSignal;
  readonly output: (text: string) => void;
}

export interface ImageBuildOrder {
  readonly functionName: FunctionName;
  readonly context: Readable;
  readonly dockerfile: string;
  /** Of the image, besides its own; put on when it is built, so that they spoil no cached layer. */
  readonly labels: Readonly<Record<string, string>>;
  /** What of its Dockerfile takes BuildKit, in words; undefined if any builder will do. */
  readonly beyondClassic: string | undefined;
  readonly inputs: BuildInputs;
}

/** With the extensions that run beside a handler; other programs have none. */
export async function withExtensions(
  images: Pick<ImageEngine, "extensionsOf">,
  settled: { readonly entry: Entry; readonly image: ImageRef },
  { signal }: ImageWork,
): Promise<{ readonly entry: Entry; readonly image: ImageRef }> {
  if (settled.entry.kind !== "handler") return settled;
  const extensions = await images.extensionsOf(settled.image.id, { signal });
  return extensions.length === 0 ? settled : { ...settled, image: { ...settled.image, extensions } };
}

/** What was said about how an image runs; the rest is recognised. */
export interface ImageSettings {
  readonly kind: EntryKind | undefined;
  /** In place of the image's command: the handler of an AWS base image. */
  readonly handler: string | undefined;
  /** In place of the image's command. */
  readonly command: readonly string[] | undefined;
  readonly overrides?: ImageOverrides | undefined;
}

/** @throws PlatformError `InvalidRequest` for what is no name of an image. */
export function checkReference(text: string): string {
  const reference = parseImageReference(text);
  if (reference !== undefined) return reference;
  throw new PlatformError(
    "InvalidRequest",
    `image: expected ${IMAGE_REFERENCE_RULE}, got ${JSON.stringify(text.slice(0, 200))}`,
  );
}

/** Code for an image that was not built here. */
export function imageCode(facts: ImageFacts, image: ImageRef): CodeRef {
  return {
    treeId: "",
    archiveSha256: facts.id.replace("sha256:", ""),
    archiveBytes: 0,
    treeBytes: facts.bytes,
    image,
  };
}

/**
 * How an image is spoken to, in this order: what was said; the Runtime API for AWS's base images and for whatever names a
 * Runtime API client in its command; HTTP for images that expose a port; else stdin and stdout.
 *
 * @throws PlatformError `InvalidHandler` for an image that cannot be run so, or is made for other machines.
 */
export function settleImage(
  facts: ImageFacts,
  settings: ImageSettings,
  source: { readonly name: string } & Pick<
    ImageRef,
    "base" | "otherBases" | "dockerfile" | "buildArgs" | "buildSecrets"
  >,
): { readonly entry: Entry; readonly image: ImageRef } {
  checkArchitecture(facts);
  const overrides = overridesOf(settings);
  const entryPoint = withoutEmulator(overrides?.entryPoint ?? facts.entryPoint);
  const [program, ...rest] = [...entryPoint, ...(overrides?.command ?? facts.command)];
  if (program === undefined) {
    throw new PlatformError(
      "InvalidHandler",
      "the image has neither an entry point nor a command: add ENTRYPOINT or CMD to its Dockerfile, or say --command PROGRAM",
    );
  }
  const command = [program, ...rest] as const;
  const kind = settings.kind ?? recognise(facts, command);
  const image: ImageRef = {
    id: facts.id,
    source: source.name,
    command,
    workingDir: overrides?.workingDir ?? (facts.workingDir || "/"),
    user: facts.user,
    port: facts.ports[0],
    ...(source.dockerfile !== undefined && { dockerfile: source.dockerfile }),
    ...(source.buildArgs && { buildArgs: source.buildArgs }),
    ...(source.buildSecrets && { buildSecrets: source.buildSecrets }),
    ...(source.base && { base: source.base }),
    ...(source.otherBases && source.otherBases.length > 0 && { otherBases: source.otherBases }),
    ...(facts.createdAt > 0 && { createdAt: facts.createdAt }),
    ...(overrides && { overrides }),
  };
  return { entry: entryOf(kind, command, overrides?.command ?? facts.command), image };
}

function entryOf(kind: EntryKind, command: readonly [string, ...string[]], own: readonly string[]): Entry {
  switch (kind) {
    case "handler":
      return { kind, handler: own[0] ?? command[0] };
    case "server":
    case "filter":
      return { kind, command };
    case "lifecycle":
      throw new PlatformError(
        "InvalidHandler",
        "kind lifecycle: modules are loaded by lambdad's own Node, so they cannot be images; use handler, server or filter",
      );
  }
}

/** Programs and packages that poll the Runtime API; AWS's own names for them. */
const RUNTIME_API_CLIENT =
  /(?:^|\/)(?:lambda-entrypoint\.sh|bootstrap|aws-lambda-ric|lambda-ric|awslambdaric|aws_lambda_ric|lambda_runtime)$/;
/** What AWS's base images set, whatever was put on top of them. */
const AWS_VARIABLES = ["LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"];

function recognise(facts: ImageFacts, command: readonly string[]): EntryKind {
  if (AWS_VARIABLES.every((name) => facts.variables.includes(name))) return "handler";
  if (command.some((word) => RUNTIME_API_CLIENT.test(word))) return "handler";
  return facts.ports.length > 0 ? "server" : "filter";
}

function overridesOf({ handler, command, overrides }: ImageSettings): ImageOverrides | undefined {
  const own = command ?? (handler === undefined ? undefined : [handler]);
  if (own === undefined) return overrides;
  return { ...overrides, command: own };
}

/** The emulator would hide the Runtime API behind one of its own: what it starts is started without it. */
function withoutEmulator(entryPoint: readonly string[]): readonly string[] {
  return /(?:^|\/)aws-lambda-rie$/.test(entryPoint[0] ?? "") ? entryPoint.slice(1) : entryPoint;
}

function checkArchitecture({ architecture }: ImageFacts): void {
  const own = imageArchitecture(process.arch);
  if (architecture === "" || architecture === own) return;
  throw new PlatformError(
    "InvalidHandler",
    `the image is for ${architecture}, and this host is ${own}: build it with --platform linux/${own}, or name one that has both`,
  );
}
