import { hostname, userInfo } from "node:os";
import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { sayHookNews } from "../project/hook-news.ts";
import { findProjectName } from "../project/project-name.ts";
import {
  differenceLines,
  differenceSummary,
  readDifference,
  readRelease,
  releaseFacts,
  releaseTable,
} from "../project/release-view.ts";
import { countOption } from "../units.ts";
import { Fields } from "../wire.ts";

const LAST_DEFAULT = 20;

/** Which project a command is about. */
export interface ProjectOptions {
  readonly project?: string;
  readonly to?: string;
}

export interface ReleaseListOptions extends ProjectOptions {
  readonly last?: string;
}

export async function listReleases(command: Command, options: ReleaseListOptions): Promise<void> {
  const { output, client } = command;
  const limit = options.last === undefined ? LAST_DEFAULT : countOption("--last", options.last, 1);
  const path = await projectPath(command, options);
  const answer = await (await client()).json("GET", `${path}/releases`, { query: { limit } });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  await output.write(releaseTable(new Fields("releases", answer).list("releases").map(readRelease)));
}

export async function showRelease(command: Command, number: string, options: ProjectOptions): Promise<void> {
  const { output, client } = command;
  const path = await projectPath(command, options);
  const answer = await (await client()).json("GET", `${path}/releases/${releaseNumber(number)}`);
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const fields = new Fields("release", answer);
  const release = readRelease(answer);
  const environment = Object.fromEntries(
    release.functions.map(({ name }) => [
      name,
      (fields.object("environment").value(name) === undefined
        ? []
        : fields.object("environment").list(name)
      ).map(String),
    ]),
  );
  const difference = readDifference(fields.value("difference"));
  await output.write(releaseFacts(release, environment));
  await output.write(`changed ${differenceSummary(difference)}\n${differenceLines(difference)}`);
}

export async function compareReleases(
  command: Command,
  from: string,
  to: string,
  options: ProjectOptions,
): Promise<void> {
  const { output, client } = command;
  const path = await projectPath(command, options);
  const numbers = [releaseNumber(from), releaseNumber(to)];
  const answer = await (await client()).json("GET", `${path}/releases/${numbers[0]}/compare/${numbers[1]}`);
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const lines = differenceLines(readDifference(new Fields("comparison", answer).value("difference")));
  await output.write(lines === "" ? `releases ${numbers.join(" and ")} have the same\n` : lines);
}

export async function promoteRelease(
  command: Command,
  number: string,
  options: ProjectOptions,
): Promise<void> {
  await switchTo(command, releaseNumber(number), options);
}

/** Without a number to the release before the live one. */
export async function rollBackProject(command: Command, options: ProjectOptions): Promise<void> {
  await switchTo(command, options.to === undefined ? undefined : countOption("--to", options.to, 1), options);
}

async function switchTo(command: Command, to: number | undefined, options: ProjectOptions): Promise<void> {
  const { output, client } = command;
  const path = await projectPath(command, options);
  const body = { ...(to !== undefined && { to }), by: `${userInfo().username}@${hostname()}` };
  const answer = await (await client()).json("POST", `${path}/switch`, { body });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const fields = new Fields("switch", answer);
  const from = fields.optionalNumber("from");
  const before = from === undefined ? "nothing was live before" : `was ${from}`;
  await output.write(
    `${fields.object("release").text("project")}: release ${fields.number("to")} is live (${before})\n`,
  );
  await sayHookNews(output, fields.list("hooks"));
}

/** @throws CliError `Usage` if neither an option nor the folder names a project. */
export async function projectPath({ host }: Command, { project }: ProjectOptions): Promise<string> {
  const name = project ?? (await findProjectName(host.workingDir));
  if (name !== undefined) return `/v1/projects/${encodeURIComponent(name)}`;
  throw usageError(
    "which project? There is no lambda.yaml in this folder",
    "name it with --project, or go to its folder; lambda rollback NAME and lambda canary NAME are for a single function",
  );
}

function releaseNumber(text: string): number {
  return countOption("release", text, 1);
}
