import type { Clock } from "../core/clock.ts";
import { isPlatformError } from "../core/errors.ts";
import {
  type BaseImage,
  basesOf,
  type CodeRef,
  type Entry,
  type FunctionRecord,
  type ImageRef,
  isPinned,
  type Version,
} from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { Log } from "../core/log.ts";
import type { CodeDepot } from "./depot.ts";
import type { ImageEngine, ImageWork } from "./image.ts";
import { buildImage } from "./image-build.ts";

/** What became of one function when its base image was looked at. */
export type Refreshed =
  | {
      readonly function: FunctionName;
      readonly outcome: "current";
      readonly base: string;
      /** Why the registry could not be asked; the engine's own image of that name was compared then. */
      readonly note?: string;
    }
  | {
      readonly function: FunctionName;
      readonly outcome: "renewed";
      readonly base: string;
      readonly version: number;
      readonly isLive: boolean;
    }
  /** Nothing to look at: not built here, or on nothing that could be newer. */
  | { readonly function: FunctionName; readonly outcome: "left"; readonly reason: string }
  | {
      readonly function: FunctionName;
      readonly outcome: "failed";
      readonly base: string;
      readonly reason: string;
    };

export interface ImageRefreshParts {
  readonly images: Pick<ImageEngine, "look" | "pull" | "build" | "find" | "extensionsOf">;
  readonly clientDir: string;
  readonly depot: Pick<CodeDepot, "openTree">;
  readonly functions: {
    get(name: FunctionName): Promise<FunctionRecord>;
    list(page: { readonly after: string | undefined; readonly limit: number }): Promise<FunctionRecord[]>;
    listVersions(
      name: FunctionName,
      page: { readonly after: number; readonly limit: number },
    ): Promise<Version[]>;
  };
  /**
   * Publishes the function with other code as its next version, and gives that. With `isLive` calls go there once an
   * instance of it is up, and an error is thrown if none gets up.
   */
  readonly publish: (
    name: FunctionName,
    made: { readonly code: CodeRef; readonly entry: Entry },
    options: { readonly isLive: boolean; readonly signal: AbortSignal },
  ) => Promise<number>;
  readonly log: Log;
}

export interface RefreshOrder {
  readonly isLive: boolean;
  /** Which functions; undefined is all. */
  readonly mayUse: (name: FunctionName) => boolean;
}

const PAGE = 100;
/** How far back a version is looked for that has the new base already. */
const VERSIONS_LOOKED_AT = 20;

/**
 * Keeps base images patched: pulls the base of what is live, and where that is another than it was built on, builds the
 * same folder again as a new version.
 */
export class ImageRefresh {
  readonly #parts: ImageRefreshParts;
  /** One after another: two would build the same thing twice. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: ImageRefreshParts) {
    this.#parts = parts;
  }

  /** Gives what became of each function as it becomes known. @throws PlatformError `EngineUnavailable`. */
  async *refresh(order: RefreshOrder, work: ImageWork): AsyncGenerator<Refreshed> {
    const before = this.#turn;
    const done = Promise.withResolvers<void>();
    this.#turn = done.promise;
    try {
      await before;
      const pulled = new Map<string, string | undefined>();
      for await (const { name, latest, membership } of this.#records()) {
        work.signal.throwIfAborted();
        const { image } = latest.code;
        const project = membership?.project;
        if (image && order.mayUse(name))
          yield await this.#refreshOne({ name, latest, image, order, pulled, project }, work);
      }
    } finally {
      done.resolve();
    }
  }

