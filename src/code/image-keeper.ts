import type { Clock } from "../core/clock.ts";
import type { FunctionRecord, Version } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { Log } from "../core/log.ts";
import { inBackground } from "../core/scope.ts";

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
}

export interface ImageKeeperParts {
  readonly tags: ImageTags;
  readonly functions: {
    list(page: { readonly after: string | undefined; readonly limit: number }): Promise<FunctionRecord[]>;
    listVersions(
      name: FunctionName,
      page: { readonly after: number; readonly limit: number },
    ): Promise<Version[]>;
  };
  /** Called once when it shows that there are images: what a predecessor left running can be removed then. */
  readonly foundImages: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Behind the daemon's start, which is waited for. */
const FIRST_AFTER_MS = 1_000;
const EVERY_MS = 10 * 60_000;
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
  readonly #rounds: AsyncDisposable;
  readonly #closing = new AbortController();
  /** One after another, so that an older state never overwrites a newer one. */
  #turn: Promise<void> = Promise.resolve();
  #hasFound = false;

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
    if (!this.#withImages.has(name) && record?.latest.code.image === undefined) return;
    void this.#inTurn(name, () => this.#reconcile(name, record));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A function that was deleted a moment ago takes its images along; the next daemon may never look for them.
    const patience = AbortSignal.timeout(LAST_WORK_MS_MAX);
    patience.addEventListener("abort", () => this.#closing.abort());
    await this.#rounds[Symbol.asyncDispose]();
    await this.#turn;
    this.#closing.abort();
  }

  #inTurn(what: string, work: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(work).catch((error: unknown) => {
      if (this.#closing.signal.aborted) return;
      this.#parts.log.warn("images could not be kept in step; the next round does", { what, error });
    });
    return this.#turn;
  }

  async #round(): Promise<void> {
    const names: FunctionName[] = [];
    const records: FunctionRecord[] = [];
    for (let after: string | undefined; ; ) {
      const page = await this.#parts.functions.list({ after, limit: PAGE });
      for (const record of page) {
        names.push(record.name);
        const versions = await this.#versionsOf(record);
        if (versions.size > 0 || this.#withImages.has(record.name)) records.push(record);
      }
      after = page.at(-1)?.name;
      if (page.length < PAGE) break;
    }
    if (records.length === 0 && !this.#hasFound) return;
    await this.#found();
    for (const record of records) await this.#reconcile(record.name, record);
    const removed = await this.#parts.tags.collect(names, { signal: this.#closing.signal });
    if (removed > 0) this.#parts.log.info("removed images that no function needs", { count: removed });
  }

  async #reconcile(name: FunctionName, record: FunctionRecord | undefined): Promise<void> {
    const versions = record ? await this.#versionsOf(record) : new Map<string, string>();
    if (versions.size > 0) this.#withImages.add(name);
    await this.#found();
    await this.#parts.tags.reconcile(name, versions, { signal: this.#closing.signal });
    if (versions.size === 0) this.#withImages.delete(name);
  }

  /** By tag: numbers, and `latest` for what still changes. */
  async #versionsOf(record: FunctionRecord): Promise<Map<string, string>> {
    const found = new Map<string, string>();
    const { image } = record.latest.code;
    if (image) found.set("latest", image.id);
    for (let after = 0; ; ) {
      const page = await this.#parts.functions
        .listVersions(record.name, { after, limit: PAGE })
        .catch(() => []);
      for (const { label, code } of page) if (code.image) found.set(label, code.image.id);
      if (page.length < PAGE) return found;
      after = Number(page.at(-1)?.label);
    }
  }

  async #found(): Promise<void> {
    if (this.#hasFound) return;
    this.#hasFound = true;
    await this.#parts.foundImages();
  }
}
