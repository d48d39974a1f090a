import type { Clock } from "../core/clock.ts";
import { isPlatformError } from "../core/errors.ts";
import type { FunctionRecord, Version } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { Log } from "../core/log.ts";
import { inBackground } from "../core/scope.ts";
import { beyondRetention, unneededVersions } from "./image-retention.ts";

/** What keeping images needs of the engine. */
export interface ImageTags {
  /** Makes the tags of a function those of `versions` (tag → image id); what has lost its last tag goes. */
  reconcile(
    name: FunctionName,
    versions: ReadonlyMap<string, string>,
    options: { readonly signal: AbortSignal },
  ): Promise<void>;
  /** Removes the images of functions that are not named. Gives how many went. */
  collect(names: readonly FunctionName[], options: { readonly signal: AbortSignal }): Promise<number>;
  /** Pushes what the configured registry does not have; nothing happens without one. */
  push(
    name: FunctionName,
    versions: ReadonlyMap<string, string>,
    options: { readonly signal: AbortSignal },
  ): Promise<void>;
  /** Gets an image back that the engine has lost; false if it cannot be had. */
  restore(lost: LostImage, options: { readonly signal: AbortSignal }): Promise<boolean>;
  /** What the images of functions take on the disk. */
  usedBytes(options: { readonly signal: AbortSignal }): Promise<number>;
  /** Removes what failed builds have left. Gives how many there were. */
  dropLeftovers(options: { readonly signal: AbortSignal }): Promise<number>;
}

export interface LostImage {
  readonly name: FunctionName;
  /** Its tag: a number, or `latest`. */
  readonly version: string;
  readonly id: string;
  /** The name it was taken by; empty for one that was built here. */
  readonly source: string;
}

export interface ImageKeeperParts {
  readonly tags: ImageTags;
  readonly functions: {
    list(page: { readonly after: string | undefined; readonly limit: number }): Promise<FunctionRecord[]>;
    listVersions(
      name: FunctionName,
      page: { readonly after: number; readonly limit: number },
    ): Promise<Version[]>;
    removeVersion(name: FunctionName, number: number): Promise<void>;
  };
  /** Called once when it shows that there are images: what a predecessor left running can be removed then. */
  readonly foundImages: () => Promise<void>;
  /** Images of one function that stay besides those that something needs; 0 is all. */
  readonly versionsMax: number;
  /** What images may take on the engine's disk before what nothing needs goes; undefined is no limit. */
  readonly diskBytesMax: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** Behind the daemon's start, which is waited for. */
const FIRST_AFTER_MS = 1_000;
const EVERY_MS = 10 * 60_000;
/** After what failed: an engine that was away or slow is back soon, as a rule. Twice as long each time. */
const AGAIN_AFTER_MS = 15_000;
/** At the end, for changes that have not reached the engine. */
const LAST_WORK_MS_MAX = 5_000;
const PAGE = 100;

/**
 * Keeps the engine's images in step with the registry: one repository per function, one tag per version. Changes are told
 * by `functionChanged`; what was missed, because the engine was away or the daemon killed, is made good in rounds.
 */
export class ImageKeeper implements AsyncDisposable {
  readonly #parts: ImageKeeperParts;
  readonly #withImages = new Set<FunctionName>();
  /** Changes that were told and have not reached the engine, by function. */
  readonly #waiting = new Map<FunctionName, number>();
  readonly #rounds: AsyncDisposable;
  readonly #closing = new AbortController();
  /** One after another, so that an older state never overwrites a newer one. */
  #turn: Promise<void> = Promise.resolve();
  #pushing: Promise<void> = Promise.resolve();
  readonly #restoring = new Map<string, Promise<boolean>>();
  #hasFound = false;
  #isGoingToTryAgain = false;
  #againAfterMs = AGAIN_AFTER_MS;

