import { join, relative, resolve, sep } from "node:path";
import { readSecrets } from "../build-inputs.ts";
import type { DeployOptions } from "../deploy-options.ts";
import { readEnvironment } from "../environment.ts";
import type { Host } from "../host.ts";
import { projectOptions } from "../project/deploy-options.ts";
import { buildSettings, secretsOf } from "../project/function-source.ts";
import { type Project, readProject } from "../project/read-project.ts";
import { besidesOrder, functionOrder, given } from "../project/release-order.ts";
import type { DevFunction, DevSource } from "./dev-function.ts";
import { ENV_FILE, parseEnvFile, readEnvFile } from "./env-file.ts";
import { watchedFolder } from "./function-folder.ts";

export interface DevProjectOptions extends DeployOptions {
  /** Whether its queues are read. */
  readonly sources?: boolean;
}

/** A folder with a lambda.yaml, which is read again at every change. */
export async function openProjectSource(
  root: string,
  options: DevProjectOptions,
  host: Pick<Host, "workingDir" | "env">,
): Promise<DevSource> {
  const { sources: readsSources = false, ...others } = options;
  const { environment, envFile } = projectOptions(others);
  // What is not read needs no secrets.
  const ask = async (_secret: string, [section]: readonly PropertyKey[]) =>
    section === "sources" && !readsSources ? "" : undefined;
  const read = async (): Promise<DevProject> => {
    const files = await readEnvironment(envFile, [], host.workingDir);
    const variables = { ...(await parseEnvFile(join(root, ENV_FILE))), ...host.env, ...files };
    return developed(await readProject(root, environment, variables, ask), readsSources);
  };
  const project = await read();
  const inner: string[] = [];
  const outer = new Set<string>();
  for (const [name, { path = name, image }] of Object.entries(project.sections.functions)) {
    const below = relative(root, resolve(root, path)).split(sep).join("/");
    if (image !== undefined) continue;
    if (below === ".." || below.startsWith("../")) outer.add(resolve(root, path));
    else inner.push(below);
  }
  const watched = [await watchedFolder(root, inner)];
  for (const dir of outer) watched.push(await watchedFolder(dir, [""]));
  return {
    project: project.sections.project,
    root,
    watched,
    async read() {
      const project = await read();
      const { functions } = project.sections;
      const remarks = project.unread.map(
        (name) => `source ${name} is not read here; lambda dev --sources reads it`,
      );
      return {
        functions: await Promise.all(
          Object.keys(functions).map((name) => functionOf(project, name, remarks)),
        ),
        besides: besidesOrder(project),
        remarks,
      };
    },
  };
}

interface DevProject extends Project {
  /** Names of sources that are left out. */
  readonly unread: readonly string[];
}

/**
 * The project as it is developed. Queues are left to those who work on them, unless told otherwise, and a hook whose
 * secret is not set gets one.
 */
function developed(project: Project, readsSources: boolean): DevProject {
  const { sections, variables } = project;
  const { sources, hooks = {}, ...rest } = sections;
  const withSecrets = Object.entries(hooks).map(([name, { secret, ...hook }]) => [
    name,
    secret === undefined || variables[secret] === undefined ? hook : { ...hook, secret },
  ]);
  return {
    ...project,
    unread: readsSources ? [] : Object.keys(sources ?? {}),
    sections: {
      ...rest,
      hooks: Object.fromEntries(withSecrets),
      ...(readsSources && sources && { sources }),
    },
  };
}

/** What lambda.yaml says goes before what `.env` says. */
async function functionOf(project: Project, name: string, remarks: string[]): Promise<DevFunction> {
  const section = project.sections.functions[name] ?? {};
  const folder = section.image === undefined ? resolve(project.folder, section.path ?? name) : project.folder;
  const { environment, ...config } = functionOrder(project, section);
  const files = new Set([join(project.folder, ENV_FILE), join(folder, ENV_FILE)]);
  const merged: Record<string, string> = {};
  for (const file of files) Object.assign(merged, await readEnvFile(file, remarks));
  return {
    name,
    folder,
    build: given(buildSettings(name, section)),
    buildSecrets: await readSecrets(secretsOf(section), project.folder, project.variables),
    config,
    environment: { ...merged, ...Object(environment) },
  };
}
