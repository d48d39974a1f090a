import { readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { buildEnvironment } from "../../code/build/tool.ts";
import { detectEntry } from "../../code/detect.ts";
import { checkSources, parsersOnPath } from "../../code/syntax.ts";
import { parseProjectName } from "../../core/project.ts";
import { usageError } from "../cli-error.ts";
import { readDeploySettings } from "../commands/deploy.ts";
import type { DeployOptions } from "../deploy-options.ts";
import type { Host } from "../host.ts";
import { functionName, nameFromPath } from "../names.ts";
import { PROJECT_FILE } from "../project/project-name.ts";
import { messageOf } from "../settings.ts";
import type { DevFunction, DevReading, DevSource } from "./dev-function.ts";
import { ENV_FILE, readEnvFile } from "./env-file.ts";
import { detect, isFile, PYTHON_HERE, watchedFolder } from "./function-folder.ts";
import type { DevProjectOptions } from "./project-source.ts";

/** Said of one function, so of no use to several. */
const OF_ONE: readonly (keyof DeployOptions)[] = [
  "name",
  "handler",
  "module",
  "command",
  "kind",
  "protocol",
  "runtime",
];

/**
 * A folder that is a function, or one whose folders are functions.
 *
 * @throws CliError `Usage` if there is none, with what was looked for
 */
export async function openDevSource(
  path: string,
  options: DevProjectOptions,
  host: Pick<Host, "workingDir" | "env" | "signal">,
): Promise<DevSource> {
  const { workingDir } = host;
  const root = resolve(workingDir, path);
  const facts = await stat(root).catch(() => undefined);
  if (!facts) throw usageError(`there is no ${path}`, "lambda init FOLDER makes a function to start from");
  if (!facts.isDirectory()) throw usageError(`${path} is a file: lambda dev takes the folder that it is in`);
  if (await isFile(join(root, PROJECT_FILE))) {
    const { openProjectSource } = await import("./project-source.ts");
    return await openProjectSource(root, options, host);
  }
  if (options.sources === true)
    throw usageError(`--sources: there is no ${PROJECT_FILE} in ${path}, which would name queues`);
  const { env: _env, envFile: _envFile, ...unchanging } = options;
  const settings = await readDeploySettings(unchanging, workingDir);
  const reader = new Reader(root, settings, options, workingDir);
  const found = await findFunctions(root, settings, host);
  if (found.kind === "one") {
    const name = options.name === undefined ? nameFromPath(basename(root)) : functionName(options.name);
    return {
      project: projectName(root),
      root,
      watched: [await watchedFolder(root, [""])],
      read: async () => await reader.read([{ name, folder: root }]),
    };
  }
  const said = OF_ONE.filter((option) => options[option] !== undefined);
  if (said[0] !== undefined)
    throw usageError(
      `--${said[0]} is said of one function, and ${path} has several`,
      `lambda dev ${join(path, found.names[0] ?? "")} --${said[0]} …`,
    );
  const known = new Set(found.names);
  return {
    project: projectName(root),
    root,
    watched: [await watchedFolder(root, found.names)],
    async read() {
      for (const name of await functionFolders(root)) known.add(name);
      const folders: { name: string; folder: string }[] = [];
      for (const name of known) {
        const folder = join(root, name);
        // One that vanished for a moment is the caller's to judge.
        if ((await stat(folder).catch(() => undefined))?.isDirectory())
          folders.push({ name: nameFromPath(name), folder });
      }
      return await reader.read(folders);
    },
  };
}

/** Variables and settings of functions. */
class Reader {
  readonly #root: string;
  readonly #build: Readonly<Record<string, unknown>>;
  readonly #config: Readonly<Record<string, unknown>>;
  readonly #options: DeployOptions;
  readonly #workingDir: string;

  constructor(
    root: string,
    settings: Readonly<Record<string, unknown>>,
    options: DeployOptions,
    workingDir: string,
  ) {
    this.#root = root;
    const isOfBuild = ([name]: readonly [string, unknown]) => BUILD_SETTINGS.has(name);
    this.#build = Object.fromEntries(Object.entries(settings).filter(isOfBuild));
    this.#config = Object.fromEntries(Object.entries(settings).filter((entry) => !isOfBuild(entry)));
    this.#options = options;
    this.#workingDir = workingDir;
  }

  async read(folders: readonly { readonly name: string; readonly folder: string }[]): Promise<DevReading> {
    const remarks: string[] = [];
    const given = await readDeploySettings({ build: true, ...pick(this.#options) }, this.#workingDir);
    const { environment: said = {} } = given;
    const functions: DevFunction[] = [];
    for (const { name, folder } of folders) {
      const files = [...new Set([join(this.#root, ENV_FILE), join(folder, ENV_FILE)])];
      const environment: Record<string, string> = {};
      for (const file of files) Object.assign(environment, await readEnvFile(file, remarks));
      functions.push({
        name,
        folder,
        build: this.#build,
        buildSecrets: new Map(),
        config: this.#config,
        environment: { ...environment, ...textsOf(said) },
      });
    }
    return { functions, besides: {}, remarks };
  }
}

/** The members of docs/api.md that a build takes. */
const BUILD_SETTINGS: ReadonlySet<string> = new Set([
  "runtime",
  "kind",
  "handler",
  "module",
  "command",
  "package",
  "build",
  "allowScripts",
]);

function pick({ env, envFile }: DeployOptions): Pick<DeployOptions, "env" | "envFile"> {
  return { ...(env && { env }), ...(envFile && { envFile }) };
}

function textsOf(value: unknown): Record<string, string> {
  const pairs = Object.entries(typeof value === "object" && value !== null ? value : {});
  return Object.fromEntries(pairs.map(([name, text]) => [name, String(text)]));
}

type Found =
  | { readonly kind: "one"; readonly names: readonly [] }
  | { readonly kind: "several"; readonly names: readonly string[] };

/**
 * What was said is believed. A folder with a program in it may be one that only helps: folders that are functions go before
 * it.
 */
async function findFunctions(
  root: string,
  settings: Readonly<Record<string, unknown>>,
  host: Pick<Host, "env" | "signal">,
): Promise<Found> {
  if (["handler", "module", "command", "package"].some((name) => settings[name] !== undefined))
    return { kind: "one", names: [] };
  const own = await detect(root);
  if (own && own.kind !== "filter") return { kind: "one", names: [] };
  const names = await functionFolders(root);
  if (names.length > 0) return { kind: "several", names };
  if (own) return { kind: "one", names: [] };
  const reason = await detectEntry(root, PYTHON_HERE).then(
    () => "no function found",
    (error: unknown) => messageOf(error),
  );
  // Nothing else may hide it, so that this is what there is to mend.
  await checkSources(parsersOnPath(buildEnvironment(host.env), undefined), root, host).catch(
    (error: unknown) => {
      throw usageError(`${root}: ${messageOf(error)}`);
    },
  );
  throw usageError(
    `${root}: ${reason}; no folder in it is a function either`,
    "lambda init FOLDER makes one",
  );
}

/** Names of folders that are functions, sorted. */
async function functionFolders(root: string): Promise<readonly string[]> {
  const names: string[] = [];
  for (const entry of await readdir(root, { withFileTypes: true }).catch(() => [])) {
    if (!entry.isDirectory() || /^\.|^node_modules$|^__pycache__$|^venv$/.test(entry.name)) continue;
    if (await detect(join(root, entry.name))) names.push(entry.name);
  }
  return names.sort();
}

function projectName(root: string): string {
  const name = basename(root)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 40)
    .replace(/-+$/, "");
  return parseProjectName(name) ?? "dev";
}
