import { FUNCTION_NAME_RULE, parseFunctionName } from "../core/ids.ts";
import { usageError } from "./cli-error.ts";

/** A function and how a call or a command picks one of its versions: `NAME`, `NAME:7`, `NAME:prod`. */
export interface QualifiedName {
  readonly name: string;
  readonly qualifier: string | undefined;
}

/** Checked here as well, since names become parts of paths. @throws CliError `Usage` */
export function functionName(text: string): string {
  if (parseFunctionName(text) !== undefined) return text;
  throw usageError(`function name ${JSON.stringify(text)}: expected ${FUNCTION_NAME_RULE}`);
}

/** @throws CliError `Usage` */
export function qualifiedName(text: string): QualifiedName {
  const colon = text.indexOf(":");
  if (colon === -1) return { name: functionName(text), qualifier: undefined };
  const qualifier = text.slice(colon + 1);
  if (qualifier === "") throw usageError(`${text}: expected a version or an alias after the colon`);
  return { name: functionName(text.slice(0, colon)), qualifier };
}

/** A UUID, also where somebody has put `inv_` before it to say what it is. */
export function invocationId(text: string): string {
  return text.replace(/^inv_/i, "");
}

/** A function name made of a file or folder name. @throws CliError `Usage` if nothing of it is usable. */
export function nameFromPath(base: string): string {
  const name = base
    .replace(/[^A-Za-z0-9_-]+/g, "-")
    .replace(/^[-_]+|[-_]+$/g, "")
    .slice(0, 64);
  if (parseFunctionName(name) !== undefined) return name;
  throw usageError(`${JSON.stringify(base)} cannot be made a function name`, "name it with --name");
}

/** Where the control API has a function. */
export function functionPath(name: string, rest = ""): string {
  return `/v1/functions/${encodeURIComponent(name)}${rest}`;
}
