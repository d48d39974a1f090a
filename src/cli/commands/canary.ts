import { canaryFacts, canaryLine, readCanary } from "../canary-view.ts";
import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { functionName, functionPath } from "../names.ts";
import { formatFacts, formatTable } from "../table.ts";
import { formatInstant } from "../units.ts";
import { Fields } from "../wire.ts";

export interface CanaryCommandOptions {
  readonly promote?: boolean;
  readonly abort?: boolean;
}

/** Shows the latest canary of a function and those before it, or ends it. */
export async function canary(
  { output, client }: Command,
  name: string,
  { promote, abort }: CanaryCommandOptions,
): Promise<void> {
  if (promote && abort) throw usageError("--promote and --abort: end it one way");
  const action = promote ? "promote" : abort ? "abort" : undefined;
  const path = functionPath(functionName(name), action ? `/canary/${action}` : "/canary");
  const api = await client();
  const answer = action ? await api.json("POST", path, { body: {} }) : await api.json("GET", path);
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const fields = new Fields("answer", answer);
  const latest = readCanary(fields.value("canary"));
  if (action) {
    const live = fields.value("liveVersion") === undefined ? "$LATEST" : fields.label("liveVersion");
    await output.write(`${name}: ${canaryLine(latest)}; version ${live} is live\n`);
    return;
  }
  await output.write(formatFacts(canaryFacts(latest)));
  const earlier = fields.list("earlier").map(readCanary);
  if (earlier.length === 0) return;
  await output.write(
    `\n${formatTable(
      ["EARLIER", "ENDED", "STATE", "REASON"],
      earlier.map((view) => [
        `version ${view.version}`,
        view.endedAt === undefined ? "" : formatInstant(view.endedAt),
        view.state,
        view.reason ?? "",
      ]),
    )}`,
  );
}
