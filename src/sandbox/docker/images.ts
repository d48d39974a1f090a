import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import type { BuildInputs } from "../../core/build-inputs.ts";
import { PlatformError } from "../../core/errors.ts";
import type { FunctionName } from "../../core/ids.ts";
import { type ImageFacts, imageNamespace, imageRepository } from "../../core/image.ts";
import type { ImageBuildLimits } from "../../core/image-settings.ts";
import type { Log } from "../../core/log.ts";
import { TAR_END, tarEntry } from "../../core/tar-entry.ts";
import { runBuild, stoppedAfter } from "./builders.ts";
import { type Engine, listOf, textsOf } from "./engine.ts";
import type { EngineEnvironment } from "./engine-address.ts";
import { isRefusal } from "./engine-problem.ts";
import { withEngine } from "./engine-session.ts";
import { findExtensions } from "./image-extensions.ts";
import {
  type BuildTags,
  inspect,
  LIST_MS_MAX,
  leftoverAt,
  leftoverTag,
  listTags,
  removeTag,
} from "./image-tags.ts";
import { LABEL, labelFilter } from "./labels.ts";
import { readProgress } from "./progress.ts";
import { failingBase, type RegistryCredentials } from "./registry-auth.ts";
import { wrongMachine } from "./wrong-machine.ts";

export interface DockerImagesParts {
  readonly findSocket: () => string;
  readonly instanceName: string;
  readonly credentials: RegistryCredentials;
  readonly building: BuildTags;
  readonly limits: ImageBuildLimits;
  readonly environment: EngineEnvironment;
  readonly log: Log;
}

export interface ImageWork {
  readonly signal: AbortSignal;
  /** A line of the engine's. */
  readonly output: (text: string) => void;
}

export interface ImageBuild {
  readonly functionName: FunctionName;
  /** A tar of the folder, Dockerfile included. */
  readonly context: Readable;
  /** Of the Dockerfile within it. */
  readonly dockerfile: string;
  readonly labels: Readonly<Record<string, string>>;
  /** What of it takes BuildKit, in words; undefined if any builder will do. */
  readonly beyondClassic: string | undefined;
  readonly inputs: BuildInputs;
}

/** For naming what a failed build has left. */
const LEFTOVER_MS_MAX = 5_000;

/** Images on the engine of this host: found, looked at and built. What they are named by is `ImageShelf`'s. */
export class DockerImages {
  readonly #parts: DockerImagesParts;

  constructor(parts: DockerImagesParts) {
    this.#parts = parts;
  }

