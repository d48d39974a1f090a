import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { functionName, functionPath } from "../names.ts";
import { formatTable } from "../table.ts";
import { type AliasView, Fields, readAlias } from "../wire.ts";

export interface AliasOptions {
  readonly split?: string;
  readonly description?: string;
}

export async function listAliases({ output, client }: Command, name: string): Promise<void> {
  const answer = await (await client()).json("GET", functionPath(functionName(name), "/aliases"));
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const aliases = new Fields("aliases", answer).list("aliases").map(readAlias);
  if (aliases.length === 0) {
    output.note(`${name} has no aliases: lambda alias set ${name} prod 1 makes one`);
    return;
  }
  await output.write(
    formatTable(
      ["ALIAS", "VERSION", "DESCRIPTION"],
      aliases.map((alias) => [alias.name, formatTarget(alias), alias.description]),
    ),
  );
}

export async function setAlias(
  { output, client }: Command,
  name: string,
  aliasName: string,
  version: string,
  options: AliasOptions,
): Promise<void> {
  const body = {
    version: versionLabel(version),
    ...(options.description !== undefined && { description: options.description }),
    ...(options.split !== undefined && { split: parseSplit(options.split) }),
  };
  const answer = await (await client()).json("PUT", aliasPath(name, aliasName), { body });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const alias = readAlias(answer);
  await output.write(`${name}:${alias.name} is version ${formatTarget(alias)}\n`);
}

export async function deleteAlias(
  { output, client }: Command,
  name: string,
  aliasName: string,
): Promise<void> {
  await (await client()).json("DELETE", aliasPath(name, aliasName));
  if (output.isJson) await output.json({ deleted: `${name}:${aliasName}` });
  else output.note(`deleted ${name}:${aliasName}`);
}

function aliasPath(name: string, aliasName: string): string {
  // What could change the path is refused here; the server has the last word on names.
  if (!/^[A-Za-z0-9_-]{1,128}$/.test(aliasName) || /^\d+$/.test(aliasName)) {
    throw usageError(
      `alias ${JSON.stringify(aliasName)}: expected 1 to 128 characters of A-Z, a-z, 0-9, - and _, not only digits`,
    );
  }
  return functionPath(functionName(name), `/aliases/${aliasName}`);
}

function versionLabel(text: string): string {
  if (/^[1-9]\d{0,14}$/.test(text) || text === "$LATEST") return text;
  throw usageError(`version ${JSON.stringify(text)}: expected a number from 1 up, or $LATEST`);
}

/** `3=0.1` and `3=10%` are the same. */
function parseSplit(text: string): { version: string; weight: number } {
  const [, version, amount, percent] = /^(\d+)=(\d*\.?\d+)(%?)$/.exec(text) ?? [];
  const weight = Number(amount) / (percent ? 100 : 1);
  if (version !== undefined && weight >= 0 && weight <= 1) return { version: versionLabel(version), weight };
  throw usageError(`--split: expected VERSION=SHARE like 3=0.1 or 3=10%, got ${JSON.stringify(text)}`);
}

function formatTarget({ version, split }: AliasView): string {
  return split === undefined
    ? version
    : `${version}, ${Number((split.weight * 100).toFixed(2))}% to ${split.version}`;
}
