import { constants, copyFile, mkdir, readdir, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { CliError, usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { isCode, messageOf } from "../settings.ts";
import { type TemplateName, templateFolder } from "../templates.ts";
import { plural } from "../units.ts";

export interface InitOptions {
  readonly template: TemplateName;
}

/** Copies a template into a new or empty folder; nothing is ever overwritten. */
export async function initFolder(
  { host, output }: Command,
  folder: string,
  options: InitOptions,
): Promise<void> {
  const target = resolve(host.workingDir, folder);
  await refuseUsedFolder(target, folder);
  const files: string[] = [];
  try {
    await copyFolder(templateFolder(options.template), target, "", files);
  } catch (error) {
    throw CliError.local("FileUnusable", `cannot write ${target}: ${messageOf(error)}`);
  }
  const shown = folder === "." ? "" : ` ${/^[\w./-]+$/.test(folder) ? folder : JSON.stringify(folder)}`;
  if (output.isJson) {
    await output.json({ folder: target, template: options.template, files });
    return;
  }
  await output.write(
    `made ${basename(target)} from template ${options.template}: ${plural(files.length, "file")}\n`,
  );
  output.note(`next: lambda deploy${shown}`);
}

async function refuseUsedFolder(target: string, given: string): Promise<void> {
  const names = await readdir(target).catch((error: unknown) => {
    if (isCode(error, "ENOENT")) return [];
    if (isCode(error, "ENOTDIR"))
      throw usageError(`${given} is a file`, "name a folder that does not exist yet");
    throw CliError.local("FileUnusable", `cannot read ${target}: ${messageOf(error)}`);
  });
  if (names.length > 0) {
    throw usageError(
      `${given} is not empty (it has ${JSON.stringify(names[0])}): nothing was written`,
      "name a folder that does not exist yet",
    );
  }
}

async function copyFolder(from: string, to: string, prefix: string, files: string[]): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of (await readdir(from)).sort()) {
    const source = join(from, name);
    if ((await stat(source)).isDirectory()) {
      await copyFolder(source, join(to, name), `${prefix}${name}/`, files);
    } else {
      await copyFile(source, join(to, name), constants.COPYFILE_EXCL);
      files.push(prefix + name);
    }
  }
}