  constructor(parts: ImageKeeperParts) {
    this.#parts = parts;
    this.#rounds = inBackground(async (signal) => {
      for (let waitMs = FIRST_AFTER_MS; !signal.aborted; waitMs = EVERY_MS) {
        await parts.clock.sleep(waitMs, { signal }).catch(() => undefined);
        if (!signal.aborted) await this.#inTurn("all", () => this.#round());
      }
    });
  }

  /** After any change; `undefined` is a function that was deleted. */
  functionChanged(name: FunctionName, record: FunctionRecord | undefined): void {
    // One that was deleted before its turn came will have tags by then.
    const waiting = this.#waiting.get(name) ?? 0;
    if (waiting === 0 && !this.#withImages.has(name) && record?.latest.code.image === undefined) return;
    this.#waiting.set(name, waiting + 1);
    void this.#inTurn(name, async () => {
      const left = (this.#waiting.get(name) ?? 1) - 1;
      if (left === 0) this.#waiting.delete(name);
      else this.#waiting.set(name, left);
      await this.#reconcile(name, record);
      await this.#keepWithinDisk();
    });
  }

  /** Resolves when all that follows from changes so far has been done. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A function that was deleted a moment ago takes its images along; the next daemon may never look for them.
    const patience = AbortSignal.timeout(LAST_WORK_MS_MAX);
    patience.addEventListener("abort", () => this.#closing.abort());
    await this.#rounds[Symbol.asyncDispose]();
    await this.#turn;
    this.#closing.abort();
    await this.#pushing;
  }

  #inTurn(what: string, work: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(work).catch((error: unknown) => {
      if (this.#closing.signal.aborted) return;
      this.#parts.log.warn("images could not be kept in step; it is tried again", { what, error });
      void this.#tryAgain();
    });
    return this.#turn;
  }

  /** Never rejects. */
  async #tryAgain(): Promise<void> {
    if (this.#isGoingToTryAgain) return;
    this.#isGoingToTryAgain = true;
    const { signal } = this.#closing;
    await this.#parts.clock.sleep(this.#againAfterMs, { signal }).catch(() => undefined);
    this.#againAfterMs = Math.min(this.#againAfterMs * 2, EVERY_MS);
    this.#isGoingToTryAgain = false;
    if (!signal.aborted) await this.#inTurn("all", () => this.#round());
  }

  async #round(): Promise<void> {
    const names: FunctionName[] = [];
    const records: FunctionRecord[] = [];
    for await (const record of this.#allRecords()) {
      names.push(record.name);
      const versions = await this.#versionsOf(record);
      if (versions.size > 0 || this.#withImages.has(record.name)) records.push(record);
    }
    if (records.length === 0 && !this.#hasFound) return;
    await this.#found();
    const { tags, log } = this.#parts;
    for (const record of records) await this.#reconcile(record.name, record);
    const removed = await tags.collect(names, { signal: this.#closing.signal });
    if (removed > 0) log.info("removed images that no function needs", { count: removed });
    await this.#keepWithinDisk();
    this.#againAfterMs = AGAIN_AFTER_MS;
  }

  async #dropOldVersions(record: FunctionRecord): Promise<void> {
    const old = beyondRetention(record, await this.#numbered(record), this.#parts.versionsMax);
    for (const version of old) await this.#removeVersion(version, "there are newer ones enough");
  }

  /** First what failed builds have left, then versions that nothing needs, the oldest first whosever they are. */
  async #keepWithinDisk(): Promise<void> {
    const { tags, log, diskBytesMax } = this.#parts;
    if (diskBytesMax === undefined) return;
    const options = { signal: this.#closing.signal };
    if ((await tags.usedBytes(options)) <= diskBytesMax) return;
    await tags.dropLeftovers(options);
    const candidates: { readonly record: FunctionRecord; readonly version: Version }[] = [];
    for await (const record of this.#allRecords())
      for (const version of unneededVersions(record, await this.#numbered(record)))
        candidates.push({ record, version });
    candidates.sort((one, other) => one.version.modifiedAt - other.version.modifiedAt);
    for (const { record, version } of candidates) {
      if ((await tags.usedBytes(options)) <= diskBytesMax) return;
      await this.#removeVersion(version, "images take more than image-disk");
      await this.#reconcile(record.name, record);
    }
    const bytes = await tags.usedBytes(options);
    if (bytes > diskBytesMax)
      log.warn("images take more than image-disk, and all of them are needed", { bytes, diskBytesMax });
  }

  async #removeVersion({ functionName, label }: Version, reason: string): Promise<void> {
    const { functions, log } = this.#parts;
    try {
      await functions.removeVersion(functionName, Number(label));
      log.info("removed a version of an image", { function: functionName, version: label, reason });
    } catch (error) {
      // Somebody has begun to need it in this moment.
      if (!isPlatformError(error, "ResourceConflict") && !isPlatformError(error, "FunctionNotFound"))
        throw error;
    }
  }

  /** Not in the way of anything else: a registry may be slow or away. */
  #push(name: FunctionName, versions: ReadonlyMap<string, string>): void {
    const { tags, log } = this.#parts;
    const { signal } = this.#closing;
    this.#pushing = this.#pushing
      .then(() => (signal.aborted ? undefined : tags.push(name, versions, { signal })))
      .catch((error: unknown) => {
        if (!signal.aborted)
          log.warn("an image could not be pushed; the next round tries again", { name, error });
      });
  }

  /**
   * Gets an image back that the engine has lost, from a registry that has it. Whoever asks for the same one meanwhile gets
   * the same answer.
   */
  restore(imageId: string, { signal }: { readonly signal: AbortSignal }): Promise<boolean> {
    const under = this.#restoring.get(imageId);
    if (under !== undefined) return under;
    const restoring = this.#restore(imageId, signal).finally(() => this.#restoring.delete(imageId));
    this.#restoring.set(imageId, restoring);
    return restoring;
  }

  async #restore(imageId: string, signal: AbortSignal): Promise<boolean> {
    for await (const record of this.#allRecords()) {
      const { image } = record.latest.code;
      const versions = [...(await this.#numbered(record)), record.latest];
      const found = versions.find(({ code }) => code.image?.id === imageId);
      if (!found) continue;
      const version = found.label === "$LATEST" ? "latest" : found.label;
      const source = found.code.image?.source ?? image?.source ?? "";
      return await this.#parts.tags.restore({ name: record.name, version, id: imageId, source }, { signal });
    }
    return false;
  }

  async *#allRecords(): AsyncGenerator<FunctionRecord> {
    for (let after: string | undefined; ; ) {
      const page = await this.#parts.functions.list({ after, limit: PAGE });
      yield* page;
      after = page.at(-1)?.name;
      if (page.length < PAGE) return;
    }
  }

  async #numbered({ name }: FunctionRecord): Promise<Version[]> {
    const found: Version[] = [];
    for (let after = 0; ; ) {
      const page = await this.#parts.functions.listVersions(name, { after, limit: PAGE }).catch(() => []);
      found.push(...page);
      if (page.length < PAGE) return found;
      after = Number(page.at(-1)?.label);
    }
  }

  async #reconcile(name: FunctionName, record: FunctionRecord | undefined): Promise<void> {
    if (record) await this.#dropOldVersions(record);
    const versions = record ? await this.#versionsOf(record) : new Map<string, string>();
    if (versions.size > 0) this.#withImages.add(name);
    await this.#found();
    await this.#parts.tags.reconcile(name, versions, { signal: this.#closing.signal });
    if (versions.size === 0) this.#withImages.delete(name);
    else this.#push(name, versions);
  }

  /** By tag: numbers, and `latest` for what still changes. */
  async #versionsOf(record: FunctionRecord): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    const { image } = record.latest.code;
    if (image) found.set("latest", image.id);
    for (const { label, code } of await this.#numbered(record))
      if (code.image) found.set(label, code.image.id);
    return found;
  }

  async #found(): Promise<void> {
    if (this.#hasFound) return;
    this.#hasFound = true;
    await this.#parts.foundImages();
  }
}
