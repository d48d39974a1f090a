import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { CliError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import {
  CONFIG_KEYS,
  type ConfigKey,
  configPath,
  isCode,
  messageOf,
  readConfigFile,
  type Settings,
} from "../settings.ts";
import { formatTable } from "../table.ts";

export interface OriginOptions {
  readonly showOrigin?: boolean;
}

export async function listConfig({ output, settings }: Command, options: OriginOptions): Promise<void> {
  const current = await settings();
  const rows = CONFIG_KEYS.map((key) => ({ key, value: shown(key, current), origin: current[key].origin }));
  if (output.isJson) {
    await output.json({ file: current.file, settings: rows });
    return;
  }
  await output.write(
    options.showOrigin
      ? formatTable(
          ["KEY", "VALUE", "ORIGIN"],
          rows.map((row) => [row.key, row.value, row.origin]),
        )
      : formatTable(
          ["KEY", "VALUE"],
          rows.map((row) => [row.key, row.value]),
        ),
  );
}

export async function getConfig({ output, settings }: Command, key: ConfigKey): Promise<void> {
  const setting = (await settings())[key];
  if (setting.value === undefined) throw CliError.local("KeyMissing", `no key: looked in ${setting.origin}`);
  if (output.isJson) await output.json({ key, ...setting });
  else await output.write(`${setting.value}\n`);
}

export async function setConfig(command: Command, key: ConfigKey, value: string): Promise<void> {
  return edit(command, `set ${key}`, (document) => document.set(key, value));
}

export async function unsetConfig(command: Command, key: ConfigKey): Promise<void> {
  return edit(command, `unset ${key}`, (document) => document.delete(key));
}

/** The secret half of a key stays unsaid: lists are shown to other people. */
function shown(key: ConfigKey, settings: Settings): string {
  const { value } = settings[key];
  if (value === undefined) return "(none)";
  return key === "key" ? `${value.split(".")[0]}.…` : value;
}

/** Keeps comments and order of the file. It may hold a key, so only its owner may read it. */
async function edit(
  { host, output, useConfig }: Command,
  what: string,
  change: (document: { set(key: string, value: unknown): void; delete(key: string): boolean }) => unknown,
): Promise<void> {
  const path = configPath(host, useConfig);
  // Says what is wrong with a file that cannot be understood before it is changed.
  await readConfigFile(path);
  const { parseDocument } = await import("yaml");
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (isCode(error, "ENOENT")) return "";
    throw error;
  });
  const document = parseDocument(text);
  change(document);
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const fresh = `${path}.${process.pid}.new`;
    await writeFile(fresh, document.toString(), { mode: 0o600, flag: "wx" });
    await rename(fresh, path);
  } catch (error) {
    throw CliError.local("FileUnusable", `cannot write ${path}: ${messageOf(error)}`);
  }
  if (output.isJson) await output.json({ file: path });
  else output.note(`${what} in ${path}`);
}
