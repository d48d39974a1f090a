/**
 * Zip archives (PKWARE APPNOTE.TXT). The central directory at the end of the file lists the entries; each points at a
 * local header that stands before its data. Only the central directory is believed, as Lambda, Python and unzip do.
 * The upper 16 bits of an entry's external attributes are its Unix mode, whoever made the archive; an archive made
 * where there are none has zeros there. Data of two entries never overlaps in an honest archive; in the archives that
 * unpack to petabytes it does (Fifield 2019).
 */
import { isUtf8 } from "node:buffer";
import { pipeline, Readable } from "node:stream";
import { promisify } from "node:util";
import { createInflateRaw, inflateRaw } from "node:zlib";
import {
  type Entry,
  fromRandomAccessReaderPromise,
  getFileNameLowLevel,
  RandomAccessReader,
  type ZipFile,
} from "yauzl";
import { CODE_FILES_MAX } from "../core/limits.ts";
import type { BlockReader } from "./block-reader.ts";
import { PATH_BYTES_MAX, quoted, refusal } from "./entry-path.ts";
import type { ArchiveEntry } from "./plan.ts";

const inflateWhole = promisify(inflateRaw);

const STORED = 0;
const DEFLATED = 8;
const LOCAL_HEADER_BYTES = 30;
const LOCAL_HEADER_SIGNATURE = 0x04034b50;
const UTF8_NAME = 0x0800;
const ENCRYPTED = 0x0001 | 0x0040 | 0x2000;
/** Up to this size an entry is inflated in one go, which costs a tenth of a stream. */
const WHOLE_BYTES_MAX = 256 * 1024;

const FILE_TYPE = 0o170000;
const KIND_OF_TYPE: ReadonlyMap<number, readonly [ArchiveEntry["kind"], string]> = new Map([
  [0, ["file", "a file"]],
  [0o100000, ["file", "a file"]],
  [0o040000, ["folder", "a folder"]],
  [0o120000, ["other", "a symbolic link"]],
  [0o020000, ["other", "a character device"]],
  [0o060000, ["other", "a block device"]],
  [0o010000, ["other", "a named pipe"]],
  [0o140000, ["other", "a socket"]],
]);

/**
 * Hands each entry to `accept`, in the archive's order; what `accept` throws ends it.
 *
 * @throws PlatformError `InvalidArchive`
 */
export async function readZip(
  reader: BlockReader,
  accept: (entry: ArchiveEntry) => void,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  const spans: Span[] = [];
  try {
    const zip = await fromRandomAccessReaderPromise(new YauzlReader(reader), reader.size, {
      decodeStrings: false,
      autoClose: false,
    });
    refuseCount(zip);
    for await (const entry of zip.eachEntry()) {
      signal.throwIfAborted();
      const { span, checked } = readEntry(entry, reader);
      spans.push(span);
      accept(checked);
    }
  } catch (error) {
    // yauzl's own errors are plain ones; those of the disk have a code.
    throw error instanceof Error && error.name === "Error" && !("code" in error) ? damaged(error) : error;
  }
  refuseOverlaps(spans, reader.size);
}

