import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { setTimeout as sleepFor } from "node:timers/promises";
import { isPlatformError, PlatformError } from "../../core/errors.ts";
import type { FunctionName } from "../../core/ids.ts";
import { type ImageFacts, imageNamespace, imageRepository } from "../../core/image.ts";
import type { Log } from "../../core/log.ts";
import { TAR_END, tarEntry } from "../../core/tar-entry.ts";
import { Engine, listOf, objectOf, textsOf } from "./engine.ts";
import type { EngineEnvironment } from "./engine-address.ts";
import { isRefusal } from "./engine-problem.ts";
import { LABEL, labelFilter } from "./labels.ts";
import { readProgress } from "./progress.ts";
import { registryAuth } from "./registry-auth.ts";

export interface DockerImagesParts {
  readonly findSocket: () => string;
  readonly instanceName: string;
  /** Says where registry credentials are. */
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
}

const BUILD_MS_MAX = 15 * 60_000;
const BUILD_MEMORY_BYTES = 4 * 1024 * 1024 * 1024;
const CPU_PERIOD_US = 100_000;
/** Two whole CPUs: builds share the host with what serves callers. */
const BUILD_CPU_QUOTA_US = 2 * CPU_PERIOD_US;
/** Tags of builds whose version was never published go after so long. */
const BUILDING_KEPT_MS = 30 * 60_000;
const LIST_MS_MAX = 30_000;
const REMOVAL_TRIES_MAX = 6;
const REMOVAL_PAUSE_MS = 500;

/** Images on the engine of this host: found, built, tagged per version, and removed when nothing needs them. */
export class DockerImages {
  readonly #parts: DockerImagesParts;
  /** Tags of builds whose version may still be published, with when they began. */
  readonly #building = new Map<string, number>();

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
    const limit = AbortSignal.timeout(BUILD_MS_MAX);
    const both = AbortSignal.any([signal, limit]);
    const repository = imageRepository(this.#parts.instanceName, build.functionName);
    const tag = `${repository}:building-${randomBytes(6).toString("hex")}`;
    this.#building.set(tag, performance.now());
    try {
      return await this.#withEngine(both, async (engine) => {
        const limits = {
          memory: String(BUILD_MEMORY_BYTES),
          memswap: String(BUILD_MEMORY_BYTES),
          cpuperiod: String(CPU_PERIOD_US),
          cpuquota: String(BUILD_CPU_QUOTA_US),
        };
        const answer = await engine.stream("POST", "/build", {
          query: { dockerfile: build.dockerfile, t: tag, rm: "1", forcerm: "1", ...limits },
          headers: { "Content-Type": "application/x-tar", ...this.#allAuth() },
          upload: build.context,
          withinMs: 0,
          signal: both,
        });
        const problem = await readProgress(answer, output);
        if (problem) throw new PlatformError("BuildFailed", `docker build failed: ${problem}`);
        const labels = {
          ...build.labels,
          [LABEL.instance]: this.#parts.instanceName,
          [LABEL.function]: build.functionName,
        };
        await putLabels(engine, tag, labels, both);
        const built = await inspect(engine, tag);
        if (!built) throw new PlatformError("BuildFailed", "docker build ended without an image");
        return built;
      });
    } catch (error) {
      this.#building.delete(tag);
      signal.throwIfAborted();
      if (limit.aborted)
        throw new PlatformError(
          "BuildFailed",
          `docker build was stopped after ${BUILD_MS_MAX / 60_000} minutes`,
        );
      if (isRefusal(error, 400, 404, 500))
        throw new PlatformError("BuildFailed", `docker build failed: ${error.message}`, { cause: error });
      throw error;
    }
  }

  /** Removes the tags that a build of that image was given, and the image with them unless a version has it. */
  async abandon(imageId: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    await this.#withEngine(signal, async (engine) => {
      const all = await listTags(engine, `${imageNamespace(this.#parts.instanceName)}/*`);
      for (const { repository, version, id } of all) {
        const tag = `${repository}:${version}`;
        if (id === imageId && this.#building.delete(tag)) await removeTag(engine, tag);
      }
    });
  }

  /**
   * Makes the tags of a function's repository those of `versions`: what is missing is tagged, what is no longer a version
   * loses its tag, and its image with it if that was the last.
   */
  async reconcile(
    name: FunctionName,
    versions: ReadonlyMap<string, string>,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<void> {
    const repository = imageRepository(this.#parts.instanceName, name);
    await this.#withEngine(signal, async (engine) => {
      const present = (await listTags(engine, repository)).filter((tag) => tag.repository === repository);
      for (const [version, id] of versions) {
        if (present.some((tag) => tag.version === version && tag.id === id)) continue;
        try {
          await engine.json("POST", `/images/${id}/tag`, { query: { repo: repository, tag: version } });
        } catch (error) {
          if (!isRefusal(error, 404)) throw error;
          this.#parts.log.warn("the image of a version is gone from the engine", { name, version, id });
        }
      }
      const published = new Set(versions.values());
      for (const { version, id } of present)
        if (published.has(id)) this.#building.delete(`${repository}:${version}`);
      const gone = present.filter((tag) => !versions.has(tag.version) && !this.#isBeingBuilt(tag));
      for (const { repository: place, version } of gone) await removeTag(engine, `${place}:${version}`);
    });
  }

  /** Removes images of functions that are not among `names`. Gives how many tags went. */
  async collect(
    names: readonly FunctionName[],
    { signal }: { readonly signal: AbortSignal },
  ): Promise<number> {
    const kept = new Set(names.map((name) => imageRepository(this.#parts.instanceName, name)));
    return await this.#withEngine(signal, async (engine) => {
      const all = await listTags(engine, `${imageNamespace(this.#parts.instanceName)}/*`);
      const gone = all.filter((tag) => !kept.has(tag.repository) && !this.#isBeingBuilt(tag));
      for (const { repository, version } of gone) await removeTag(engine, `${repository}:${version}`);
      return gone.length;
    });
  }

  #isBeingBuilt({ repository, version }: Tag): boolean {
    const begun = this.#building.get(`${repository}:${version}`);
    return begun !== undefined && performance.now() - begun < BUILDING_KEPT_MS;
  }

  async #pull(engine: Engine, reference: string, { signal, output }: ImageWork): Promise<void> {
    const [name, tag] = splitTag(reference);
    try {
      const auth = registryAuth(reference, this.#parts.environment);
      const answer = await engine.stream("POST", "/images/create", {
        query: { fromImage: name, ...(tag !== undefined && { tag }) },
        ...(auth !== undefined && { headers: { "X-Registry-Auth": auth } }),
        withinMs: 0,
        signal,
      });
      const problem = await readProgress(answer, output);
      if (problem) throw unavailable(reference, problem);
    } catch (error) {
      if (isRefusal(error, 400, 404, 500)) throw unavailable(reference, error.message);
      throw error;
    }
  }

  #allAuth(): Readonly<Record<string, string>> {
    const auth = registryAuth(undefined, this.#parts.environment);
    return auth === undefined ? {} : { "X-Registry-Config": auth };
  }

  async #withEngine<T>(signal: AbortSignal, use: (engine: Engine) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    using engine = new Engine(this.#parts.findSocket());
    await engine.negotiate();
    try {
      return await use(engine);
    } catch (error) {
      signal.throwIfAborted();
      if (isPlatformError(error) || isRefusal(error, 400, 404, 409, 500)) throw error;
      throw new PlatformError("EngineUnavailable", `the container engine failed: ${String(error)}`, {
        cause: error,
      });
    }
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

/** As a Dockerfile has it, where `$` would be a variable. */
function quoted(value: string): string {
  return `"${value.replace(/[\\"$]/g, "\\$&").replace(/[\r\n]/g, " ")}"`;
}

interface Tag {
  readonly repository: string;
  readonly version: string;
  readonly id: string;
}

async function listTags(engine: Engine, reference: string): Promise<Tag[]> {
  const found = await engine.json("GET", "/images/json", {
    query: { filters: JSON.stringify({ reference: [reference] }) },
    withinMs: LIST_MS_MAX,
  });
  return listOf(found).flatMap(({ Id, RepoTags }) =>
    textsOf(RepoTags).map((text) => {
      const colon = text.lastIndexOf(":");
      return { repository: text.slice(0, colon), version: text.slice(colon + 1), id: String(Id) };
    }),
  );
}

/** A container that is about to go may still use it: that is waited for, but not for ever; the next round gets the rest. */
async function removeTag(engine: Engine, tag: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await engine.json("DELETE", `/images/${tag}`, { withinMs: LIST_MS_MAX });
      return;
    } catch (error) {
      if (isRefusal(error, 404)) return;
      if (!isRefusal(error, 409) || tries === REMOVAL_TRIES_MAX) throw error;
      await sleepFor(REMOVAL_PAUSE_MS);
    }
  }
}

