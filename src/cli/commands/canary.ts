import { hostname, userInfo } from "node:os";
import { canaryFacts, canaryLine, readCanary } from "../canary-view.ts";
import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { functionName, functionPath } from "../names.ts";
import { formatFacts, formatTable } from "../table.ts";
import { formatInstant } from "../units.ts";
import { Fields } from "../wire.ts";
import type { ProjectOptions } from "./releases.ts";
import { projectPath } from "./releases.ts";

export interface CanaryCommandOptions extends ProjectOptions {
  readonly promote?: boolean;
  readonly abort?: boolean;
}

/** Shows the latest canary of a function, or of a project, and those before it, or ends it. */
export async function canary(
  command: Command,
  name: string | undefined,
  options: CanaryCommandOptions,
): Promise<void> {
  const { output, client } = command;
  const { promote, abort, project } = options;
  if (promote && abort) throw usageError("--promote and --abort: end it one way");
  if (name !== undefined && project !== undefined) {
    throw usageError(`${name} is a function and --project ${project} a project: name one of them`);
  }
  const action = promote ? "promote" : abort ? "abort" : undefined;
  const subject = name === undefined ? await projectPath(command, options) : functionPath(functionName(name));
  const path = `${subject}/canary${action ? `/${action}` : ""}`;
  const api = await client();
  const body = name === undefined ? { by: `${userInfo().username}@${hostname()}` } : {};
  const answer = action ? await api.json("POST", path, { body }) : await api.json("GET", path);
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const fields = new Fields("answer", answer);
  const latest = readCanary(fields.value("canary"));
  if (action) {
    const live =
      name === undefined
        ? `release ${fields.label("liveRelease")}`
        : `version ${fields.value("liveVersion") === undefined ? "$LATEST" : fields.label("liveVersion")}`;
    const whose = name ?? decodeURIComponent(subject.slice(subject.lastIndexOf("/") + 1));
    await output.write(`${whose}: ${canaryLine(latest)}; ${live} is live\n`);
    return;
  }
  await output.write(formatFacts(canaryFacts(latest)));
  const earlier = fields.list("earlier").map(readCanary);
  if (earlier.length === 0) return;
  await output.write(
    `\n${formatTable(
      ["EARLIER", "ENDED", "STATE", "REASON"],
      earlier.map((view) => [
        view.what,
        view.endedAt === undefined ? "" : formatInstant(view.endedAt),
        view.state,
        view.reason ?? "",
      ]),
    )}`,
  );
}
