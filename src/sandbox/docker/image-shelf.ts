import { PlatformError } from "../../core/errors.ts";
import type { FunctionName } from "../../core/ids.ts";
import { imageNamespace, imageRepository } from "../../core/image.ts";
import type { RegistrySettings } from "../../core/image-settings.ts";
import type { Log } from "../../core/log.ts";
import { type Engine, listOf } from "./engine.ts";
import { isRefusal } from "./engine-problem.ts";
import { withEngine } from "./engine-session.ts";
import {
  type BuildTags,
  inspect,
  LIST_MS_MAX,
  leftoverAt,
  listTags,
  removeTag,
  type Tag,
} from "./image-tags.ts";
import { readProgress } from "./progress.ts";
import { encodeHeader, type RegistryCredentials } from "./registry-auth.ts";

export interface ImageShelfParts {
  readonly findSocket: () => string;
  readonly instanceName: string;
  readonly credentials: RegistryCredentials;
  readonly building: BuildTags;
  /** Where images are pushed to, and pulled from when the engine has lost them; undefined keeps them here alone. */
  readonly registry: RegistrySettings | undefined;
  readonly log: Log;
}

/** What a failed build has left is of use for the next one, which comes soon or never. */
const LEFTOVER_KEPT_MS = 24 * 3_600_000;
/** A gibibyte over a slow line. */
const PUSH_MS_MAX = 30 * 60_000;

/**
 * What the images of versions are named by on the engine: one repository per function, one tag per version, and the same
 * in the configured registry. An image whose last name goes, goes.
 */
export class ImageShelf {
  readonly #parts: ImageShelfParts;
  /** Sizes of layers by image, which never change. */
  readonly #layers = new Map<string, ReadonlyMap<string, number>>();

