import { createHash } from "node:crypto";
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../core/clock.ts";
import type { CodeRef } from "../core/function.ts";
import { silentLog } from "../core/log.ts";
import { type CodeDepot, openDepot } from "./depot.ts";

export const never = new AbortController().signal;

/** A depot in a folder of its own, with a neighbour folder that nobody may touch. */
export interface DepotPlace extends AsyncDisposable {
  readonly dir: string;
  readonly depotDir: string;
  depot: CodeDepot;
  /** Milliseconds that the depot's clock is ahead. */
  readonly clock: { ahead: number };
  /** The same folder as after a restart of the daemon. */
  reopen(): Promise<void>;
  upload(content: Buffer | string, name?: string): Promise<CodeRef>;
}

export async function makeDepotPlace(): Promise<DepotPlace> {
  const dir = await mkdtemp(join(tmpdir(), "depot-test-"));
  await mkdir(join(dir, "neighbour"));
  await writeFile(join(dir, "neighbour", "secret.txt"), "untouched");
  const depotDir = join(dir, "depot");
  const clock = { ahead: 0 };
  const parts = {
    dir: depotDir,
    log: silentLog,
    clock: { ...systemClock, now: () => Date.now() + clock.ahead },
  };
  let uploads = 0;
  const place: DepotPlace = {
    dir,
    depotDir,
    clock,
    depot: await openDepot(parts),
    async reopen() {
      place.depot = await openDepot(parts);
    },
    async upload(content, name) {
      uploads += 1;
      const file = join(dir, `upload-${uploads}`);
      await writeFile(file, content);
      try {
        return await place.depot.takeIn({ file, name }, { signal: never });
      } finally {
        await rm(file);
      }
    },
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
  return place;
}

/** Everything below a folder: path, kind, mode, content. */
export async function snapshot(dir: string, path = ""): Promise<string[]> {
  const found: string[] = [];
  for (const name of (await readdir(join(dir, path))).sort()) {
    const inner = join(path, name);
    const stats = await lstat(join(dir, inner));
    const mode = (stats.mode & 0o7777).toString(8);
    if (stats.isDirectory()) {
      found.push(`${inner}/ ${mode}`, ...(await snapshot(dir, inner)));
    } else if (stats.isSymbolicLink()) {
      found.push(`${inner} -> ${await readlink(join(dir, inner))}`);
    } else {
      const content = await readFile(join(dir, inner));
      found.push(`${inner} ${mode} ${createHash("sha256").update(content).digest("hex").slice(0, 12)}`);
    }
  }
  return found;
}
