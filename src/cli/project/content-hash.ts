import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { PackagedFile } from "../package-folder.ts";

/** Larger files are not read as a whole. */
const READ_AT_ONCE_BYTES = 4 * 1024 * 1024;

/**
 * SHA-256 (hex) of what a function is built of: names, modes and content of its files, and the settings that decide how
 * it is built. What has the same is the same, whenever and wherever it was deployed.
 */
export async function hashInputs(
  files: readonly PackagedFile[],
  settings: Readonly<Record<string, unknown>>,
): Promise<string> {
  const sorted = Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1));
  const hash = createHash("sha256").update(JSON.stringify(sorted));
  for (const file of files) {
    hash.update(`\0${file.path}\0${file.isExecutable ? "x" : "-"}\0${await hashFile(file)}`);
  }
  return hash.digest("hex");
}

async function hashFile({ source, bytes }: PackagedFile): Promise<string> {
  const hash = createHash("sha256");
  if (bytes <= READ_AT_ONCE_BYTES) hash.update(await readFile(source));
  else await pipeline(createReadStream(source), hash);
  return hash.digest("hex");
}
