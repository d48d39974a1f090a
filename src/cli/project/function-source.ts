import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import type { SecretSource } from "../build-inputs.ts";
import { CliError } from "../cli-error.ts";
import type { CallOptions } from "../client.ts";
import { packageFolder } from "../package-folder.ts";
import { isCode, messageOf } from "../settings.ts";
import { plural } from "../units.ts";
import { splitWords } from "../words.ts";
import { hashInputs } from "./content-hash.ts";
import type { FunctionSections } from "./project-schema.ts";

/** What a function of a project is built of. */
export interface FunctionSource {
  readonly name: string;
  /** See `hashInputs`. */
  readonly inputs: string;
  /** `2 files` */
  readonly detail: string;
  /** What the server is told with the upload (docs/api.md). */
  readonly options: Readonly<Record<string, unknown>>;
  /** Those of its build, sent apart. */
  readonly secrets: readonly SecretSource[];
  open(): Promise<NonNullable<CallOptions["upload"]>>;
}

/** @throws CliError `FileUnusable`, `Usage` naming the function. */
export async function openFunctionSource(
  folder: string,
  name: string,
  section: FunctionSections,
): Promise<FunctionSource> {
  const settings = buildSettings(name, section);
  const secrets = secretsOf(section);
  // Not what is in them: a token that was renewed makes no other image.
  const decisive =
    secrets.length === 0 ? settings : { ...settings, buildSecrets: secrets.map(({ id }) => id) };
  if (section.image !== undefined) {
    const inputs = await hashInputs([], settings);
    return {
      ...{ name, inputs, detail: section.image, options: settings, secrets },
      open: async () => new Uint8Array(),
    };
  }
  const given = section.path ?? name;
  const path = resolve(folder, given);
  const facts = await stat(path).catch((error: unknown) => {
    const reason = isCode(error, "ENOENT") ? `there is no ${given}` : messageOf(error);
    throw CliError.local(
      "FileUnusable",
      `function ${name}: ${reason}`,
      `its code is in the folder of its name, or where "path:" says`,
    );
  });
  if (facts.isDirectory()) {
    const packaged = await packageFolder(path);
    const inputs = await hashInputs(packaged.files, decisive);
    return {
      name,
      inputs,
      detail: plural(packaged.files.length, "file"),
      options: settings,
      secrets,
      open: packaged.openZip,
    };
  }
  const file = {
    path: basename(path),
    source: path,
    bytes: facts.size,
    isExecutable: (facts.mode & 0o111) !== 0,
  };
  const { createReadStream } = await import("node:fs");
  return {
    name,
    inputs: await hashInputs([file], decisive),
    detail: file.path,
    options: { ...settings, fileName: file.path },
    secrets,
    open: async () => createReadStream(path),
  };
}

export function secretsOf({ buildSecrets = {} }: FunctionSections): SecretSource[] {
  return Object.entries(buildSecrets).map(([id, from]) => ({ id, ...from }));
}

/** What decides how code is made runnable; docs/api.md has the members. */
export function buildSettings(name: string, section: FunctionSections): Readonly<Record<string, unknown>> {
  const { command } = section;
  return {
    runtime: section.runtime,
    kind: section.kind,
    handler: section.handler,
    module: section.module,
    command: typeof command === "string" ? splitWords(`functions.${name}.command`, command) : command,
    package: section.package,
    allowScripts: section.allowScripts,
    build: section.build,
    ...(section.buildArgs && { buildArgs: section.buildArgs }),
    image: section.image,
  };
}
