import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PlatformError } from "../core/errors.ts";
import { sourceUrl } from "../core/source-url.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export const PACKAGE_ROOT = fileURLToPath(sourceUrl("../"));
/** Runtime API clients for images that bring none. */
export const CLIENT_DIR = join(PACKAGE_ROOT, "runtimes/container");

/** Functions may run for 15 minutes, and those that run may end. */
export const DRAIN_MS = 900_000 + 5_000;

/** The version of this package. */
export function version(): string {
  return JSON.parse(readFileSync(join(PACKAGE_ROOT, "package.json"), "utf8")).version;
}

/** @throws PlatformError `ConfigurationInvalid` */
export function makeDataDir(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new PlatformError(
      "ConfigurationInvalid",
      `cannot make the data folder "${dir}": choose another with --data`,
      {
        cause,
      },
    );
  }
}

/** Short, since Unix sockets are made below it, and the same for the same data folder, so that a successor finds what was left. */
export function instanceName(dataDir: string): string {
  return createHash("sha256").update(dataDir).digest("hex").slice(0, 12);
}

/** A file that a dependency brings for this platform, wherever npm has put it. */
export function bundled(path: string): string | undefined {
  const file = join(PACKAGE_ROOT, "node_modules", path);
  return existsSync(file) ? file : undefined;
}
