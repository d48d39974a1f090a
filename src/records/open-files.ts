import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";

interface OpenFile {
  readonly handle: Promise<FileHandle>;
  users: number;
}

/** Keeps the files open that were appended to last, so that each flush need not open them again. */
export class OpenFiles implements AsyncDisposable {
  readonly #files = new Map<string, OpenFile>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** Appends all of the bytes, or throws; then part of it may be in the file. */
  async append(path: string, bytes: Uint8Array): Promise<void> {
    const file = this.#take(path);
    file.users++;
    try {
      await (await file.handle).appendFile(bytes);
    } catch (error) {
      this.#files.delete(path);
      await close(file);
      throw error;
    } finally {
      file.users--;
    }
    await this.#closeSurplus();
  }

  /** Closes all files of a folder; nobody may be appending to one. */
  async closeFolder(dir: string): Promise<void> {
    const files = [...this.#files].filter(([path]) => dirname(path) === dir);
    for (const [path] of files) this.#files.delete(path);
    await Promise.all(files.map(([, file]) => close(file)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const files = [...this.#files.values()];
    this.#files.clear();
    await Promise.all(files.map(close));
  }

  #take(path: string): OpenFile {
    const file = this.#files.get(path) ?? { handle: open(path, "a", 0o600), users: 0 };
    this.#files.delete(path);
    this.#files.set(path, file);
    return file;
  }

  async #closeSurplus(): Promise<void> {
    for (const [path, file] of this.#files) {
      if (this.#files.size <= this.#max) return;
      if (file.users > 0) continue;
      this.#files.delete(path);
      await close(file);
    }
  }
}

async function close(file: OpenFile): Promise<void> {
  // A file that could not be opened has nothing to close; whoever appended knows already.
  await file.handle.then((handle) => handle.close()).catch(() => undefined);
}
