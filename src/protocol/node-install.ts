/**
 * Brings the Node that a runtime's name says: the package `node-linux-ARCH` of the npm registry, which carries the official
 * binary, at the newest version of that line. npm checks the archive against the registry's hash; install scripts do not run.
 */
import { execFile } from "node:child_process";
import { access, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { PlatformError } from "../core/errors.ts";

export interface NodeInstall {
  /** A folder of its own for each runtime that was installed. */
  readonly dir: string;
  /** For npm: PATH, proxies, the registry. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Our own runtime runs on these. */
const LINES: ReadonlySet<string> = new Set(["nodejs20.x", "nodejs22.x", "nodejs24.x", "nodejs26.x"]);
const INSTALL_MS_MAX = 5 * 60_000;
const PACKAGE = `node-linux-${process.arch}`;

/** Where the binary of an installed runtime is; undefined if it was not installed. */
export async function installedNode(dir: string | undefined, runtime: string): Promise<string | undefined> {
  if (dir === undefined || !LINES.has(runtime)) return undefined;
  const path = join(dir, runtime, "node_modules", PACKAGE, "bin", "node");
  return access(path).then(
    () => path,
    () => undefined,
  );
}

/** Puts it in place in one step, over one that is there. @throws PlatformError `InvalidRequest`, `RuntimeUnavailable`. */
export async function installNode({ dir, environment }: NodeInstall, runtime: string): Promise<void> {
  if (!LINES.has(runtime)) {
    throw new PlatformError(
      "InvalidRequest",
      `${runtime} cannot be installed from the npm registry: expected one of ${[...LINES].join(", ")}`,
    );
  }
  const major = /\d+/.exec(runtime)?.[0] ?? "";
  await mkdir(dir, { recursive: true, mode: 0o755 });
  const staging = await mkdtemp(join(dir, ".new-"));
  try {
    const flags = ["--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--loglevel=error"];
    await promisify(execFile)("npm", ["install", "--prefix", staging, ...flags, `${PACKAGE}@${major}`], {
      env: { ...environment },
      timeout: INSTALL_MS_MAX,
    });
    await rm(join(dir, runtime), { recursive: true, force: true });
    await rename(staging, join(dir, runtime));
  } catch (cause) {
    const said = cause instanceof Error ? cause.message.trim().slice(0, 500) : String(cause);
    throw new PlatformError("RuntimeUnavailable", `cannot install ${PACKAGE}@${major} with npm: ${said}`, {
      cause,
    });
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}