  async *#records(): AsyncGenerator<FunctionRecord> {
    for (let after: string | undefined; ; ) {
      const page = await this.#parts.functions.list({ after, limit: PAGE });
      yield* page;
      after = page.at(-1)?.name;
      if (page.length < PAGE) return;
    }
  }

  async #refreshOne(found: Found, work: ImageWork): Promise<Refreshed> {
    const { name, latest, image, order } = found;
    const bases = basesOf(image);
    const moving = bases.filter((each) => !isPinned(each));
    if (moving.length === 0) return { function: name, outcome: "left", reason: reasonToLeave(image, bases) };
    const names = moving.map((each) => each.name).join(", ");
    try {
      const { newer, notes } = await this.#findNewer(moving, found.pulled, work);
      const note = notes.join("; ");
      if (newer.size === 0 || (await this.#isPublished(latest, newer)))
        return { function: name, outcome: "current", base: names, ...(note !== "" && { note }) };
      const base = [...newer.keys()].join(", ");
      if (found.project !== undefined)
        return { function: name, outcome: "left", reason: reasonOfProject(base, found.project) };
      if (image.buildSecrets && image.buildSecrets.length > 0)
        return { function: name, outcome: "left", reason: reasonOfSecrets(base, image.buildSecrets) };
      work.output(`${name}: ${base} is newer than what it was built on; building again`);
      const version = await this.#renew(found, base, work);
      return { function: name, outcome: "renewed", base, version, isLive: order.isLive };
    } catch (error) {
      work.signal.throwIfAborted();
      if (isPlatformError(error, "EngineUnavailable")) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      return { function: name, outcome: "failed", base: names, reason };
    }
  }

  /** By name, the id of each base that is another by now; and why registries could not be asked. */
  async #findNewer(
    bases: readonly BaseImage[],
    pulled: Found["pulled"],
    work: ImageWork,
  ): Promise<{ readonly newer: ReadonlyMap<string, string>; readonly notes: readonly string[] }> {
    const newer = new Map<string, string>();
    const notes: string[] = [];
    for (const { name, id } of bases) {
      const note = await this.#pull(name, pulled, work);
      if (note !== undefined) notes.push(note);
      const now = await this.#parts.images.look(name, work);
      if (now && now.id !== id) newer.set(name, now.id);
    }
    return { newer, notes };
  }

  /** Each base once in a round. Gives why it could not be pulled: it may be of this host's making, or the network away. */
  async #pull(base: string, pulled: Found["pulled"], work: ImageWork): Promise<string | undefined> {
    if (pulled.has(base)) return pulled.get(base);
    let problem: string | undefined;
    try {
      await this.#parts.images.pull(base, work);
    } catch (error) {
      if (!isPlatformError(error, "ImageUnavailable")) throw error;
      problem = error.message;
    }
    pulled.set(base, problem);
    return problem;
  }

  /** Built in an earlier round that did not make it live. */
  async #isPublished({ functionName, code }: Version, newer: ReadonlyMap<string, string>): Promise<boolean> {
    const { nextVersion } = await this.#parts.functions.get(functionName);
    const after = Math.max(0, nextVersion - 1 - VERSIONS_LOOKED_AT);
    const recent = await this.#parts.functions.listVersions(functionName, {
      after,
      limit: VERSIONS_LOOKED_AT,
    });
    return recent.some(({ code: { treeId, image } }) => {
      const ids = new Map(image && basesOf(image).map(({ name, id }) => [name, id]));
      return treeId === code.treeId && [...newer].every(([name, id]) => ids.get(name) === id);
    });
  }

  async #renew({ name, latest, image, order }: Found, base: string, work: ImageWork): Promise<number> {
    const { code, config } = latest;
    const { nextVersion } = await this.#parts.functions.get(name);
    const treeDir = await this.#parts.depot.openTree(code.treeId);
    const made = await buildImage(
      this.#parts,
      {
        ...{ code, treeDir, functionName: name, dockerfile: image.dockerfile, version: nextVersion },
        inputs: { args: image.buildArgs ?? {}, secrets: new Map() },
      },
      { kind: config.entry.kind, handler: undefined, command: undefined, overrides: image.overrides },
      work,
    );
    const { isLive } = order;
    const version = await this.#parts.publish(name, made, { isLive, signal: work.signal });
    this.#parts.log.info("built a function again on a newer base", {
      function: name,
      version,
      isLive,
      base,
    });
    return version;
  }
}

interface Found {
  readonly name: FunctionName;
  readonly latest: Version;
  readonly image: ImageRef;
  readonly order: RefreshOrder;
  /** That it belongs to. */
  readonly project: string | undefined;
  /** Bases of this round, with why they could not be pulled. */
  readonly pulled: Map<string, string | undefined>;
}

function reasonToLeave({ source }: ImageRef, bases: readonly BaseImage[]): string {
  if (source !== "") return `it was not built here but taken as ${source}: deploy it again for a newer one`;
  if (bases.length === 0) return "its Dockerfile builds on nothing that could be newer (scratch)";
  const names = bases.map(({ name }) => name).join(", ");
  return `it stays on ${names}, pinned by digest in its Dockerfile: write another digest there and deploy`;
}

/** Secrets are not kept. */
function reasonOfSecrets(base: string, ids: readonly string[]): string {
  return `${base} is newer than what it was built on, and its build takes secrets that are not kept (${ids.join(", ")}): deploy it again with --build-secret`;
}

/** What a project has goes live as one, with its next release. */
function reasonOfProject(base: string, project: string): string {
  return `${base} is newer than what it was built on; it goes live with project ${project} only: run lambda deploy --rebuild in the project's folder`;
}

/**
 * Refreshes all functions every `everyMs`, at instants that follow from the clock alone, so that restarts neither delay nor
 * repeat it.
 */
export async function runImageRefresh(
  parts: {
    readonly refresh: ImageRefresh;
    readonly everyMs: number;
    readonly isLive: boolean;
    readonly clock: Clock;
    readonly log: Log;
  },
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const { everyMs, clock, log } = parts;
  const nextAfter = (at: number) => (Math.floor(at / everyMs) + 1) * everyMs;
  for (let at = nextAfter(clock.now()); ; at = nextAfter(Math.max(at, clock.now()))) {
    await clock.sleep(Math.max(0, at - clock.now()), { signal }).catch(() => undefined);
    if (signal.aborted) return;
    try {
      const order = { isLive: parts.isLive, mayUse: () => true };
      for await (const refreshed of parts.refresh.refresh(order, { signal, output: () => undefined }))
        if (refreshed.outcome === "failed")
          log.warn("a function could not be built on a newer base", refreshed);
    } catch (error) {
      if (!signal.aborted) log.warn("base images could not be looked at; the next round does", { error });
    }
  }
}
