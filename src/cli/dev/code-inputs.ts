import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { PackagedFile } from "../package-folder.ts";

/** What changed this shortly before it was read may change again without its time telling. */
const RACY_NS = 50_000_000n;

interface Known {
  readonly facts: string;
  readonly sha256: string;
}

/** Hashes of files by their content, which is read again only where something about the file is new. */
export class CodeInputs {
  readonly #known = new Map<string, Known>();

  /** One hash of names, modes and contents, and of `besides`. */
  async hash(files: readonly PackagedFile[], besides: unknown): Promise<string> {
    const hash = createHash("sha256").update(JSON.stringify(besides));
    for (const file of files)
      hash.update(`\0${file.path}\0${file.isExecutable ? "x" : "-"}\0${await this.#content(file.source)}`);
    return hash.digest("hex");
  }

  async #content(path: string): Promise<string> {
    const { size, ino, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    const facts = `${size} ${ino} ${mtimeNs} ${ctimeNs}`;
    const known = this.#known.get(path);
    if (known?.facts === facts) return known.sha256;
    const hash = createHash("sha256");
    for await (const chunk of createReadStream(path)) hash.update(chunk);
    const sha256 = hash.digest("hex");
    const isRacy = BigInt(Date.now()) * 1_000_000n - mtimeNs < RACY_NS;
    if (isRacy) this.#known.delete(path);
    else this.#known.set(path, { facts, sha256 });
    return sha256;
  }
}
