import { createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hasCode } from "./storage-error.ts";

/** Files beyond either are removed, those that were made first before others. */
const FILES_MAX = 2_000;
const BYTES_MAX = 2 * 1024 ** 3;
const END = Buffer.from("end of pack\n");

/**
 * What was made of code beforehand, by key. Nothing that could not be made again: the folder may be emptied at any time.
 * Code for which there is nothing to make has an empty file, so that nobody tries again.
 */
export class PackStore {
  readonly #dir: string;
  /** Keys that have been looked for, and whether there is something in the file. */
  readonly #known = new Map<string, boolean>();

  /** `dir` is made when there is something to keep. */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Whether it is known that there is nothing to be had, now or later: no file is asked for then. */
  isEmpty(key: string): boolean {
    return this.#known.get(key) === false;
  }

  /** Undefined if it has not been made; empty if there is nothing in it. */
  async find(key: string): Promise<Uint8Array | undefined> {
    try {
      const bytes = await readFile(this.#fileOf(key));
      // Not synced when it was written: what a crash has cut short is as good as not there.
      if (!bytes.subarray(-END.length).equals(END)) return undefined;
      const content = bytes.subarray(0, -END.length);
      this.#know(key, content.length > 0);
      return content;
    } catch (error) {
      if (!hasCode(error, ["ENOENT"])) throw error;
      return undefined;
    }
  }

  async keep(key: string, bytes: Uint8Array): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const file = this.#fileOf(key);
    const staged = `${file}.${randomBytes(6).toString("hex")}`;
    await writeFile(staged, Buffer.concat([bytes, END]), { mode: 0o600 });
    await rename(staged, file);
    this.#know(key, bytes.length > 0);
    await this.#makeRoom();
  }

  #know(key: string, hasContent: boolean): void {
    if (this.#known.size >= FILES_MAX) this.#known.clear();
    this.#known.set(key, hasContent);
  }

  #fileOf(key: string): string {
    return join(this.#dir, createHash("sha256").update(key).digest("hex"));
  }

  async #makeRoom(): Promise<void> {
    const names = await readdir(this.#dir);
    const files = await Promise.all(
      names.map(async (name) => {
        const found = await stat(join(this.#dir, name)).catch(() => undefined);
        return { name, bytes: found?.size ?? 0, madeAt: found?.mtimeMs ?? 0 };
      }),
    );
    let count = files.length;
    let bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    for (const file of files.sort((a, b) => a.madeAt - b.madeAt)) {
      if (count <= FILES_MAX && bytes <= BYTES_MAX) return;
      await rm(join(this.#dir, file.name), { force: true });
      count -= 1;
      bytes -= file.bytes;
    }
  }
}
