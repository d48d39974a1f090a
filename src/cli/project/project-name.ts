import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseDocument } from "yaml";
import { CliError } from "../cli-error.ts";
import { isCode, messageOf } from "../settings.ts";

export const PROJECT_FILE = "lambda.yaml";

/** The name alone, for commands that ask about the project of a folder. Undefined if there is no lambda.yaml. */
export async function findProjectName(folder: string): Promise<string | undefined> {
  const text = await readFile(join(folder, PROJECT_FILE), "utf8").catch((error: unknown) => {
    if (isCode(error, "ENOENT") || isCode(error, "ENOTDIR")) return undefined;
    throw CliError.local("FileUnusable", `cannot read ${join(folder, PROJECT_FILE)}: ${messageOf(error)}`);
  });
  if (text === undefined) return undefined;
  const name = parseDocument(text).get("project");
  if (typeof name === "string") return name;
  throw CliError.local(
    "ConfigurationInvalid",
    `${PROJECT_FILE} in ${basename(folder)} does not say "project: NAME"`,
  );
}
