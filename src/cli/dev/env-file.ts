import { readFile } from "node:fs/promises";
import { parseEnv } from "node:util";
import { isReservedVariable } from "../../core/reserved-variables.ts";
import { CliError } from "../cli-error.ts";
import { isCode, messageOf } from "../settings.ts";

export const ENV_FILE = ".env";

/** What of `.env` is for a function: Node's own grammar of such files (util.parseEnv), without what the platform sets itself, which is said. */
export async function readEnvFile(file: string, remarks: string[]): Promise<Record<string, string>> {
  const environment: Record<string, string> = {};
  const left: string[] = [];
  for (const [name, value] of Object.entries(await parseEnvFile(file))) {
    if (isReservedVariable(name) || !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) left.push(name);
    else environment[name] = value ?? "";
  }
  if (left.length > 0)
    remarks.push(
      `${ENV_FILE}: ${left.join(", ")} left out: the platform sets ${left.length === 1 ? "it" : "them"} itself, or the name cannot be one`,
    );
  return environment;
}

/** All of such a file; nothing if there is none. @throws CliError `FileUnusable` */
export async function parseEnvFile(file: string): Promise<Readonly<Record<string, string | undefined>>> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    if (isCode(error, "ENOENT") || isCode(error, "ENOTDIR")) return "";
    throw CliError.local("FileUnusable", `cannot read ${file}: ${messageOf(error)}`);
  });
  return parseEnv(text);
}
