import { hostname, userInfo } from "node:os";
import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { functionName, functionPath } from "../names.ts";
import { differenceText, readShadow, shadowFacts, shadowLine } from "../shadow-view.ts";
import { formatFacts } from "../table.ts";
import { Fields } from "../wire.ts";
import type { ProjectOptions } from "./releases.ts";
import { projectPath } from "./releases.ts";

export interface ShadowCommandOptions extends ProjectOptions {
  readonly stop?: boolean;
}

/** Shows the latest shadow of a function, or of a project, and how its answers differ; or stops it. */
export async function shadow(
  command: Command,
  name: string | undefined,
  options: ShadowCommandOptions,
): Promise<void> {
  const { output, client } = command;
  const { stop, project } = options;
  if (name !== undefined && project !== undefined) {
    throw usageError(`${name} is a function and --project ${project} a project: name one of them`);
  }
  const subject = name === undefined ? await projectPath(command, options) : functionPath(functionName(name));
  const api = await client();
  const body = name === undefined ? { by: `${userInfo().username}@${hostname()}` } : {};
  const answer = stop
    ? await api.json("POST", `${subject}/shadow/stop`, { body })
    : await api.json("GET", `${subject}/shadow`);
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const view = readShadow(new Fields("answer", answer).value("shadow"));
  if (stop) {
    const whose = name ?? decodeURIComponent(subject.slice(subject.lastIndexOf("/") + 1));
    await output.write(`${whose}: ${shadowLine(view)}\n`);
    return;
  }
  await output.write(formatFacts(shadowFacts(view)));
  for (const difference of view.differences) await output.write(`\n${differenceText(difference)}`);
}
