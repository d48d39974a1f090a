/**
 * Tar archives: blocks of 512 bytes; a header, its data padded to whole blocks, the next header; a block of zeros ends
 * it. Types `x` and `g` (pax, POSIX.1-2001) and `L`, `K` (GNU) carry longer names for the header that follows them.
 * node-tar reads the headers and the pax records; where data lies is worked out here, so that content is read only
 * once the whole list has been judged, and nothing of node-tar ever writes.
 */
import { Header, Pax } from "tar";
import type { BlockReader } from "./block-reader.ts";
import { quoted, refusal } from "./entry-path.ts";
import type { ArchiveEntry } from "./plan.ts";

const BLOCK_BYTES = 512;
/** Of one extended header; names are bounded far below. */
const META_BYTES_MAX = 64 * 1024;

const KIND_OF_TYPE: Readonly<Record<string, readonly [ArchiveEntry["kind"], string]>> = {
  File: ["file", "a file"],
  OldFile: ["file", "a file"],
  ContiguousFile: ["file", "a file"],
  Directory: ["folder", "a folder"],
  SymbolicLink: ["other", "a symbolic link"],
  Link: ["other", "a hard link"],
  CharacterDevice: ["other", "a character device"],
  BlockDevice: ["other", "a block device"],
  FIFO: ["other", "a named pipe"],
};

/** Whether a file that begins with `block` is a tar: its first header has the right checksum. */
export function isTarHeader(block: Buffer): boolean {
  if (block.length < BLOCK_BYTES) return false;
  try {
    const header = new Header(block);
    return header.cksumValid && !header.nullBlock;
  } catch {
    // Not a header at all.
    return false;
  }
}

/**
 * Hands each entry to `accept`, in the archive's order; what `accept` throws ends it.
 *
 * @throws PlatformError `InvalidArchive`
 */
export async function readTar(
  reader: BlockReader,
  accept: (entry: ArchiveEntry) => void,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  let position = 0;
  let extended: Pax | undefined;
  let global: Pax | undefined;
  let longName: string | undefined;
  for (;;) {
    signal.throwIfAborted();
    const block = await reader.read(position, BLOCK_BYTES);
    if (!block) throw damaged("it ends without its end mark");
    const header = parseHeader(block, extended, global);
    if (header.nullBlock) return;
    const start = position + BLOCK_BYTES;
    const size = header.size ?? 0;
    position = start + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
    if (start + size > reader.size) throw damaged(`${quoted(header.path ?? "")} reaches past its end`);
    switch (header.type) {
      case "ExtendedHeader":
      case "OldExtendedHeader":
        extended = Pax.parse(await readMeta(reader, start, size), extended, false);
        break;
      case "GlobalExtendedHeader":
        global = Pax.parse(await readMeta(reader, start, size), global, true);
        break;
      case "NextFileHasLongPath":
      case "OldGnuLongPath":
        longName = (await readMeta(reader, start, size)).replace(/\0.*$/s, "");
        break;
      case "NextFileHasLongLinkpath":
        break;
      default:
        accept(makeEntry(reader, header, { name: extended?.path ?? longName, start, size }));
        extended = undefined;
        longName = undefined;
    }
  }
}

function parseHeader(block: Buffer, extended: Pax | undefined, global: Pax | undefined): Header {
  let header: Header;
  try {
    header = new Header(block, 0, extended, global);
  } catch (error) {
    throw damaged(error instanceof Error ? error.message : "a header cannot be read");
  }
  if (!header.nullBlock && !header.cksumValid) throw damaged("the checksum of a header is wrong");
  if (header.size !== undefined && !Number.isSafeInteger(header.size))
    throw damaged("a header has no valid size");
  return header;
}

async function readMeta(reader: BlockReader, start: number, size: number): Promise<string> {
  if (size > META_BYTES_MAX)
    throw refusal(`a name or attribute in the tar file takes ${size} bytes`, "pack again without attributes");
  const block = await reader.read(start, size);
  return block?.toString("utf8") ?? "";
}

function makeEntry(
  reader: BlockReader,
  header: Header,
  data: { readonly name: string | undefined; readonly start: number; readonly size: number },
): ArchiveEntry {
  const name = data.name ?? header.path ?? "";
  const [kind, kindName] = KIND_OF_TYPE[header.type] ?? ["other", `of tar type ${quoted(header.type)}`];
  const isFolder = kind === "folder" || (kind === "file" && name.endsWith("/"));
  return {
    name,
    kind: isFolder ? "folder" : kind,
    kindName,
    mode: (header.mode ?? 0o644) & 0o7777,
    size: data.size,
    crc32: undefined,
    content: () => reader.stream(data.start, data.start + data.size),
  };
}

function damaged(what: string): Error {
  return refusal(`the tar file is damaged: ${what}`, "pack and upload it again");
}
