import { createHash, randomBytes } from "node:crypto";
import { constants, mkdirSync, readdirSync, renameSync } from "node:fs";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../core/clock.ts";
import { isPlatformError, PlatformError } from "../core/errors.ts";
import type { CodeRef } from "../core/function.ts";
import { ARCHIVE_BYTES_MAX } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import { inParallel } from "./in-parallel.ts";
import type { Unpacked } from "./intake.ts";
import { mergeManifests, writeMerged } from "./merge.ts";
import { asStorageError, hasCode } from "./storage-error.ts";
import {
  exists,
  findChange,
  manifestText,
  parseManifest,
  readManifest,
  syncFolder,
  treeIdOf,
} from "./tree.ts";

/** Code trees on this host: content-addressed, unpacked once, verified, read-only. */
export interface CodeDepot {
  /**
   * Takes in an archive that was uploaded to `file` (a zip, a tar, a gzipped tar or a single file; told apart by
   * content, `name` helps with a single file). Verifies it, unpacks it, and keeps both. What is there already is reused.
   *
   * @throws PlatformError `InvalidArchive` with entry and rule, `PayloadTooLarge`, `StorageFull`.
   */
  takeIn(
    upload: { readonly file: string; readonly name: string | undefined },
    options: { readonly signal: AbortSignal },
  ): Promise<CodeRef>;
  /** Takes in a folder on this host that a build has produced, with the archive it came from. Moves or copies it. */
  takeInFolder(
    folder: string,
    archive: Pick<CodeRef, "archiveSha256" | "archiveBytes">,
    options: { readonly signal: AbortSignal },
  ): Promise<CodeRef>;
  /**
   * Makes one tree of several, in order: of two files with one path the later is there. One tree is itself.
   *
   * @throws PlatformError `StoreUnavailable` if one of them is missing or was changed, `StorageFull`.
   */
  merge(
    treeIds: readonly [string, ...string[]],
    options: { readonly signal: AbortSignal },
  ): Promise<{ readonly treeId: string; readonly treeBytes: number }>;
  /**
   * The folder with the tree. Its content was verified when it was unpacked and once again since the daemon started.
   *
   * @throws PlatformError `StoreUnavailable` if it is missing or was changed.
   */
  openTree(treeId: string): Promise<string>;
  /** The archive as it was uploaded. */
  findArchive(archiveSha256: string): Promise<string | undefined>;
  /** Removes what is not named; never what is being taken in or was opened in the last hour. */
  collect(inUse: {
    readonly treeIds: ReadonlySet<string>;
    readonly archives: ReadonlySet<string>;
  }): Promise<void>;
}

interface DepotParts {
  /** Folder of the depot; made if it is not there. */
  readonly dir: string;
  readonly log: Log;
  readonly clock: Clock;
}

const KEPT_AFTER_USE_MS = 60 * 60 * 1_000;
const REMOVALS_AT_ONCE = 4;
const TREE_ID = /^[0-9a-f]{64}$/;
const ARCHIVE_ID = /^[A-Za-z0-9+/]{43}=$/;

/**
 * Opens the depot in a folder that no other process uses:
 *
 *   trees/ID/         the files of a tree, with ID.json beside it (tree.ts)
 *   archives/HEX.bin  an archive as it was uploaded, by its SHA-256
 *   staging/          what is being made; whatever is found there at the start was left by a crash and is removed
 *
 * Everything is made in staging, synced, and then renamed into place: a tree is there as a whole or not at all.
 */
export async function openDepot(parts: DepotParts): Promise<CodeDepot> {
  const places = {
    trees: join(parts.dir, "trees"),
    archives: join(parts.dir, "archives"),
    staging: join(parts.dir, "staging"),
  };
  // Nothing else runs at the start, which each turn of the loop would delay.
  for (const place of Object.values(places)) mkdirSync(place, { recursive: true, mode: 0o700 });
  const leftOver = readdirSync(places.staging);
  // In the background, for a daemon that restarts must serve at once; new work goes to folders with new names.
  void removeAll(leftOver.map((name) => join(places.staging, name))).catch((error: unknown) =>
    parts.log.warn("cannot remove what an earlier run left in the code depot", { error }),
  );
  return new DiskDepot(parts, places);
}

interface Places {
  readonly trees: string;
  readonly archives: string;
  readonly staging: string;
}

class DiskDepot implements CodeDepot {
  readonly #parts: DepotParts;
  readonly #places: Places;
  /** Folders of the trees whose content has been read and compared since the daemon started. */
  readonly #verified = new Map<string, Promise<string>>();
  /** When each tree (by id) and archive (by path) was last asked for. */
  readonly #usedAt = new Map<string, number>();

