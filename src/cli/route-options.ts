/** What `lambda route add` and `update` send, of their options. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { CliError, usageError } from "./cli-error.ts";
import type { Command } from "./command.ts";
import { qualifiedName } from "./names.ts";
import { messageOf } from "./settings.ts";
import { countOption } from "./units.ts";

export interface RouteOptions {
  readonly host?: string;
  readonly function?: string;
  readonly async?: boolean;
  readonly stripPrefix?: string | false;
  readonly stageVariable?: readonly string[];
  readonly respond?: string;
  readonly header?: readonly string[];
  readonly body?: string;
  readonly description?: string;
}

/** The members that were given. @throws CliError `Usage`, `FileUnusable` */
export async function routeBody(
  command: Command,
  options: Omit<RouteOptions, "host">,
): Promise<Record<string, unknown>> {
  const { stripPrefix, stageVariable, description } = options;
  return {
    ...functionMembers(options.function),
    ...(options.async !== undefined && { async: options.async }),
    ...(stripPrefix !== undefined && { stripPrefix: stripPrefix === false ? null : stripPrefix }),
    ...(stageVariable !== undefined && { stageVariables: pairs("--stage-variable", stageVariable, "=") }),
    ...(await responseMember(command, options)),
    ...(description !== undefined && { description }),
  };
}

function functionMembers(text: string | undefined): Record<string, unknown> {
  if (text === undefined) return {};
  const { name, qualifier } = qualifiedName(text);
  return { function: name, qualifier: qualifier ?? null };
}

async function responseMember(
  command: Command,
  { respond, header, body }: RouteOptions,
): Promise<Record<string, unknown>> {
  if (respond === undefined) {
    if (header !== undefined) throw usageError("--header: only with --respond");
    if (body !== undefined) throw usageError("--body: only with --respond");
    return {};
  }
  return {
    response: {
      status: countOption("--respond", respond, 200),
      ...(header !== undefined && { headers: pairs("--header", header, ":") }),
      ...(body !== undefined && { body: await textOption(command, "--body", body) }),
    },
  };
}

/** `NAME=VALUE`, or `Name: value` as curl has it. */
function pairs(option: string, texts: readonly string[], divider: "=" | ":"): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf(divider);
      if (at > 0) return [text.slice(0, at).trim(), text.slice(at + 1).trim()];
      const expected = divider === "=" ? "NAME=VALUE" : '"Name: value"';
      throw usageError(`${option}: expected ${expected}, got ${JSON.stringify(text)}`);
    }),
  );
}

/** Text, or `@file`. */
async function textOption({ host }: Command, option: string, text: string): Promise<string> {
  if (!text.startsWith("@")) return text;
  const file = resolve(host.workingDir, text.slice(1));
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw CliError.local("FileUnusable", `${option}: cannot read ${file}: ${messageOf(error)}`);
  }
}
