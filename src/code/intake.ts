import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { lstat, open, readdir, unlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { CODE_BYTES_MAX, CODE_FILES_MAX } from "../core/limits.ts";
import { BlockReader } from "./block-reader.ts";
import { quoted, refusal } from "./entry-path.ts";
import { type ArchiveEntry, refuseBomb, UnpackPlan } from "./plan.ts";
import { isBrokenData, looksExecutable, type TreeManifest, writeTree } from "./tree.ts";

/** A tar of the largest tree, with the headers of as many files as a tree may have. */
const TAR_BYTES_MAX = CODE_BYTES_MAX + CODE_FILES_MAX * 1_024;

type Format = "zip" | "tar" | "gzip" | "single";

/** How files that we cannot read begin, as far as people upload them. */
const FOREIGN_FORMATS: readonly (readonly [string, Buffer])[] = [
  ["xz", Buffer.from("\xfd7zXZ\0", "latin1")],
  ["bzip2", Buffer.from("BZh")],
  ["zstd", Buffer.from("\x28\xb5\x2f\xfd", "latin1")],
  ["7z", Buffer.from("7z\xbc\xaf\x27\x1c", "latin1")],
  ["rar", Buffer.from("Rar!\x1a\x07", "latin1")],
];

export interface Unpacked {
  readonly manifest: TreeManifest;
  readonly bytes: number;
}

/**
 * Unpacks the archive `file` into `dir`, which must not exist: first every entry is judged, then anything is written.
 * `name` is how the file was called where it came from; a single file keeps it, and an ending in `.zip`, `.tar`,
 * `.tgz` or `.tar.gz` must be true. `scratch` is a folder for what is needed on the way.
 *
 * @throws PlatformError `InvalidArchive`; errors of the file system as they are. What is in `dir` then is of no use.
 */
export async function unpackArchive(
  source: { readonly file: string; readonly name: string | undefined; readonly scratch: string },
  dir: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<Unpacked> {
  await using handle = await open(source.file, constants.O_RDONLY | constants.O_NOFOLLOW);
  const { size } = await handle.stat();
  if (size === 0) throw refusal("the uploaded file is empty", "upload a zip, a tar or a file of code");
  const reader = new BlockReader(handle, size);
  const plan = new UnpackPlan({ archiveBytes: size, isFolder: false });
  const accept = (entry: ArchiveEntry) => plan.add(entry);
  const finish = () => writePlan(plan, dir, signal);

  // The readers are loaded when first needed, since the daemon starts more often than it takes in code.
  switch (await recognise(reader, source.name)) {
    case "zip": {
      const { readZip } = await import("./zip.ts");
      await readZip(reader, accept, { signal });
      return await finish();
    }
    case "tar": {
      const { readTar } = await import("./tar.ts");
      await readTar(reader, accept, { signal });
      return await finish();
    }
    case "gzip": {
      const tar = join(source.scratch, `${randomBytes(8).toString("hex")}.tar`);
      const bytes = await gunzip(reader, tar, signal);
      await using inner = await open(tar, constants.O_RDONLY | constants.O_NOFOLLOW);
      await unlink(tar);
      const innerReader = new BlockReader(inner, bytes);
      const { isTarHeader, readTar } = await import("./tar.ts");
      if (!isTarHeader((await innerReader.read(0, 512)) ?? Buffer.alloc(0)))
        throw refusal("the gzip file does not contain a tar", "upload a zip, a tar or a gzipped tar");
      await readTar(innerReader, accept, { signal });
      return await finish();
    }
    case "single":
      plan.add(await singleFile(reader, source.name));
      return await finish();
  }
}

/**
 * Copies a folder on this host into `dir`, which must not exist, by the same rules; links in it are refused. The
 * folder is only read.
 *
 * @throws as `unpackArchive`
 */
export async function copyFolder(
  folder: string,
  dir: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<Unpacked> {
  const plan = new UnpackPlan({ archiveBytes: 0, isFolder: true });
  await planFolder(folder, "", plan, signal);
  return await writePlan(plan, dir, signal);
}

async function writePlan(plan: UnpackPlan, dir: string, signal: AbortSignal): Promise<Unpacked> {
  if (plan.files.length === 0) throw refusal("the archive has no files", "pack the code and upload it again");
  return { manifest: await writeTree(dir, plan, { signal }), bytes: plan.bytes };
}

async function recognise(reader: BlockReader, name: string | undefined): Promise<Format> {
  const start = (await reader.read(0, Math.min(512, reader.size))) ?? Buffer.alloc(0);
  const format = await formatOf(start);
  const promised = name?.toLowerCase().match(/\.(zip|tar|tgz|tar\.gz)$/)?.[1];
  const isAsPromised =
    promised === undefined || (promised === "zip" ? format === "zip" : format === "tar" || format === "gzip");
  if (!isAsPromised)
    throw refusal(
      `${quoted(basename(name ?? ""))} is not a ${promised} file by its content`,
      "pack it again",
    );
  const foreign = FOREIGN_FORMATS.find(([, magic]) => start.subarray(0, magic.length).equals(magic));
  if (foreign)
    throw refusal(`the uploaded file is packed with ${foreign[0]}`, "upload a zip, a tar or a gzipped tar");
  return format;
}

async function formatOf(start: Buffer): Promise<Format> {
  const magic = start.subarray(0, 4).toString("latin1");
  // A file header, or the end record of a zip with nothing in it.
  if (magic === "PK\x03\x04" || magic === "PK\x05\x06") return "zip";
  if (magic.startsWith("\x1f\x8b")) return "gzip";
  if (start.length < 512) return "single";
  const { isTarHeader } = await import("./tar.ts");
  return isTarHeader(start) ? "tar" : "single";
}

async function gunzip(reader: BlockReader, target: string, signal: AbortSignal): Promise<number> {
  await using output = await open(target, "wx", 0o600);
  const unpacked = createGunzip({ chunkSize: 64 * 1024 });
  // A failure destroys both streams, and so reaches the loop below.
  pipeline(reader.stream(0, reader.size), unpacked, () => undefined);
  let bytes = 0;
  try {
    for await (const chunk of unpacked) {
      signal.throwIfAborted();
      bytes += chunk.length;
      refuseBomb(bytes, reader.size);
      if (bytes > TAR_BYTES_MAX)
        throw refusal(
          `unzipped size must be smaller than ${CODE_BYTES_MAX} bytes`,
          "leave out what is not needed",
        );
      await output.writeFile(chunk);
    }
  } catch (error) {
    throw isBrokenData(error)
      ? refusal("the gzip file is damaged", "pack and upload it again", { cause: error })
      : error;
  }
  return bytes;
}

async function singleFile(reader: BlockReader, name: string | undefined): Promise<ArchiveEntry> {
  if (name === undefined || name === "")
    throw refusal(
      "the uploaded file is neither a zip nor a tar",
      "upload one of those, or give a file name if it is a single file of code",
    );
  if (name.includes("/")) throw refusal(`file name ${quoted(name)} has a / in it`, "give its last part only");
  const start = (await reader.read(0, Math.min(4, reader.size))) ?? Buffer.alloc(0);
  return {
    name,
    kind: "file",
    kindName: "a file",
    mode: looksExecutable(start) ? 0o755 : 0o644,
    size: reader.size,
    crc32: undefined,
    content: () => reader.stream(0, reader.size),
  };
}

async function planFolder(
  folder: string,
  path: string,
  plan: UnpackPlan,
  signal: AbortSignal,
): Promise<void> {
  for (const entry of await readdir(join(folder, path), { withFileTypes: true })) {
    signal.throwIfAborted();
    const name = path === "" ? entry.name : `${path}/${entry.name}`;
    if (entry.isDirectory()) {
      plan.add({ ...FOLDER, name });
      await planFolder(folder, name, plan, signal);
    } else {
      const file = join(folder, name);
      const stats = await lstat(file);
      plan.add({
        name,
        kind: stats.isFile() ? "file" : "other",
        kindName: stats.isSymbolicLink() ? "a symbolic link" : "neither a file nor a folder",
        // Only what tells programs from data: a build may leave any bits behind.
        mode: stats.mode & 0o777,
        size: stats.size,
        crc32: undefined,
        content: () => readFolderFile(file),
      });
    }
  }
}

const FOLDER: ArchiveEntry = {
  name: "",
  kind: "folder",
  kindName: "a folder",
  mode: 0o755,
  size: 0,
  crc32: undefined,
  content: async function* () {},
};

async function* readFolderFile(file: string): AsyncGenerator<Uint8Array> {
  await using handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  yield* handle.createReadStream({ autoClose: false });
}
