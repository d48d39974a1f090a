import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { copyFile, mkdir, readdir, realpath, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { rootCertificates } from "node:tls";
import { promisify } from "node:util";
import { PlatformError } from "../core/errors.ts";

/** What the image holds, in bytes. */
export interface ImageFolder {
  readonly folder: string;
  readonly executableBytes: number;
  readonly libraries: number;
  readonly libraryBytes: number;
  readonly certificateBytes: number;
  /** Sum of all its files. */
  readonly bytes: number;
}

const CERTIFICATES = "etc/ssl/certs/ca-certificates.crt";
const LIST_MS_MAX = 30_000;

/** Older C libraries look these up by name when they first resolve a host. */
const LOADED_LATER = ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"];

/**
 * Writes `folder` with a Dockerfile and `root/`, all that the image will hold: the executable, the libraries that it is
 * linked to, the certificates of Mozilla's list that Node brings. A folder that was made here before is replaced.
 *
 * @throws PlatformError `BuildFailed` if something else is in its place, or the libraries cannot be found.
 */
export async function writeImageFolder(
  executable: string,
  folder: string,
  options: { readonly signal: AbortSignal },
): Promise<ImageFolder> {
  await removeOwn(folder);
  try {
    return await fill(executable, folder, options);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

async function fill(
  executable: string,
  folder: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<ImageFolder> {
  const name = basename(executable);
  const root = join(folder, "root");
  await mkdir(root, { recursive: true });
  const executableBytes = await copyInto(executable, join(root, name));
  const libraries = await findLibraries(executable, { signal });
  let libraryBytes = 0;
  for (const library of libraries) libraryBytes += await copyInto(library.file, join(root, library.place));
  const certificates = `${rootCertificates.join("\n")}\n`;
  await mkdir(dirname(join(root, CERTIFICATES)), { recursive: true });
  await writeFile(join(root, CERTIFICATES), certificates);
  await writeFile(join(folder, "Dockerfile"), dockerfile(name));
  const certificateBytes = Buffer.byteLength(certificates);
  return {
    folder,
    executableBytes,
    libraries: libraries.length,
    libraryBytes,
    certificateBytes,
    bytes: executableBytes + libraryBytes + certificateBytes,
  };
}

function dockerfile(name: string): string {
  return [
    "# Made by lambda bundle: an executable, the libraries it is linked to, CA certificates; nothing else.",
    "FROM scratch",
    "COPY root/ /",
    "USER 65532:65532",
    "EXPOSE 8080",
    `ENTRYPOINT ${JSON.stringify([`/${name}`])}`,
    "",
  ].join("\n");
}

async function removeOwn(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => undefined);
  if (names === undefined) return;
  if (names.some((name) => name !== "Dockerfile" && name !== "root"))
    throw new PlatformError(
      "BuildFailed",
      `${folder} has other things in it; move it away, or choose another --out`,
    );
  await rm(folder, { recursive: true });
}

interface Library {
  /** On this machine, links resolved. */
  readonly file: string;
  /** Where the loader looks for it, relative to the root. */
  readonly place: string;
}

/** What the loader itself says that it would load; nothing of the program is run. */
async function findLibraries(
  executable: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<readonly Library[]> {
  const { stdout } = await promisify(execFile)(executable, [], {
    env: { LD_TRACE_LOADED_OBJECTS: "1" },
    timeout: LIST_MS_MAX,
    signal,
  }).catch((cause: unknown) => {
    throw new PlatformError("BuildFailed", `cannot find out which libraries ${executable} needs`, { cause });
  });
  const missing = /^\s*(\S+) => not found$/m.exec(stdout)?.[1];
  if (missing !== undefined)
    throw new PlatformError("BuildFailed", `${missing}, which the executable needs, is not on this machine`);
  const paths = [...stdout.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x/gm)].map((match) => match[1] ?? "");
  const libc = paths.find((path) => /\/libc\.so\.6$/.test(path));
  const later = libc === undefined ? [] : LOADED_LATER.map((name) => join(dirname(libc), name));
  const libraries: Library[] = [];
  for (const path of new Set([...paths, ...later])) {
    const file = await realpath(path).catch(() => undefined);
    if (file !== undefined) libraries.push({ file, place: path.slice(1) });
  }
  return libraries;
}

async function copyInto(from: string, to: string): Promise<number> {
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to, constants.COPYFILE_FICLONE);
  return (await stat(to)).size;
}