  constructor(parts: ImageShelfParts) {
    this.#parts = parts;
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
    const { building, log } = this.#parts;
    // Whatever becomes of the calls below: a function may be deleted before the engine has done any of this.
    building.published(new Set(versions.values()));
    await this.#withEngine(signal, async (engine) => {
      const present = await tagsOf(engine, repository);
      for (const [version, id] of versions) {
        if (present.some((tag) => tag.version === version && tag.id === id)) continue;
        try {
          await tagImage(engine, id, repository, version);
        } catch (error) {
          if (!isRefusal(error, 404)) throw error;
          log.warn("the image of a version is gone from the engine", { name, version, id });
        }
      }
      const gone = present.filter(
        (tag) => !versions.has(tag.version) && !building.has(tag) && !isFreshLeftover(tag),
      );
      for (const { version } of gone) await removeTag(engine, `${repository}:${version}`);
      const pushed = this.#registryName(name);
      if (pushed === undefined) return;
      for (const { version } of await tagsOf(engine, pushed))
        if (!versions.has(version)) await removeTag(engine, `${pushed}:${version}`);
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
      const gone = all.filter(
        (tag) => !kept.has(tag.repository) && !this.#parts.building.has(tag) && !isFreshLeftover(tag),
      );
      for (const { repository, version } of gone) await removeTag(engine, `${repository}:${version}`);
      return gone.length;
    });
  }

  /**
   * Pushes the versions that the configured registry does not have from here; nothing happens without one. Whether it has
   * them is what the engine remembers of earlier pushes.
   *
   * @throws PlatformError `ImageUnavailable` with what the registry said.
   */
  async push(
    name: FunctionName,
    versions: ReadonlyMap<string, string>,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<void> {
    const repository = this.#registryName(name);
    if (repository === undefined) return;
    await this.#withEngine(signal, async (engine) => {
      const present = await tagsOf(engine, repository);
      for (const [version, id] of versions) {
        // It is a number somewhere, or not yet one.
        if (version === "latest") continue;
        if (present.some((tag) => tag.version === version && tag.id === id)) continue;
        await this.#pushOne(engine, { repository, version, id }, signal);
        this.#parts.log.info("pushed an image", { function: name, version, repository });
      }
    });
  }

  /**
   * Gets an image back that the engine has lost: from the configured registry, or from where it was taken. What comes under
   * that name and is another image is not used. False if it cannot be had.
   */
  async restore(
    lost: {
      readonly name: FunctionName;
      readonly version: string;
      readonly id: string;
      readonly source: string;
    },
    { signal }: { readonly signal: AbortSignal },
  ): Promise<boolean> {
    const { name, version, id, source } = lost;
    const registryName = this.#registryName(name);
    const places = [
      ...(registryName === undefined ? [] : [`${registryName}:${version}`]),
      ...(source === "" || source.startsWith("sha256:") ? [] : [source]),
    ];
    return await this.#withEngine(signal, async (engine) => {
      for (const place of places) {
        const problem = await this.#pullQuietly(engine, place, signal);
        if (problem === undefined && (await inspect(engine, place))?.id === id) {
          await tagImage(engine, id, imageRepository(this.#parts.instanceName, name), version);
          this.#parts.log.info("pulled an image that the engine had lost", {
            function: name,
            version,
            place,
          });
          return true;
        }
        const why = problem ?? "it is another image by now";
        this.#parts.log.warn("an image that the engine has lost cannot be had there", { place, why });
      }
      return false;
    });
  }

  /** What the images of functions take on the engine's disk, in bytes; layers that several share count once. */
  async usedBytes({ signal }: { readonly signal: AbortSignal }): Promise<number> {
    return await this.#withEngine(signal, async (engine) => {
      const ids = new Set(
        (await listTags(engine, `${imageNamespace(this.#parts.instanceName)}/*`)).map(({ id }) => id),
      );
      for (const id of this.#layers.keys()) if (!ids.has(id)) this.#layers.delete(id);
      const all = new Map<string, number>();
      for (const id of ids) {
        const layers = this.#layers.get(id) ?? (await layersOf(engine, id));
        this.#layers.set(id, layers);
        for (const [layer, bytes] of layers) all.set(layer, bytes);
      }
      return [...all.values()].reduce((sum, bytes) => sum + bytes, 0);
    });
  }

  /** Removes what failed builds have left, however fresh. Gives how many there were. */
  async dropLeftovers({ signal }: { readonly signal: AbortSignal }): Promise<number> {
    return await this.#withEngine(signal, async (engine) => {
      const all = await listTags(engine, `${imageNamespace(this.#parts.instanceName)}/*`);
      const leftovers = all.filter((tag) => leftoverAt(tag) !== undefined);
      for (const { repository, version } of leftovers) await removeTag(engine, `${repository}:${version}`);
      return leftovers.length;
    });
  }

  #registryName(name: FunctionName): string | undefined {
    const { registry, instanceName } = this.#parts;
    if (registry === undefined) return undefined;
    const own = imageRepository(instanceName, name);
    return `${registry.place}/${own.slice(own.indexOf("/") + 1)}`;
  }

  async #pushOne(engine: Engine, { repository, version, id }: Tag, signal: AbortSignal): Promise<void> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(PUSH_MS_MAX)]);
    await tagImage(engine, id, repository, version);
    try {
      // The engine wants the header in any case.
      const auth = this.#parts.credentials.of(repository) ?? NO_CREDENTIALS;
      const answer = await engine.stream("POST", `/images/${repository}/push`, {
        query: { tag: version },
        headers: { "X-Registry-Auth": auth },
        withinMs: 0,
        signal: limit,
      });
      const problem = await readProgress(answer, () => undefined);
      if (problem) throw this.#pushFailed(repository, version, problem);
    } catch (error) {
      // The tag says that it was pushed.
      await removeTag(engine, `${repository}:${version}`).catch(() => undefined);
      throw isRefusal(error, 400, 404, 500) ? this.#pushFailed(repository, version, error.message) : error;
    }
  }

  #pushFailed(repository: string, version: string, why: string): PlatformError {
    const told = this.#parts.credentials.remedy(repository, why) ?? why;
    return new PlatformError(
      "ImageUnavailable",
      `image ${repository}:${version} could not be pushed: ${told}`,
    );
  }

  async #pullQuietly(engine: Engine, place: string, signal: AbortSignal): Promise<string | undefined> {
    const colon = place.lastIndexOf(":");
    const hasTag = colon > place.lastIndexOf("/") && !place.includes("@");
    const [image, tag] = hasTag ? [place.slice(0, colon), place.slice(colon + 1)] : [place, ""];
    const auth = this.#parts.credentials.of(place);
    try {
      const answer = await engine.stream("POST", "/images/create", {
        query: { fromImage: image, ...(tag !== "" && { tag }) },
        ...(auth !== undefined && { headers: { "X-Registry-Auth": auth } }),
        withinMs: 0,
        signal,
      });
      return await readProgress(answer, () => undefined);
    } catch (error) {
      if (isRefusal(error, 400, 404, 500)) return error.message;
      throw error;
    }
  }

  #withEngine<T>(signal: AbortSignal, use: (engine: Engine) => Promise<T>): Promise<T> {
    return withEngine(this.#parts.findSocket, signal, use);
  }
}

const NO_CREDENTIALS = encodeHeader({});

function isFreshLeftover(tag: Tag): boolean {
  const at = leftoverAt(tag);
  return at !== undefined && Date.now() - at < LEFTOVER_KEPT_MS;
}

async function tagsOf(engine: Engine, repository: string): Promise<Tag[]> {
  return (await listTags(engine, repository)).filter((tag) => tag.repository === repository);
}

async function tagImage(engine: Engine, id: string, repository: string, tag: string): Promise<void> {
  await engine.json("POST", `/images/${id}/tag`, { query: { repo: repository, tag } });
}

/** The steps that an image was made in, told apart by when and how each was made: equal ones are one layer. */
async function layersOf(engine: Engine, id: string): Promise<Map<string, number>> {
  const steps = listOf(await engine.json("GET", `/images/${id}/history`, { withinMs: LIST_MS_MAX }));
  return new Map(
    steps.map(({ Created, CreatedBy, Size }) => [
      `${String(Created)} ${String(CreatedBy)} ${String(Size)}`,
      typeof Size === "number" ? Size : 0,
    ]),
  );
}
