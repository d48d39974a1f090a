import { CODE_BYTES_MAX, CODE_FILES_MAX } from "../core/limits.ts";
import { parseEntryPath, quoted, refusal } from "./entry-path.ts";

/** What an archive says about one of its entries; nothing of it can be believed. */
export interface ArchiveEntry {
  readonly name: string;
  readonly kind: "file" | "folder" | "other";
  /** With article, for messages: `a symbolic link`. */
  readonly kindName: string;
  /** Permission bits with setuid and its like; undefined where the archive's maker had none. */
  readonly mode: number | undefined;
  readonly size: number;
  readonly crc32: number | undefined;
  content(): AsyncIterable<Uint8Array>;
}

export interface PlannedFile {
  readonly path: string;
  /** Undefined when the content has to tell. */
  readonly isExecutable: boolean | undefined;
  readonly size: number;
  readonly crc32: number | undefined;
  content(): AsyncIterable<Uint8Array>;
}

/** Larger trees than this must not shrink by more than `SHRINK_MAX` when packed: real code shrinks by 3 to 20. */
const SHRINK_FREE_BYTES = 32 * 1024 * 1024;
const SHRINK_MAX = 200;

const SETUID_SETGID_STICKY = 0o7000;
const ANY_EXECUTE = 0o111;

/**
 * What will be written, collected and judged before anything is: the first bad entry ends it.
 *
 * Names must differ by more than case or Unicode form, since the tree may be copied to file systems that tell neither
 * apart, where the later file would replace the earlier one. A folder that exists on disk already (`isFolder`) has
 * shown that it can hold its names.
 */
export class UnpackPlan {
  readonly files: PlannedFile[] = [];
  /** Every folder of the tree, parents before what is in them. */
  readonly folders = new Set<string>();
  readonly #taken = new Map<string, { readonly path: string; readonly isFile: boolean }>();
  readonly #archiveBytes: number;
  readonly #isFolder: boolean;
  #entries = 0;
  #bytes = 0;

  constructor(source: { readonly archiveBytes: number; readonly isFolder: boolean }) {
    this.#archiveBytes = source.archiveBytes;
    this.#isFolder = source.isFolder;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @throws PlatformError `InvalidArchive` */
  add(entry: ArchiveEntry): void {
    this.#entries += 1;
    if (this.#entries > CODE_FILES_MAX) {
      throw refusal(
        `the archive has more than ${CODE_FILES_MAX} entries`,
        "bundle the code, or leave out what it does not need",
      );
    }
    refuseKind(entry);
    const path = parseEntryPath(entry.name);
    if (isLeftOut(path)) return;
    if (entry.kind === "folder") {
      if (path !== "") this.#addFolder(path);
      return;
    }
    if (path === "") throw refusal(`archive entry ${quoted(entry.name)} has no name`, "pack again");
    this.#count(entry);
    this.#addFolder(parentOf(path));
    this.#take(path, true);
    const isExecutable = entry.mode === undefined ? undefined : (entry.mode & ANY_EXECUTE) !== 0;
    const content = () => entry.content();
    this.files.push({ path, isExecutable, size: entry.size, crc32: entry.crc32, content });
  }

  #count(entry: ArchiveEntry): void {
    if (!Number.isSafeInteger(entry.size) || entry.size < 0)
      throw refusal(`archive entry ${quoted(entry.name)} has no valid size`, "pack again");
    this.#bytes += entry.size;
    if (this.#bytes > CODE_BYTES_MAX) {
      throw refusal(
        `unzipped size must be smaller than ${CODE_BYTES_MAX} bytes, passed at ${quoted(entry.name)}`,
        "bundle the code, or leave out what it does not need",
      );
    }
    if (!this.#isFolder) refuseBomb(this.#bytes, this.#archiveBytes);
  }

  #addFolder(path: string): void {
    if (path === "" || this.folders.has(path)) return;
    this.#addFolder(parentOf(path));
    this.#take(path, false);
    this.folders.add(path);
  }

  #take(path: string, isFile: boolean): void {
    const key = this.#isFolder ? path : path.normalize("NFKC").toLowerCase();
    const other = this.#taken.get(key);
    if (!other) {
      this.#taken.set(key, { path, isFile });
      return;
    }
    if (other.path !== path) {
      throw refusal(
        `archive entries ${quoted(other.path)} and ${quoted(path)} differ only by case or Unicode form`,
        "rename one of them and pack again",
      );
    }
    throw refusal(
      other.isFile && isFile
        ? `archive entry ${quoted(path)} is there twice`
        : `archive entry ${quoted(path)} is a file and a folder`,
      "remove one of them and pack again",
    );
  }
}

/** @throws PlatformError `InvalidArchive` when so many bytes come out of so few that it was made for that. */
export function refuseBomb(unpackedBytes: number, archiveBytes: number): void {
  if (unpackedBytes <= SHRINK_FREE_BYTES || unpackedBytes <= archiveBytes * SHRINK_MAX) return;
  throw refusal(
    `the archive grows to more than ${SHRINK_MAX} times its size`,
    "leave out files that hold nothing but padding",
  );
}

function refuseKind(entry: ArchiveEntry): void {
  if (entry.kind === "other") {
    const isLink = entry.kindName.endsWith("link");
    throw refusal(
      `archive entry ${quoted(entry.name)} is ${entry.kindName}, which is not allowed`,
      isLink ? "pack with links resolved (zip -r without -y, tar -h)" : "leave it out",
    );
  }
  if (entry.kind === "file" && ((entry.mode ?? 0) & SETUID_SETGID_STICKY) !== 0) {
    throw refusal(
      `archive entry ${quoted(entry.name)} has a setuid, setgid or sticky bit`,
      "remove it with chmod a-s,-t and pack again",
    );
  }
}

/** What macOS adds to archives and folders by itself. */
function isLeftOut(path: string): boolean {
  return (
    path === "__MACOSX" || path.startsWith("__MACOSX/") || path.endsWith("/.DS_Store") || path === ".DS_Store"
  );
}

function parentOf(path: string): string {
  const end = path.lastIndexOf("/");
  return end === -1 ? "" : path.slice(0, end);
}
