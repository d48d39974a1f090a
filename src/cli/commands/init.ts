import { constants, copyFile, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { parseProjectName } from "../../core/project.ts";
import { CliError, usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { question } from "../confirm.ts";
import { isCode, messageOf } from "../settings.ts";
import {
  furtherFiles,
  isTemplateName,
  listTemplates,
  type TemplateName,
  templateFolder,
} from "../templates.ts";
import { plural } from "../units.ts";

export interface InitOptions {
  readonly template?: TemplateName;
  readonly list?: boolean;
}

const TEMPLATE_DEFAULT: TemplateName = "nodejs";
const PROJECT_FILE = "lambda.yaml";

/** Copies a template into a new or empty folder; nothing is ever overwritten. */
export async function initFolder(
  command: Command,
  folder: string | undefined,
  options: InitOptions,
): Promise<void> {
  const { host, output } = command;
  if (options.list) {
    await showTemplates(command);
    return;
  }
  if (folder === undefined)
    throw usageError(
      "name the folder to make",
      "lambda init hello --template python; lambda init --list shows the templates",
    );
  const target = resolve(host.workingDir, folder);
  await refuseUsedFolder(target, folder);
  const template = options.template ?? (await askForTemplate(command));
  const files: string[] = [];
  try {
    await copyFolder(templateFolder(template), target, "", files);
    for (const file of furtherFiles(template)) {
      await copyFile(file, join(target, basename(file)), constants.COPYFILE_EXCL);
      files.push(basename(file));
    }
    if (files.includes(PROJECT_FILE)) await nameProject(join(target, PROJECT_FILE), basename(target));
  } catch (error) {
    throw CliError.local("FileUnusable", `cannot write ${target}: ${messageOf(error)}`);
  }
  const shown = folder === "." ? "" : ` ${/^[\w./-]+$/.test(folder) ? folder : JSON.stringify(folder)}`;
  if (output.isJson) {
    await output.json({ folder: target, template, files });
    return;
  }
  await output.write(`made ${basename(target)} from template ${template}: ${plural(files.length, "file")}\n`);
  output.note(`next: lambda dev${shown}, or lambda deploy${shown}`);
}

async function showTemplates({ output }: Command): Promise<void> {
  const templates = listTemplates();
  if (output.isJson) {
    await output.json({ templates });
    return;
  }
  const width = Math.max(...templates.map(({ name }) => name.length));
  for (const { name, about } of templates)
    await output.write(`${output.paint("bold", name.padEnd(width))}  ${about}\n`);
}

/** Asks where somebody can answer; nobody is kept waiting elsewhere. */
async function askForTemplate(command: Command): Promise<TemplateName> {
  const { host, output } = command;
  if (!host.stdin.isTTY || !host.stderr.isTTY || output.isJson) return TEMPLATE_DEFAULT;
  const templates = listTemplates();
  for (const [index, { name, about }] of templates.entries())
    output.note(`${String(index + 1).padStart(3)}  ${name.padEnd(14)}  ${about}`);
  const asked = (await question(command, `template [${TEMPLATE_DEFAULT}]: `)).trim();
  if (asked === "") return TEMPLATE_DEFAULT;
  const name = /^\d+$/.test(asked) ? templates[Number(asked) - 1]?.name : asked;
  if (name !== undefined && isTemplateName(name)) return name;
  throw usageError(`there is no template ${JSON.stringify(asked)}`, "lambda init --list shows them");
}

/** A project is called like its folder, as far as it can be; and so is the host of its routes. */
async function nameProject(file: string, folder: string): Promise<void> {
  const name = parseProjectName(
    folder
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, ""),
  );
  if (name === undefined) return;
  const text = await readFile(file, "utf8");
  await writeFile(
    file,
    text.replace(/^project: .*$/m, `project: ${name}`).replace("host: shop.", `host: ${name}.`),
  );
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