  constructor(parts: DepotParts, places: Places) {
    this.#parts = parts;
    this.#places = places;
  }

  async takeIn(
    upload: { readonly file: string; readonly name: string | undefined },
    { signal }: { readonly signal: AbortSignal },
  ): Promise<CodeRef> {
    return await this.#inStaging(async (scratch) => {
      const copy = join(scratch, "archive");
      const { bytes: archiveBytes, digest } = await copyAndHash(upload.file, copy, signal);
      const staged = join(scratch, "tree");
      const { unpackArchive } = await import("./intake.ts");
      const unpacked = await unpackArchive({ file: copy, name: upload.name, scratch }, staged, { signal });
      signal.throwIfAborted();
      const treeId = await this.#keepTree(scratch, staged, unpacked);
      const archive = this.#archivePath(digest.toString("hex"));
      this.#touch(archive);
      await rename(copy, archive);
      await syncFolder(this.#places.archives);
      const archiveSha256 = digest.toString("base64");
      return { treeId, archiveSha256, archiveBytes, treeBytes: unpacked.bytes };
    });
  }

  async takeInFolder(
    folder: string,
    archive: Pick<CodeRef, "archiveSha256" | "archiveBytes">,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<CodeRef> {
    return await this.#inStaging(async (scratch) => {
      const staged = join(scratch, "tree");
      const { copyFolder } = await import("./intake.ts");
      const unpacked = await copyFolder(folder, staged, { signal });
      signal.throwIfAborted();
      const treeId = await this.#keepTree(scratch, staged, unpacked);
      const { archiveSha256, archiveBytes } = archive;
      return { treeId, archiveSha256, archiveBytes, treeBytes: unpacked.bytes };
    });
  }

  async merge(
    treeIds: readonly [string, ...string[]],
    { signal }: { readonly signal: AbortSignal },
  ): Promise<{ readonly treeId: string; readonly treeBytes: number }> {
    const trees = await Promise.all(
      treeIds.map(async (treeId) => {
        const dir = await this.openTree(treeId);
        return { dir, manifest: parseManifest(await readManifest(`${dir}.json`)) };
      }),
    );
    const merged = mergeManifests(trees);
    return await this.#inStaging(async (scratch) => {
      const staged = join(scratch, "tree");
      const treeId = await this.#findTree(treeIdOf(manifestText(merged.manifest)));
      if (treeId !== undefined) return { treeId, treeBytes: merged.bytes };
      await writeMerged(staged, merged, { signal });
      return { treeId: await this.#keepTree(scratch, staged, merged), treeBytes: merged.bytes };
    });
  }

  async openTree(treeId: string): Promise<string> {
    if (!TREE_ID.test(treeId))
      throw new PlatformError("StoreUnavailable", `"${treeId}" is not the id of a code tree`);
    this.#touch(treeId);
    let verified = this.#verified.get(treeId);
    if (!verified) {
      verified = this.#verify(treeId);
      this.#verified.set(treeId, verified);
      // A tree that was mended by another upload must get another look.
      verified.catch(() => this.#verified.delete(treeId));
    }
    return await verified;
  }

  async findArchive(archiveSha256: string): Promise<string | undefined> {
    if (!ARCHIVE_ID.test(archiveSha256)) return undefined;
    const path = this.#archivePath(Buffer.from(archiveSha256, "base64").toString("hex"));
    this.#touch(path);
    return (await exists(path)) ? path : undefined;
  }

  async collect(inUse: {
    readonly treeIds: ReadonlySet<string>;
    readonly archives: ReadonlySet<string>;
  }): Promise<void> {
    this.#forgetOld();
    const grave = join(this.#places.staging, newName());
    await mkdir(grave);
    for (const name of await readdir(this.#places.trees)) {
      const treeId = name.replace(/\.json$/, "");
      if (!inUse.treeIds.has(treeId)) this.#bury(treeId, join(this.#places.trees, name), join(grave, name));
    }
    const archives = new Set([...inUse.archives].map((sha) => Buffer.from(sha, "base64").toString("hex")));
    for (const name of await readdir(this.#places.archives)) {
      const path = join(this.#places.archives, name);
      if (!archives.has(name.replace(/\.bin$/, ""))) this.#bury(path, path, join(grave, name));
    }
    await removeAll([grave]);
  }

  /**
   * Moves what nobody has used of late out of sight. Looking and moving are one step, without a wait in between: who
   * takes the same code in meanwhile has either marked it as used before, or will not find it and writes it anew.
   */
  #bury(id: string, path: string, grave: string): void {
    if (this.#usedAt.has(id)) return;
    this.#verified.delete(id);
    try {
      renameSync(path, grave);
    } catch (error) {
      // Another collection was faster.
      if (!hasCode(error, ["ENOENT"])) throw error;
    }
  }

  #forgetOld(): void {
    const oldest = this.#parts.clock.now() - KEPT_AFTER_USE_MS;
    for (const [id, usedAt] of this.#usedAt) if (usedAt < oldest) this.#usedAt.delete(id);
  }

  #touch(id: string): void {
    this.#usedAt.set(id, this.#parts.clock.now());
  }

  #archivePath(hex: string): string {
    return join(this.#places.archives, `${hex}.bin`);
  }

  /** Runs `work` with a fresh folder that is gone afterwards, whatever happens. */
  async #inStaging<T>(work: (scratch: string) => Promise<T>): Promise<T> {
    const scratch = join(this.#places.staging, newName());
    try {
      await mkdir(scratch, { mode: 0o700 });
      return await work(scratch);
    } catch (error) {
      throw asStorageError(error, this.#parts.dir);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }

  /** The id again if that tree is here and as it should be. */
  async #findTree(treeId: string): Promise<string | undefined> {
    this.#touch(treeId);
    if (!(await exists(join(this.#places.trees, treeId)))) return undefined;
    try {
      await this.openTree(treeId);
      return treeId;
    } catch (error) {
      if (isPlatformError(error, "StoreUnavailable")) return undefined;
      throw error;
    }
  }

  async #keepTree(
    scratch: string,
    staged: string,
    { manifest }: Pick<Unpacked, "manifest">,
  ): Promise<string> {
    const text = manifestText(manifest);
    const treeId = treeIdOf(text);
    const place = join(this.#places.trees, treeId);
    this.#touch(treeId);
    if (await exists(place)) {
      if ((await this.#findTree(treeId)) !== undefined) return treeId;
      this.#parts.log.warn("a code tree was damaged and is replaced by a new upload of it", { treeId });
      renameSync(place, join(scratch, "damaged"));
    }
    await writeSynced(join(scratch, "manifest"), text);
    await rename(join(scratch, "manifest"), `${place}.json`);
    await rename(staged, place).catch((error: unknown) => {
      // Somebody who took in the same code was faster.
      if (!hasCode(error, ["EEXIST", "ENOTEMPTY"])) throw error;
    });
    await syncFolder(this.#places.trees);
    // It was hashed while it was written.
    this.#verified.set(treeId, Promise.resolve(place));
    return treeId;
  }

  async #verify(treeId: string): Promise<string> {
    const place = join(this.#places.trees, treeId);
    const text = await readManifest(`${place}.json`).catch((error: unknown) => {
      throw unusable(treeId, "its list of files cannot be read", error);
    });
    if (treeIdOf(text) !== treeId) throw unusable(treeId, "its list of files was changed", undefined);
    const change = await findChange(place, parseManifest(text)).catch((error: unknown) => {
      throw unusable(treeId, "it cannot be read", error);
    });
    if (change !== undefined) throw unusable(treeId, change, undefined);
    return place;
  }
}

function unusable(treeId: string, what: string, cause: unknown): PlatformError {
  const message = `code tree ${treeId.slice(0, 12)} cannot be used: ${what}; deploy the function again`;
  return new PlatformError("StoreUnavailable", message, { cause });
}

/** Copies while hashing, so that what was hashed is what is unpacked, whoever writes to the upload meanwhile. */
async function copyAndHash(
  from: string,
  to: string,
  signal: AbortSignal,
): Promise<{ readonly bytes: number; readonly digest: Buffer }> {
  await using source = await open(from, constants.O_RDONLY | constants.O_NOFOLLOW);
  await using target = await open(to, "wx", 0o600);
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of source.createReadStream({ autoClose: false })) {
    signal.throwIfAborted();
    bytes += chunk.length;
    if (bytes > ARCHIVE_BYTES_MAX)
      throw new PlatformError(
        "PayloadTooLarge",
        `the archive has more than ${ARCHIVE_BYTES_MAX} bytes; leave out what the code does not need`,
      );
    hash.update(chunk);
    await target.writeFile(chunk);
  }
  await target.sync();
  return { bytes, digest: hash.digest() };
}

async function writeSynced(path: string, text: string): Promise<void> {
  await using handle = await open(path, "wx", 0o600);
  await handle.writeFile(text);
  await handle.sync();
}

function newName(): string {
  return randomBytes(8).toString("hex");
}

async function removeAll(paths: readonly string[]): Promise<void> {
  await inParallel(paths, REMOVALS_AT_ONCE, async (path) => {
    await rm(path, { recursive: true, force: true });
  });
}
