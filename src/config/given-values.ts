/** What is said in flags, in the environment and in the configuration file: texts, each with where it came from. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import type * as Yaml from "yaml";
import { sourceUrl } from "../core/source-url.ts";
import { CONFIG_KEYS, environmentName } from "./config-keys.ts";

/** Where a value came from is part of it, so that a complaint can name the place. */
export interface Given {
  readonly text: string;
  readonly from: string;
}

export type Values = Readonly<Record<string, Given>>;

export function readFlags(
  argv: readonly string[],
  problems: string[],
): Record<string, Given> & { help?: Given; version?: Given } {
  const options: Record<string, { type: "string" | "boolean" }> = {
    help: { type: "boolean" },
    version: { type: "boolean" },
  };
  for (const key of CONFIG_KEYS) options[key.name] = { type: key.kind === "switch" ? "boolean" : "string" };
  try {
    const { values } = parseArgs({ args: [...argv], options, strict: true, allowPositionals: false });
    return Object.fromEntries(
      Object.entries(values).map(([name, value]) => [name, { text: String(value), from: `--${name}` }]),
    );
  } catch (error) {
    problems.push(`${error instanceof Error ? error.message : error} (see lambdad --help)`);
    return {};
  }
}

export function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  problems: string[],
): Values {
  const values: Record<string, Given> = {};
  const known = new Map<string, string>(CONFIG_KEYS.map((key) => [environmentName(key.name), key.name]));
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith("LAMBDAD_") || text === undefined) continue;
    const name = known.get(variable);
    if (name) values[name] = { text, from: variable };
    else if (!OUR_OWN_VARIABLES.has(variable)) {
      problems.push(`${variable}: no such setting; known are ${[...known.keys()].join(", ")}`);
    }
  }
  return values;
}

/** Set by our own start scripts for their children; no settings. */
const OUR_OWN_VARIABLES: ReadonlySet<string> = new Set(["LAMBDAD_FAULT", "LAMBDAD_WRAPPED"]);

export function readFile(path: Given | undefined, problems: string[]): { readonly values: Values } {
  if (!path) return { values: {} };
  let text: string;
  try {
    text = readFileSync(path.text, "utf8");
  } catch (error) {
    problems.push(
      `${path.from}: cannot read "${path.text}": ${error instanceof Error ? error.message : error}`,
    );
    return { values: {} };
  }
  return { values: parseFile(text, path.text, problems) };
}

/** One flat map; a list counts as its parts with commas between. */
function parseFile(text: string, file: string, problems: string[]): Values {
  // Loaded here, not at the top: most starts have no file, and every start is waited for.
  const { isMap, isScalar, isSeq, LineCounter, parseDocument } = createRequire(sourceUrl(""))(
    "yaml",
  ) as typeof Yaml;
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => `${file}:${lines.linePos(offset).line}`;
  for (const error of document.errors) problems.push(`${at(error.pos[0])}: ${error.message}`);
  const values: Record<string, Given> = {};
  if (document.errors.length > 0 || document.contents === null) return values;
  if (!isMap(document.contents)) {
    problems.push(`${file}: expected one "key: value" a line`);
    return values;
  }
  for (const { key, value } of document.contents.items) {
    if (!isScalar(key)) continue;
    const from = at(key.range?.[0] ?? 0);
    const name = String(key.value).replaceAll("_", "-");
    const parts = isSeq(value) ? value.items : [value];
    const texts = parts.flatMap((part) => (isScalar(part) ? [part.source ?? String(part.value)] : []));
    if (!CONFIG_KEYS.some((key) => key.name === name && key.name !== "config")) {
      problems.push(`${from}: no such setting "${key.value}"; known are ${fileKeys()}`);
    } else if (texts.length !== parts.length) {
      problems.push(`${from}: expected a plain value for "${key.value}"`);
    } else {
      values[name] = { text: texts.join(","), from };
    }
  }
  return values;
}

function fileKeys(): string {
  return CONFIG_KEYS.filter((key) => key.name !== "config")
    .map((key) => key.name)
    .join(", ");
}
