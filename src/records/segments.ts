import { randomBytes } from "node:crypto";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { OpenFiles } from "./open-files.ts";

/**
 * A file of a log: `BASE-RUN-COUNT.log`, so that names sort by age. The run is that of the daemon; within one, counts
 * rise even if the clock is set back.
 */
export interface Segment {
  readonly name: string;
  /** ms since epoch. */
  readonly baseAt: number;
  readonly run: string;
  readonly count: number;
}

/** Files of one log, however small: a restart begins a new one. */
const SEGMENTS_MAX = 256;

const NAME = /^(\d{13})-([0-9a-f]{6})-(\d{6,})\.log$/;

/** Six characters of `0-9 a-f` that tell this run of the daemon from others. */
export function newRun(): string {
  return randomBytes(3).toString("hex");
}

export function newSegment(baseAt: number, run: string, count: number): Segment {
  const name = `${String(baseAt).padStart(13, "0")}-${run}-${String(count).padStart(6, "0")}.log`;
  return { name, baseAt, run, count };
}

/** Whether `later` was begun after `segment`, by the same run. */
export function isLater(later: Segment, segment: Segment): boolean {
  return later.run === segment.run && later.count > segment.count;
}

/** The segments in a folder, oldest first; none if there is no folder. Other files are not ours and left alone. */
export async function listSegments(dir: string): Promise<Segment[]> {
  const names = await readdir(dir).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  return names.sort().flatMap((name) => {
    const [, base, run, count] = NAME.exec(name) ?? [];
    if (base === undefined || run === undefined) return [];
    return [{ name, baseAt: Number(base), run, count: Number(count) }];
  });
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** The files of one log as they are written: appends to the newest, removes the oldest beyond `bytesMax`. */
export class SegmentFiles {
  readonly #dir: string;
  readonly #files: OpenFiles;
  readonly #bytesMax: number;
  /** By name, oldest first; unknown until the folder was looked at. */
  #bytes: Map<string, number> | undefined;

  constructor(parts: { readonly dir: string; readonly files: OpenFiles; readonly bytesMax: number }) {
    this.#dir = parts.dir;
    this.#files = parts.files;
    this.#bytesMax = parts.bytesMax;
  }

  /** Appends, then makes room. Returns how many bytes of old segments were removed. */
  async append(segment: Segment, bytes: Uint8Array): Promise<number> {
    this.#bytes ??= await this.#survey();
    await this.#files.append(join(this.#dir, segment.name), bytes);
    this.#bytes.set(segment.name, (this.#bytes.get(segment.name) ?? 0) + bytes.length);
    return await this.#makeRoom(this.#bytes, segment);
  }

  async #survey(): Promise<Map<string, number>> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const bytes = new Map<string, number>();
    for (const { name } of await listSegments(this.#dir))
      bytes.set(name, (await stat(join(this.#dir, name))).size);
    return bytes;
  }

  async #makeRoom(bytes: Map<string, number>, current: Segment): Promise<number> {
    let total = 0;
    for (const size of bytes.values()) total += size;
    let removed = 0;
    for (const [name, size] of bytes) {
      if (total - removed <= this.#bytesMax && bytes.size <= SEGMENTS_MAX) break;
      if (name === current.name) continue;
      // Should the file still be open, its handle is closed with the surplus; nothing is appended to it any more.
      await rm(join(this.#dir, name), { force: true });
      bytes.delete(name);
      removed += size;
    }
    return removed;
  }
}
