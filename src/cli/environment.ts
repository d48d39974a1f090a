import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { parseEnv } from "node:util";
import { CliError, usageError } from "./cli-error.ts";
import { messageOf } from "./settings.ts";

/**
 * Variables of files and options together; options win over files, later ones over earlier ones.
 *
 * @throws CliError `Usage` for what is no pair, `FileUnusable`.
 */
export async function readEnvironment(
  files: readonly string[],
  pairs: readonly string[],
  workingDir: string,
): Promise<Record<string, string>> {
  const environment: Record<string, string> = {};
  for (const file of files) {
    const path = resolve(workingDir, file);
    const text = await readFile(path, "utf8").catch((error: unknown) => {
      throw CliError.local("FileUnusable", `--env-file: cannot read ${path}: ${messageOf(error)}`);
    });
    for (const [name, value] of Object.entries(parseEnv(text))) {
      const [, checked] = parsePair(`--env-file ${file}`, `${name}=${value ?? ""}`);
      environment[name] = checked;
    }
  }
  for (const pair of pairs) {
    const [name, value] = parsePair("-e", pair);
    environment[name] = value;
  }
  return environment;
}

/** @throws CliError `Usage` naming the option; a value is not repeated, since it may be a secret. */
export function parsePair(option: string, pair: string): readonly [name: string, value: string] {
  const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]*)=([\s\S]*)$/.exec(pair) ?? [];
  if (name !== undefined && value !== undefined) return [name, value];
  throw usageError(
    `${option}: expected KEY=VALUE, where KEY is letters, digits and _, got ${JSON.stringify(pair.split("=")[0])}${pair.includes("=") ? "=…" : ""}`,
  );
}
