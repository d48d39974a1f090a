import { EXIT } from "../cli-error.ts";
import type { Command } from "../command.ts";
import type { Check } from "../doctor/check.ts";
import { checkDocker, dockerSocket } from "../doctor/docker.ts";
import { checkGit } from "../doctor/git.ts";
import { checkIsolation } from "../doctor/isolation.ts";
import { checkLanguages } from "../doctor/languages.ts";
import { checkDataDir, checkDisk, checkNode, checkPort } from "../doctor/machine.ts";
import { checkServer } from "../doctor/server.ts";
import type { Output, Style } from "../output.ts";
import { dataDirs } from "../settings.ts";
import { visible } from "../visible.ts";

const STYLES: Readonly<Record<Check["status"], Style>> = {
  ok: "green",
  weak: "yellow",
  missing: "red",
  absent: "dim",
};

/** Works without a daemon, since what keeps one from running is what is looked for. */
export async function runDoctor(command: Command): Promise<void> {
  const { host, output } = command;
  const { signal } = host;
  const env = { ...host.env };
  const [dataDir = ""] = dataDirs(host);
  const gateway = { ...address(env.LAMBDAD_GATEWAY, 8080), healthPath: "/_health", flag: "--gateway" };
  const control = { ...address(env.LAMBDAD_CONTROL, 8081), healthPath: "/health", flag: "--control" };
  const checks = [
    checkNode(process.version, process.execPath),
    ...(await checkIsolation({ env, isRoot: host.isRoot, signal })),
    ...(await Promise.all([
      checkDocker({ env, socketPath: dockerSocket(env), signal }),
      checkGit({ env, signal }),
      checkLanguages({ env, signal }),
      checkDisk(dataDir),
      checkDataDir(dataDir),
      checkPort("Gateway port", gateway, signal),
      checkPort("Control port", control, signal),
    ])),
    ...(await checkServer(() => command.client())),
  ];
  signal.throwIfAborted();
  const isFit = checks.every((check) => check.status !== "missing");
  if (output.isJson) await output.json({ isFit, checks });
  else await output.write(formatChecks(checks, output) + verdict(checks, isFit));
  if (!isFit) command.finish(EXIT.functionFailed);
}

/** Where a daemon that is started from here would listen. */
function address(
  setting: string | undefined,
  port: number,
): { readonly host: string; readonly port: number } {
  const [, host, given] = /^\[?([^\]]*?)\]?:(\d{1,5})$/.exec(setting ?? "") ?? [];
  return { host: host || "127.0.0.1", port: given === undefined ? port : Number(given) };
}

function formatChecks(checks: readonly Check[], output: Output): string {
  const width = Math.max(...checks.map((check) => check.name.length)) + 3;
  return checks
    .map((check) => {
      const mark = output.paint(STYLES[check.status], check.status.padEnd(10));
      const line = `${mark}${check.name.padEnd(width)}${visible(check.found)}\n`;
      return check.remedy === undefined
        ? line
        : `${line}${" ".repeat(10 + width)}→ ${visible(check.remedy)}\n`;
    })
    .join("");
}

function verdict(checks: readonly Check[], isFit: boolean): string {
  if (!isFit) return "\nFunctions cannot run here as they should: mend what is missing, from the top.\n";
  const isWeak = checks.some((check) => check.status === "weak");
  return isWeak
    ? "\nFunctions can run here; what is weak is worth mending.\n"
    : "\nFunctions can run here.\n";
}