async function inspect(engine: Engine, reference: string): Promise<ImageFacts | undefined> {
  try {
    return factsOf(objectOf(await engine.json("GET", `/images/${reference}/json`)));
  } catch (error) {
    if (isRefusal(error, 404)) return undefined;
    throw error;
  }
}

function factsOf(image: Readonly<Record<string, unknown>>): ImageFacts {
  const config = objectOf(image.Config);
  const ports = Object.keys(objectOf(config.ExposedPorts))
    .map((port) => Number(/^(\d+)(?:\/tcp)?$/.exec(port)?.[1]))
    .filter((port) => port >= 1 && port <= 65_535)
    .sort((one, other) => one - other);
  const createdAt = Date.parse(String(image.Created ?? ""));
  return {
    id: String(image.Id),
    bytes: typeof image.Size === "number" ? image.Size : 0,
    architecture: String(image.Architecture ?? ""),
    entryPoint: textsOf(config.Entrypoint),
    command: textsOf(config.Cmd),
    workingDir: String(config.WorkingDir ?? ""),
    user: String(config.User ?? ""),
    ports,
    variables: textsOf(config.Env).map((entry) => entry.split("=")[0] ?? ""),
    // What says nothing is given the year 1 by the engine.
    createdAt: createdAt > 0 ? createdAt : 0,
    digests: textsOf(image.RepoDigests),
  };
}

/** A digest stays with the name; a tag is said apart. */
function splitTag(reference: string): readonly [string, string | undefined] {
  if (reference.includes("@")) return [reference, undefined];
  const colon = reference.lastIndexOf(":");
  return colon > reference.lastIndexOf("/")
    ? [reference.slice(0, colon), reference.slice(colon + 1)]
    : [reference, "latest"];
}

function unavailable(reference: string, why: string): PlatformError {
  return new PlatformError(
    "ImageUnavailable",
    `image ${reference} cannot be had: ${why}; pull or build it on this host's engine, or check its name and docker login`,
  );
}
