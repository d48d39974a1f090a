import { existsSync, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { BundleParts } from "../../bundle/executable.ts";
import { isPlatformError } from "../../core/errors.ts";
import { sourceUrl } from "../../core/source-url.ts";
import { CliError, usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { packageVersion } from "../package-version.ts";
import { formatBytes, formatSpan } from "../units.ts";

export interface BundleOptions {
  readonly out?: string;
  readonly module?: string;
  readonly dockerfile?: boolean;
}

/** Node makes executables by itself since 25.5, and from ES modules. */
const NODE_MAJOR_MIN = 26;

/** Makes one executable of a lifecycle module, on this machine alone: no server is asked. */
export async function bundle(
  command: Command,
  path: string | undefined,
  options: BundleOptions,
): Promise<void> {
  const { host, output } = command;
  if (process.platform !== "linux")
    throw usageError(
      `lambda bundle makes executables for Linux, and this is ${process.platform}`,
      "run it on Linux",
    );
  const startedAt = performance.now();
  const given = path ?? ".";
  const [{ findLifecycleSource }, { makeExecutable }, { buildEnvironment }, { parsersOnPath }] =
    await Promise.all([
      import("../../bundle/lifecycle-source.ts"),
      import("../../bundle/executable.ts"),
      import("../../code/build/tool.ts"),
      import("../../code/syntax.ts"),
    ]);
  const parts = await bundleParts(buildEnvironment(host.env));
  const parsers = parsersOnPath(parts.environment, parts.esbuild);
  try {
    const place = resolve(host.workingDir, given);
    const source = await findLifecycleSource(place, options.module, parsers, host);
    const file = resolve(host.workingDir, options.out ?? source.name);
    await refuseFolder(file, options.out ?? source.name);
    const work = { signal: host.signal, builtAt: buildTime(host.env.SOURCE_DATE_EPOCH) };
    const made = await makeExecutable(parts, source, file, work);
    const image = options.dockerfile
      ? await (await import("../../bundle/image-folder.ts")).writeImageFolder(file, `${file}.image`, work)
      : undefined;
    if (output.isJson) {
      const { name, version, module } = source;
      await output.json({
        name,
        version,
        module: join(source.dir, module),
        ...made,
        ...(image && { image }),
      });
      return;
    }
    const shown = shownPath(host.workingDir, file);
    await output.write(
      `made ${shown}: ${source.name} ${source.version}, build ${made.build}, ${formatBytes(made.bytes)} in ${formatSpan(performance.now() - startedAt)}\n`,
    );
    if (image === undefined) {
      output.note(`next: ${shown} -port 8080`);
      return;
    }
    const folder = shownPath(host.workingDir, image.folder);
    await output.write(
      `made ${folder}: ${formatBytes(image.bytes)}, of which executable ${formatBytes(image.executableBytes)}, ` +
        `${image.libraries} libraries ${formatBytes(image.libraryBytes)}, certificates ${formatBytes(image.certificateBytes)}\n`,
    );
    output.note(`next: docker build -t ${basename(file).toLowerCase()} ${folder}`);
  } catch (error) {
    if (isPlatformError(error)) throw CliError.fromServer(undefined, error.code, error.message);
    throw error;
  }
}

async function bundleParts(environment: BundleParts["environment"]): Promise<BundleParts> {
  const node = findNode();
  if (node === undefined)
    throw CliError.local(
      "FileUnusable",
      `lambda bundle needs Node ${NODE_MAJOR_MIN}, this is ${process.version}`,
      "run npm install again without --omit=optional, which brings one along",
    );
  return {
    node,
    esbuild: findInPackages(`@esbuild/${process.platform}-${process.arch}/bin/esbuild`),
    runtimesDir: fileURLToPath(sourceUrl("../runtimes")),
    environment,
    version: await packageVersion(),
  };
}

function findNode(): BundleParts["node"] | undefined {
  if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN)
    return { path: process.execPath, version: process.version };
  const path = findInPackages(`node-${process.platform}-${process.arch}/bin/node`);
  if (path === undefined) return undefined;
  const about = readFileSync(join(dirname(path), "../package.json"), "utf8");
  return { path, version: `v${/"version": *"([^"]+)"/.exec(about)?.[1] ?? NODE_MAJOR_MIN}` };
}

/** A file of a package that npm has put below this one, or beside it. */
function findInPackages(path: string): string | undefined {
  const root = fileURLToPath(sourceUrl("../"));
  return [join(root, "node_modules", path), join(dirname(root), path)].find((file) => existsSync(file));
}

/** https://reproducible-builds.org/specs/source-date-epoch/ */
function buildTime(epoch: string | undefined): Date {
  return epoch !== undefined && /^\d{1,10}$/.test(epoch) ? new Date(Number(epoch) * 1_000) : new Date();
}

async function refuseFolder(file: string, given: string): Promise<void> {
  const parent = await stat(dirname(file)).catch(() => undefined);
  if (!parent?.isDirectory())
    throw usageError(`there is no folder ${dirname(file)}`, "make it first, or choose another --out");
  const there = await stat(file).catch(() => undefined);
  if (there !== undefined && !there.isFile())
    throw usageError(
      `${given} is a folder`,
      `give the executable another name: --out ${given.replace(/\/$/, "")}.run`,
    );
}

function shownPath(workingDir: string, file: string): string {
  const path = relative(workingDir, file);
  if (path.startsWith("..")) return file;
  return `./${path}`;
}
