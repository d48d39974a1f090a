import { canaryLine, readCanary } from "../canary-view.ts";
import type { Command } from "../command.ts";
import { functionName, functionPath } from "../names.ts";
import { recordingLine } from "../recording-view.ts";
import { readShadow, shadowLine } from "../shadow-view.ts";
import { formatFacts } from "../table.ts";
import { formatBytes, formatInstant, formatSpan } from "../units.ts";
import { type FunctionView, readFunction } from "../wire.ts";

export async function showInfo({ output, client }: Command, name: string): Promise<void> {
  const path = functionPath(functionName(name));
  const answer = await (await client()).json("GET", path);
  if (output.isJson) await output.json(answer);
  else await output.write(formatFunction(readFunction(answer)));
}

/** Environment values stay unsaid: people show this to each other. */
function formatFunction(view: FunctionView): string {
  const { config, code, instances } = view;
  const variables = Object.keys(config.environment);
  return formatFacts([
    ["Name", view.name],
    ["URL", view.url],
    [
      "Live version",
      view.liveVersion === undefined ? "none ($LATEST was changed since)" : String(view.liveVersion),
    ],
    ["Shadow", view.shadow === undefined ? undefined : shadowLine(readShadow(view.shadow))],
    ["Canary", view.canary === undefined ? undefined : canaryLine(readCanary(view.canary))],
    ["Recorded", recordingLine(view.recording)],
    ["Versions", String(view.versions)],
    ["Aliases", view.aliases.map((alias) => `${alias.name} → ${alias.version}`).join(", ")],
    ["Runtime", config.runtime],
    ["Kind", config.kind],
    ["Runs", config.entry],
    ["Description", config.description],
    ["Memory", `${config.memoryMib} MiB`],
    ["CPUs", config.cpus === undefined ? undefined : String(config.cpus)],
    ["Timeout", formatSpan(config.timeoutMs)],
    ["/tmp", `${config.tmpMib} MiB`],
    ["Network", config.network],
    ["Slots", `${config.slotsPerInstance} per instance`],
    ["Most calls at once", view.concurrencyMax === undefined ? undefined : String(view.concurrencyMax)],
    ["Environment", variables.length === 0 ? undefined : variables.join(", ")],
    ["Code", `${formatBytes(code.archiveBytes)} packed, ${formatBytes(code.treeBytes)} unpacked`],
    ["Code SHA-256", code.archiveSha256],
    ["Created", formatInstant(view.createdAt)],
    ["Changed", formatInstant(view.modifiedAt)],
    [
      "Instances",
      `${instances.idle} idle, ${instances.busy} busy${instances.starting > 0 ? `, ${instances.starting} starting` : ""}`,
    ],
  ]);
}
