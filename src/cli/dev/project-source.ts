import { join, relative, resolve, sep } from "node:path";
import type { DeployOptions } from "../commands/deploy.ts";
import { readEnvironment } from "../environment.ts";
import type { Host } from "../host.ts";
import { projectOptions } from "../project/deploy-options.ts";
import { buildSettings } from "../project/function-source.ts";
import { type Project, readProject } from "../project/read-project.ts";
import { besidesOrder, functionOrder, given } from "../project/release-order.ts";
import {
  type DevFunction,
  type DevSource,
  ENV_FILE,
  parseEnvFile,
  readEnvFile,
  watchedFolder,
} from "./dev-source.ts";

/** A folder with a lambda.yaml, which is read again at every change. */
export async function openProjectSource(
  root: string,
  options: DeployOptions,
  host: Pick<Host, "workingDir" | "env">,
): Promise<DevSource> {
  const { environment, envFile } = projectOptions(options);
  const read = async (): Promise<{ readonly project: Project; readonly variables: Variables }> => {
    const files = await readEnvironment(envFile, [], host.workingDir);
    const variables = { ...(await parseEnvFile(join(root, ENV_FILE))), ...host.env, ...files };
    return { project: await readProject(root, environment, variables), variables };
  };
  const { project } = await read();
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
      const { project, variables } = await read();
      const { functions } = project.sections;
      const remarks: string[] = [];
      return {
        functions: await Promise.all(
          Object.keys(functions).map((name) => functionOf(project, name, variables, remarks)),
        ),
        besides: besidesOrder(project),
        remarks,
      };
    },
  };
}

type Variables = Readonly<Record<string, string | undefined>>;

/** What lambda.yaml says goes before what `.env` says. */
async function functionOf(
  project: Project,
  name: string,
  variables: Variables,
  remarks: string[],
): Promise<DevFunction> {
  const section = project.sections.functions[name] ?? {};
  const folder = section.image === undefined ? resolve(project.folder, section.path ?? name) : project.folder;
  const { environment, ...config } = functionOrder(project, section, variables);
  const files = new Set([join(project.folder, ENV_FILE), join(folder, ENV_FILE)]);
  const merged: Record<string, string> = {};
  for (const file of files) Object.assign(merged, await readEnvFile(file, remarks));
  return {
    name,
    folder,
    build: given(buildSettings(name, section)),
    config,
    environment: { ...merged, ...Object(environment) },
  };
}