/** Where an entry's header and data lie in the file, as far as the central directory says. */
interface Span {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

function readEntry(
  entry: Entry,
  reader: BlockReader,
): { readonly span: Span; readonly checked: ArchiveEntry } {
  if (entry.fileNameLength > PATH_BYTES_MAX)
    throw refusal(`an archive entry has a path longer than ${PATH_BYTES_MAX} bytes`, "shorten it");
  // Finder and others write UTF-8 without saying so.
  const flags = entry.generalPurposeBitFlag | (isUtf8(entry.fileNameRaw) ? UTF8_NAME : 0);
  const name = getFileNameLowLevel(flags, entry.fileNameRaw, entry.extraFields, true);
  if ((flags & ENCRYPTED) !== 0)
    throw refusal(`archive entry ${quoted(name)} is encrypted`, "pack without a password");
  const method = entry.compressionMethod;
  if (method !== STORED && method !== DEFLATED)
    throw refusal(`archive entry ${quoted(name)} uses compression method ${method}`, "pack with deflate");
  const mode = entry.externalFileAttributes >>> 16;
  const [kind, kindName] = kindOf(name, mode, entry.uncompressedSize);
  const { compressedSize, uncompressedSize: size, crc32 } = entry;
  const start = entry.relativeOffsetOfLocalHeader;
  return {
    span: { name, start, end: start + LOCAL_HEADER_BYTES + entry.fileNameLength + compressedSize },
    checked: {
      name,
      kind,
      kindName,
      mode: mode === 0 ? undefined : mode & 0o7777,
      size,
      crc32,
      content: () => readContent(reader, { name, start, compressedSize, size, method }),
    },
  };
}

function kindOf(name: string, mode: number, size: number): readonly [ArchiveEntry["kind"], string] {
  const [kind, kindName] = KIND_OF_TYPE.get(mode & FILE_TYPE) ?? ["other", "of an unknown kind"];
  if (kind === "other") return [kind, kindName];
  const isFolder = name.endsWith("/");
  if (isFolder ? size > 0 : kind === "folder")
    throw refusal(`archive entry ${quoted(name)} is both a folder and a file`, "pack again");
  return isFolder ? ["folder", "a folder"] : [kind, kindName];
}

interface StoredData {
  readonly name: string;
  readonly start: number;
  readonly compressedSize: number;
  readonly size: number;
  readonly method: number;
}

async function* readContent(reader: BlockReader, data: StoredData): AsyncGenerator<Uint8Array> {
  const header = await reader.read(data.start, LOCAL_HEADER_BYTES);
  if (!header || header.readUInt32LE(0) !== LOCAL_HEADER_SIGNATURE)
    throw damaged(new Error(`no local header of ${quoted(data.name)}`));
  const start = data.start + LOCAL_HEADER_BYTES + header.readUInt16LE(26) + header.readUInt16LE(28);
  const end = start + data.compressedSize;
  if (end > reader.size) throw damaged(new Error(`${quoted(data.name)} reaches past the end of the file`));
  if (data.method === STORED) {
    yield* reader.stream(start, end);
  } else if (data.compressedSize <= WHOLE_BYTES_MAX && data.size <= WHOLE_BYTES_MAX) {
    const packed = (await reader.read(start, data.compressedSize)) ?? Buffer.alloc(0);
    // One byte more than it says, so that whoever counts sees that it lied.
    yield await inflateWhole(packed, { maxOutputLength: data.size + 1 });
  } else {
    const inflate = createInflateRaw();
    // A failure destroys both streams, and so reaches the loop below.
    pipeline(reader.stream(start, end), inflate, () => undefined);
    yield* inflate;
  }
}

function refuseCount(zip: ZipFile): void {
  if (zip.entryCount > CODE_FILES_MAX)
    throw refusal(
      `the archive has ${zip.entryCount} entries, ${CODE_FILES_MAX} are allowed`,
      "bundle the code, or leave out what it does not need",
    );
}

function refuseOverlaps(spans: Span[], size: number): void {
  spans.sort((one, other) => one.start - other.start);
  let end = 0;
  let before = "";
  for (const span of spans) {
    if (span.start < end)
      throw refusal(
        `archive entries ${quoted(before)} and ${quoted(span.name)} overlap`,
        "pack again with another tool",
      );
    if (span.end > size) throw damaged(new Error(`${quoted(span.name)} reaches past the end of the file`));
    end = span.end;
    before = span.name;
  }
}

function damaged(cause: Error): Error {
  return refusal(`the zip file is damaged (${cause.message})`, "pack and upload it again", { cause });
}

/** What yauzl reads the central directory through. */
class YauzlReader extends RandomAccessReader {
  readonly #reader: BlockReader;

  constructor(reader: BlockReader) {
    super();
    this.#reader = reader;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    this.#reader
      .read(position, length)
      .then((block) => {
        block?.copy(buffer, offset);
        callback(null, block?.length ?? 0);
      })
      .catch(callback);
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from(this.#reader.stream(start, end));
  }
}
