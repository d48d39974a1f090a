import { access, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { parse, stringify } from "yaml";
import { isRecord } from "../../core/is-record.ts";
import { CliError, usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import type { Draft } from "../import/draft.ts";
import { INTRINSIC_TAGS } from "../import/intrinsics.ts";
import { importOpenFaas, isOpenFaas } from "../import/openfaas.ts";
import { importSam, isSam } from "../import/sam.ts";
import { importServerless, isServerless } from "../import/serverless.ts";
import { PROJECT_FILE } from "../project/project-name.ts";
import { isCode, messageOf } from "../settings.ts";
import { plural } from "../units.ts";

export interface ImportOptions {
  readonly print?: boolean;
}

const USUAL_NAMES = [
  "template.yaml",
  "template.yml",
  "serverless.yml",
  "serverless.yaml",
  "stack.yaml",
  "stack.yml",
];

/** Writes a lambda.yaml beside what it was made of, and says what is not in it. */
export async function importProject(
  { host, output }: Command,
  given: string | undefined,
  options: ImportOptions,
): Promise<void> {
  const file = given === undefined ? await findFile(host.workingDir) : resolve(host.workingDir, given);
  const draft = readDraft(file, await readText(file));
  const names = Object.keys(draft.functions);
  if (names.length === 0) throw usageError(`${basename(file)} has no function`);
  const text = stringify(draft.document());
  const target = join(dirname(file), PROJECT_FILE);
  if (!options.print) await writeNew(target, text);
  if (output.isJson) {
    await output.json({
      file: options.print ? undefined : target,
      document: draft.document(),
      notes: draft.notes,
    });
    return;
  }
  if (options.print) await output.write(text);
  else await output.write(`made ${PROJECT_FILE} of ${basename(file)}: ${plural(names.length, "function")}\n`);
  if (draft.notes.length > 0) output.note("not taken over, or to be looked at:", "yellow");
  for (const note of draft.notes) output.note(`  ${note}`);
  if (!options.print) output.note("next: lambda deploy --dry-run");
}

function readDraft(file: string, text: string): Draft {
  let content: unknown;
  try {
    content = parse(text, { customTags: INTRINSIC_TAGS, logLevel: "error" });
  } catch (error) {
    throw CliError.local("FileUnusable", `${basename(file)}: ${messageOf(error)}`);
  }
  if (isRecord(content)) {
    const folder = basename(dirname(file));
    if (isSam(content)) return importSam(content, folder);
    if (isServerless(content)) return importServerless(content);
    if (isOpenFaas(content)) return importOpenFaas(content, folder);
  }
  throw usageError(
    `${basename(file)} is none of what can be imported`,
    "expected a SAM template, a serverless.yml or a stack.yaml of OpenFaaS",
  );
}

async function findFile(folder: string): Promise<string> {
  for (const name of USUAL_NAMES) {
    const file = join(folder, name);
    const isThere = await access(file).then(
      () => true,
      () => false,
    );
    if (isThere) return file;
  }
  throw usageError(
    `there is nothing to import here: looked for ${USUAL_NAMES.join(", ")}`,
    "lambda import FILE",
  );
}

async function readText(file: string): Promise<string> {
  return readFile(file, "utf8").catch((error: unknown) => {
    throw CliError.local("FileUnusable", `cannot read ${file}: ${messageOf(error)}`);
  });
}

/** Nothing is ever overwritten. */
async function writeNew(file: string, text: string): Promise<void> {
  await writeFile(file, text, { flag: "wx" }).catch((error: unknown) => {
    if (isCode(error, "EEXIST"))
      throw usageError(`${file} is there already: nothing was written`, "--print shows what would be in it");
    throw CliError.local("FileUnusable", `cannot write ${file}: ${messageOf(error)}`);
  });
}
