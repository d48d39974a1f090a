import { randomBytes } from "node:crypto";
import type { Readable } from "node:stream";
import { removeContainer } from "./containers.ts";
import { type Engine, objectOf } from "./engine.ts";
import { isRefusal } from "./engine-problem.ts";
import { LABEL } from "./labels.ts";

/** In the names of containers that are only looked into. */
export const PROBE = "-probe-";
/** No look takes longer. */
export const PROBE_MS_MAX = 2 * 60_000;
const FOLDER = "/opt/extensions";
/** Lambda's limit is ten. */
const ENTRIES_MAX = 200;
const READ_MS_MAX = 60_000;
const BLOCK = 512;
const REGULAR_FILE = new Set(["0", "\0"]);
const ANY_EXECUTE = 0o111;

/**
 * Names of the programs directly in `/opt/extensions` of an image. They are read from a container that is made and never
 * started, so nothing of the image runs.
 */
export async function findExtensions(
  engine: Engine,
  imageId: string,
  { instanceName, signal }: { readonly instanceName: string; readonly signal: AbortSignal },
): Promise<readonly string[]> {
  const name = `lambdad-${instanceName}${PROBE}${randomBytes(6).toString("hex")}`;
  const body = {
    Image: imageId,
    Entrypoint: ["nothing"],
    Cmd: [],
    NetworkDisabled: true,
    Labels: { [LABEL.instance]: instanceName },
  };
  const { Id } = objectOf(await engine.json("POST", "/containers/create", { query: { name }, body, signal }));
  try {
    const archive = await engine.stream("GET", `/containers/${String(Id)}/archive`, {
      query: { path: FOLDER },
      withinMs: READ_MS_MAX,
      signal,
    });
    return await readNames(archive);
  } catch (error) {
    if (isRefusal(error, 404)) return [];
    throw error;
  } finally {
    await removeContainer(engine, String(Id));
  }
}

/** Of a tar of the folder (ustar: a block of header, then the content in whole blocks); what has another header is passed over. */
export async function readNames(archive: Readable): Promise<readonly string[]> {
  const names: string[] = [];
  let entries = 0;
  let header = Buffer.alloc(0);
  let skip = 0;
  for await (const chunk of archive) {
    let rest: Buffer = chunk;
    while (rest.length > 0) {
      const skipped = Math.min(skip, rest.length);
      skip -= skipped;
      rest = rest.subarray(skipped);
      if (rest.length === 0) break;
      const missing = BLOCK - header.length;
      header = Buffer.concat([header, rest.subarray(0, missing)]);
      rest = rest.subarray(missing);
      if (header.length < BLOCK) break;
      const entry = readHeader(header);
      header = Buffer.alloc(0);
      entries += 1;
      if (!entry || entries > ENTRIES_MAX) {
        archive.destroy();
        return names.sort();
      }
      skip = Math.ceil(entry.size / BLOCK) * BLOCK;
      const name = /^extensions\/([^/]+)$/.exec(entry.name)?.[1];
      if (name !== undefined && entry.isProgram) names.push(name);
    }
  }
  return names.sort();
}

/** Undefined at the end, and for sizes that are told in another way. */
function readHeader(
  block: Buffer,
): { readonly name: string; readonly size: number; readonly isProgram: boolean } | undefined {
  const text = (from: number, to: number) => block.toString("utf8", from, to).replace(/\0.*$/s, "");
  const size = Number.parseInt(text(124, 136), 8);
  if (text(0, 100) === "" || Number.isNaN(size)) return undefined;
  const isProgram =
    REGULAR_FILE.has(block.toString("latin1", 156, 157)) &&
    (Number.parseInt(text(100, 108), 8) & ANY_EXECUTE) !== 0;
  return { name: text(0, 100), size, isProgram };
}