  /**
   * The image of that name or id; pulled where the engine does not have it.
   *
   * @throws PlatformError `ImageUnavailable` if it is nowhere, `EngineUnavailable`.
   */
  async find(reference: string, work: ImageWork): Promise<ImageFacts> {
    return await this.#withEngine(work.signal, async (engine) => {
      const here = await inspect(engine, reference);
      if (here) return here;
      if (reference.startsWith("sha256:")) throw unavailable(reference, "the engine has no such image");
      await this.#pull(engine, reference, work);
      const pulled = await inspect(engine, reference);
      if (pulled) return pulled;
      throw unavailable(reference, "it was pulled, and the engine does not have it");
    });
  }

  /** What the engine has under that name; undefined if nothing. */
  async look(
    reference: string,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<ImageFacts | undefined> {
    return await this.#withEngine(signal, (engine) => inspect(engine, reference));
  }

  /** Names of the programs directly in `/opt/extensions` of an image, by its id. */
  async extensionsOf(
    imageId: string,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<readonly string[]> {
    const { instanceName } = this.#parts;
    return await this.#withEngine(signal, (engine) =>
      findExtensions(engine, imageId, { instanceName, signal }),
    );
  }

  /** Asks the registry for what that name means now. @throws PlatformError `ImageUnavailable`. */
  async pull(reference: string, work: ImageWork): Promise<void> {
    await this.#withEngine(work.signal, (engine) => this.#pull(engine, reference, work));
  }

  /** What the engine has, by id, and how many containers of ours were made of each. */
  async inventory({ signal }: { readonly signal: AbortSignal }): Promise<Map<string, ImageHere>> {
    return await this.#withEngine(signal, async (engine) => {
      const [images, containers] = await Promise.all([
        engine.json("GET", "/images/json", { withinMs: LIST_MS_MAX }),
        engine.json("GET", "/containers/json", {
          query: { all: "1", filters: labelFilter(this.#parts.instanceName) },
        }),
      ]);
      const counts = new Map<string, number>();
      for (const { ImageID } of listOf(containers))
        counts.set(String(ImageID), (counts.get(String(ImageID)) ?? 0) + 1);
      return new Map(
        listOf(images).map(({ Id, Size, RepoDigests }) => [
          String(Id),
          {
            bytes: typeof Size === "number" ? Size : 0,
            containers: counts.get(String(Id)) ?? 0,
            digests: textsOf(RepoDigests),
          },
        ]),
      );
    });
  }

  /**
   * Builds an image. The engine stops when the signal aborts; what it made until then is its cache.
   *
   * @throws PlatformError `BuildFailed` with the last lines of the build, `EngineUnavailable`.
   */
  async build(build: ImageBuild, { signal, output }: ImageWork): Promise<ImageFacts> {
    const { limits } = this.#parts;
    const limit = AbortSignal.timeout(limits.limitMs);
    const both = AbortSignal.any([signal, limit]);
    const repository = imageRepository(this.#parts.instanceName, build.functionName);
    const tag = `${repository}:building-${randomBytes(6).toString("hex")}`;
    const { building } = this.#parts;
    building.add(tag);
    const seen = new BuildTrace();
    try {
      return await this.#withEngine(both, async (engine) => {
        const show = (text: string) => {
          seen.read(text);
          output(text);
        };
        const { context, dockerfile, beyondClassic, inputs } = build;
        const order = { tag, context, dockerfile, beyondClassic, inputs, limits };
        const problem = await runBuild(this.#parts, engine, order, { signal: both, output: show });
        if (problem) throw this.#buildFailed(problem);
        const labels = {
          ...build.labels,
          [LABEL.instance]: this.#parts.instanceName,
          [LABEL.function]: build.functionName,
        };
        await putLabels(engine, tag, labels, both);
        const built = await inspect(engine, tag);
        if (!built) throw new PlatformError("BuildFailed", "docker build ended without an image");
        building.made(tag, built.id);
        await this.#dropLeftovers(engine, repository);
        return built;
      });
    } catch (error) {
      building.remove(tag);
      if (seen.container !== undefined) building.orphans.add(seen.container);
      if (seen.layer !== undefined) await this.#keepLeftover(repository, seen.layer);
      signal.throwIfAborted();
      if (limit.aborted) throw stoppedAfter(limits);
      if (isRefusal(error, 400, 404, 500)) throw this.#buildFailed(error.message, { cause: error });
      throw error;
    }
  }

  /** Removes the tags that a build of that image was given, and the image with them unless a version has it. */
  async abandon(imageId: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    await this.#withEngine(signal, async (engine) => {
      const all = await listTags(engine, `${imageNamespace(this.#parts.instanceName)}/*`);
      for (const { repository, version, id } of all) {
        const tag = `${repository}:${version}`;
        if (id === imageId && this.#parts.building.remove(tag)) await removeTag(engine, tag);
      }
    });
  }

  /** It stays for the next build to go on from, until the keeper finds that it is old. */
  async #keepLeftover(repository: string, layer: string): Promise<void> {
    const { findSocket, log } = this.#parts;
    try {
      await withEngine(findSocket, AbortSignal.timeout(LEFTOVER_MS_MAX), (engine) =>
        engine.json("POST", `/images/${layer}/tag`, {
          query: { repo: repository, tag: leftoverTag(Date.now()) },
        }),
      );
    } catch (error) {
      log.warn("what a failed build has left could not be marked", { repository, error });
    }
  }

  /** What of them is of use is now part of the image. */
  async #dropLeftovers(engine: Engine, repository: string): Promise<void> {
    for (const tag of await listTags(engine, repository))
      if (tag.repository === repository && leftoverAt(tag) !== undefined)
        await removeTag(engine, `${repository}:${tag.version}`);
  }

  async #pull(engine: Engine, reference: string, { signal, output }: ImageWork): Promise<void> {
    const [name, tag] = splitTag(reference);
    try {
      const auth = this.#parts.credentials.of(reference);
      const answer = await engine.stream("POST", "/images/create", {
        query: { fromImage: name, ...(tag !== undefined && { tag }) },
        ...(auth !== undefined && { headers: { "X-Registry-Auth": auth } }),
        withinMs: 0,
        signal,
      });
      const problem = await readProgress(answer, output);
      if (problem) throw this.#unavailable(reference, problem);
    } catch (error) {
      if (isRefusal(error, 400, 401, 403, 404, 500)) throw this.#unavailable(reference, error.message);
      throw error;
    }
  }

  #unavailable(reference: string, why: string): PlatformError {
    const remedy = this.#parts.credentials.remedy(reference, why);
    if (remedy === undefined) return unavailable(reference, why);
    return new PlatformError(
      "ImageUnavailable",
      `image ${reference} cannot be had: ${remedy} (${firstLine(why)})`,
    );
  }

  /** `problem` has the build's last lines behind its first one. */
  #buildFailed(problem: string, options?: ErrorOptions): PlatformError {
    const base = failingBase(problem);
    const remedy = base === undefined ? undefined : this.#parts.credentials.remedy(base, problem);
    const told = remedy === undefined ? wrongMachine(problem) : `${base} cannot be had: ${remedy}`;
    const why = told === undefined ? problem : `${told}\n${problem}`;
    return new PlatformError("BuildFailed", `docker build failed: ${why}`, options);
  }

  #withEngine<T>(signal: AbortSignal, use: (engine: Engine) => Promise<T>): Promise<T> {
    return withEngine(this.#parts.findSocket, signal, use);
  }
}

