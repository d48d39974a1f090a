import { setTimeout as sleepFor } from "node:timers/promises";
import type { ImageFacts } from "../../core/image.ts";
import { type Engine, listOf, objectOf, textsOf } from "./engine.ts";
import { isRefusal } from "./engine-problem.ts";

/** For calls that look at all images. */
export const LIST_MS_MAX = 30_000;
const REMOVAL_TRIES_MAX = 6;
const REMOVAL_PAUSE_MS = 500;

/** A name that an image has on the engine. */
export interface Tag {
  readonly repository: string;
  readonly version: string;
  readonly id: string;
}

export async function listTags(engine: Engine, reference: string): Promise<Tag[]> {
  const found = await engine.json("GET", "/images/json", {
    query: { filters: JSON.stringify({ reference: [reference] }) },
    withinMs: LIST_MS_MAX,
  });
  return listOf(found).flatMap(({ Id, RepoTags }) =>
    textsOf(RepoTags).map((text) => {
      const colon = text.lastIndexOf(":");
      const repository = plainRepository(text.slice(0, colon));
      return { repository, version: text.slice(colon + 1), id: String(Id) };
    }),
  );
}

/** Podman writes out where names without a registry belong. */
function plainRepository(name: string): string {
  return name.replace(/^(?:docker\.io\/(?:library\/)?|localhost\/)/, "");
}

/** Removes the name, and the image with its last one. A container that is about to go may still use it: that is waited for, but not for ever; the next round gets the rest. */
export async function removeTag(engine: Engine, tag: string): Promise<void> {
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

/** What the engine knows of an image; undefined if it has none of that name. */
export async function inspect(engine: Engine, reference: string): Promise<ImageFacts | undefined> {
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

/** Tags of builds whose version may still be published, with when they began. */
export class BuildTags {
  readonly #begun = new Map<string, number>();
  /** Image ids of those that are built. */
  readonly #made = new Map<string, string>();

  add(tag: string): void {
    this.#begun.set(tag, performance.now());
  }

  made(tag: string, id: string): void {
    this.#made.set(tag, id);
  }

  /** Those images have versions now. */
  published(ids: ReadonlySet<string>): void {
    for (const [tag, id] of this.#made) if (ids.has(id)) this.remove(tag);
  }

  /** Containers of steps that broke off because the engine went away; they have no label to know them by. */
  readonly orphans = new Set<string>();

  /** False if it was none. */
  remove(tag: string): boolean {
    this.#made.delete(tag);
    return this.#begun.delete(tag);
  }

  /** Whether it must stay; one that nobody has published for long need not. */
  has({ repository, version }: Tag): boolean {
    const begun = this.#begun.get(`${repository}:${version}`);
    return begun !== undefined && performance.now() - begun < KEPT_MS;
  }
}

const KEPT_MS = 30 * 60_000;

/**
 * Names for what builds that failed have left. The next one goes on from there; without a name nobody would know them from
 * what others have on the engine.
 */
const LEFTOVER = /^failed-([0-9a-z]+)$/;

export function leftoverTag(now: number): string {
  return `failed-${now.toString(36)}`;
}

/** When the build failed (ms since epoch); undefined for another tag. */
export function leftoverAt({ version }: Tag): number | undefined {
  const text = LEFTOVER.exec(version)?.[1];
  return text === undefined ? undefined : Number.parseInt(text, 36);
}
