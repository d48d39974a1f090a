import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { PlatformError } from "../core/errors.ts";

const LOOK_EVERY_MS = 250;

/** `signal` aborts with `BuildFailed` when the files in a folder have become more than `bytesMax`, until it is stopped. */
export function watchFolderSize(
  dir: string,
  bytesMax: number,
): { readonly signal: AbortSignal; stop(): void } {
  const controller = new AbortController();
  let isStopped = false;
  async function look(): Promise<void> {
    if ((await bytesIn(dir)) > bytesMax) {
      controller.abort(
        new PlatformError(
          "BuildFailed",
          `the repository is larger than ${Math.round(bytesMax / 1024 / 1024)} MiB`,
        ),
      );
    }
    if (!isStopped && !controller.signal.aborted) timer = setTimeout(() => void look(), LOOK_EVERY_MS);
  }
  let timer = setTimeout(() => void look(), LOOK_EVERY_MS);
  return {
    signal: controller.signal,
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}

/** Files that vanish meanwhile count nothing. */
async function bytesIn(dir: string): Promise<number> {
  const names = await readdir(dir, { recursive: true }).catch(() => []);
  const sizes = names.map((name) =>
    stat(join(dir, name)).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