/** Of one image; `containers` are those of this daemon. */
interface ImageHere {
  readonly bytes: number;
  readonly containers: number;
  readonly digests: readonly string[];
}

/**
 * In a step of its own behind the build: labels that were part of it would be as many steps, each with a container, and a time
 * among them would spoil the cache.
 */
async function putLabels(
  engine: Engine,
  tag: string,
  labels: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<void> {
  const pairs = Object.entries(labels).map(([name, value]) => `${JSON.stringify(name)}=${quoted(value)}`);
  const dockerfile = `FROM ${tag}\nLABEL ${pairs.join(" ")}\n`;
  const answer = await engine.stream("POST", "/build", {
    query: { t: tag, rm: "1", forcerm: "1" },
    headers: { "Content-Type": "application/x-tar" },
    upload: Readable.from([tarEntry("Dockerfile", dockerfile), TAR_END]),
    withinMs: 0,
    signal,
  });
  const problem = await readProgress(answer, () => undefined);
  if (problem) throw new PlatformError("BuildFailed", `the image could not be labelled: ${problem}`);
}

/**
 * What a builder's lines tell of where it is: the image that it has come to (` ---> ID` behind each `Step`; behind
 * a FROM it is the base, which is not ours), and the container of the step that runs. Podman's begin with `STEP` and `-->`.
 */
class BuildTrace {
  layer: string | undefined;
  container: string | undefined;
  #isBase = false;

  read(text: string): void {
    const step = /^S(?:tep|TEP) \d+\/\d+ ?: (\w+)/.exec(text)?.[1];
    if (step !== undefined) this.#isBase = step.toUpperCase() === "FROM";
    const made = /^ ?--->? (?:Using cache )?([0-9a-f]{11,64})$/.exec(text)?.[1];
    if (made !== undefined) this.layer = this.#isBase ? undefined : made;
    const running = /^ ---> Running in ([0-9a-f]{12,64})$/.exec(text)?.[1];
    if (running !== undefined) this.container = running;
    // What the step printed last may stand before it, in a colour.
    if (/Removing intermediate container [0-9a-f]{12}/.test(text)) this.container = undefined;
  }
}

/** As a Dockerfile has it, where `$` would be a variable. */
function quoted(value: string): string {
  return `"${value.replace(/[\\"$]/g, "\\$&").replace(/[\r\n]/g, " ")}"`;
}

/** A digest stays with the name; a tag is said apart. */
function splitTag(reference: string): readonly [string, string | undefined] {
  if (reference.includes("@")) return [reference, undefined];
  const colon = reference.lastIndexOf(":");
  return colon > reference.lastIndexOf("/")
    ? [reference.slice(0, colon), reference.slice(colon + 1)]
    : [reference, "latest"];
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0] ?? "";
}

function unavailable(reference: string, why: string): PlatformError {
  return new PlatformError(
    "ImageUnavailable",
    `image ${reference} cannot be had: ${why}; pull or build it on this host's engine, or check its name and docker login`,
  );
}
