import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Document, isMap, isPair, isScalar, LineCounter, type Node, parseDocument } from "yaml";
import { isRecord } from "../../core/is-record.ts";
import { CliError, usageError } from "../cli-error.ts";
import { nearest } from "../nearest.ts";
import { messageOf } from "../settings.ts";
import { checkAliases } from "./alias-checks.ts";
import { crossCheck } from "./cross-check.ts";
import { interpolate } from "./interpolate.ts";
import { PROJECT_FILE } from "./project-name.ts";
import { keysAt, ProjectFile, type ProjectSections } from "./project-schema.ts";
import { type Problem, problemsOf } from "./schema-problems.ts";

/** A project as its file says it, with the overrides of an environment. */
export interface Project {
  readonly folder: string;
  /** `prod` of `--env prod`. */
  readonly environmentName: string | undefined;
  readonly sections: ProjectSections;
  /** What secrets are looked up in: as given, and what was asked for besides. */
  readonly variables: Variables;
  /** `lambda.yaml:12:5` */
  place(path: readonly PropertyKey[]): string;
}

export type Variables = Readonly<Record<string, string | undefined>>;

/** All that is wrong, each with its line, so that it is mended in one go. */
class Problems {
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #found = new Map<string, { readonly line: number; readonly col: number }>();

  constructor(file: string, lines: LineCounter) {
    this.#file = file;
    this.#lines = lines;
  }

  add(offset: number | undefined, message: string): void {
    const { line, col } = this.#lines.linePos(offset ?? 0);
    this.#found.set(`${this.place(offset)}: ${message}`, { line, col });
  }

  place(offset: number | undefined): string {
    const { line, col } = this.#lines.linePos(offset ?? 0);
    return `${this.#file}:${line}:${col}`;
  }

  /** @throws CliError `ConfigurationInvalid` */
  throwIfAny(): void {
    if (this.#found.size === 0) return;
    const sorted = [...this.#found].sort(([, a], [, b]) => a.line - b.line || a.col - b.col);
    throw CliError.local("ConfigurationInvalid", sorted.map(([text]) => text).join("\n"));
  }
}

/**
 * Reads `lambda.yaml` in a folder. `variables` are what `${env:NAME}` and secrets are looked up in. If nothing else is
 * wrong, `ask` is asked for secrets that are not set; undefined leaves one missing.
 *
 * @throws CliError `ConfigurationInvalid` with a line for each problem: `lambda.yaml:12:5: …`.
 */
export async function readProject(
  folder: string,
  environmentName: string | undefined,
  variables: Variables,
  ask?: (secret: string, path: readonly PropertyKey[]) => Promise<string | undefined>,
): Promise<Project> {
  const file = join(folder, PROJECT_FILE);
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw CliError.local("FileUnusable", `cannot read ${file}: ${messageOf(error)}`);
  });
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problems = new Problems(PROJECT_FILE, lines);
  for (const { pos, message } of document.errors) problems.add(pos[0], message);
  problems.throwIfAny();
  const root = document.contents;
  if (!isMap(root)) {
    problems.add(0, 'expected "project:" and "functions:"; docs/projects.md has an example');
    problems.throwIfAny();
  }
  checkAliases(document, (at, message) => problems.add(at.range?.[0], message));
  problems.throwIfAny();

  const environments = document.get("environments");
  const overlay =
    environmentName === undefined ? undefined : document.getIn(["environments", environmentName]);
  if (environmentName !== undefined && !isMap(overlay)) {
    const known = isMap(environments) ? environments.items.map(({ key }) => String(key)) : [];
    const guess = nearest(environmentName, known);
    throw usageError(
      `--env ${environmentName}: ${PROJECT_FILE} has ${known.length === 0 ? "no environments" : `the environments ${known.join(", ")}`}`,
      guess === undefined ? undefined : `did you mean --env ${guess}?`,
    );
  }
  const missing = (name: string, at: Node) =>
    problems.add(
      at.range?.[0],
      `\${env:${name}}: ${name} is not set; set it, or give a default: \${env:${name}:-value}`,
    );
  const malformed = (message: string, at: Node) => problems.add(at.range?.[0], message);
  if (isMap(root)) {
    for (const { key, value } of root.items) {
      if (String(key) !== "environments") interpolate(value, variables, missing, malformed);
    }
  }
  interpolate(overlay, variables, missing, malformed);

  const whole = plainOf(document, problems);
  const { environments: overrides, ...base } = Object(whole);
  const merged = merge(base, environmentName === undefined ? {} : Object(overrides)[environmentName]);
  const place = (path: readonly PropertyKey[], isKey: boolean) => {
    const inOverlay = environmentName === undefined ? undefined : offsetOf(overlay, path, isKey);
    return inOverlay ?? offsetOf(root, path, isKey);
  };
  const result = ProjectFile.safeParse(merged);
  const report = ({ path, message, isKey }: Problem) => problems.add(place(path, isKey), message);
  if (!result.success) for (const issue of result.error.issues) problemsOf(issue, merged, keysAt).map(report);
  const crossed = result.success ? [...crossCheck(result.data, variables)] : [];
  const mayAsk = crossed.every(({ secret }) => secret !== undefined);
  const asked: Record<string, string> = {};
  for (const problem of crossed) {
    const { secret, path } = problem;
    const value =
      secret === undefined || !mayAsk ? undefined : (asked[secret] ?? (await ask?.(secret, path)));
    if (secret === undefined || value === undefined) report(problem);
    else asked[secret] = value;
  }
  problems.throwIfAny();
  if (!result.success) throw CliError.local("ConfigurationInvalid", `${file} cannot be understood`);
  return {
    folder,
    environmentName,
    sections: result.data,
    variables: { ...variables, ...asked },
    place: (path) => problems.place(place(path, false)),
  };
}

/** Aliases may stand for more than anybody meant. */
function plainOf(document: Pick<Document, "toJS">, problems: Problems): unknown {
  try {
    return document.toJS();
  } catch (error) {
    problems.add(0, messageOf(error));
    problems.throwIfAny();
    return undefined;
  }
}

/** Maps are merged, all else is replaced, and null takes away. */
function merge(base: unknown, over: unknown): unknown {
  if (!isRecord(base) || !isRecord(over)) return over === undefined ? base : over;
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    if (value === null) delete merged[key];
    else merged[key] = merge(base[key], value);
  }
  return merged;
}

/** Where a path is in the file: the key, or what it stands for; as far as it goes. */
function offsetOf(from: unknown, path: readonly PropertyKey[], isKey: boolean): number | undefined {
  let offset: number | undefined;
  let at = from;
  for (const [index, key] of path.entries()) {
    const isLast = index === path.length - 1;
    if (isMap(at)) {
      const pair = at.items.find((item) => isPair(item) && String(item.key) === String(key));
      if (!pair) return index === 0 ? undefined : offset;
      const wanted = isLast && !isKey && isScalar(pair.value) ? pair.value : pair.key;
      offset = rangeOf(wanted) ?? rangeOf(pair.key) ?? offset;
      at = pair.value;
      continue;
    }
    const item =
      typeof key === "number" && at !== null && typeof at === "object" && "items" in at
        ? Object(at).items[key]
        : undefined;
    offset = rangeOf(item) ?? offset;
    at = item;
  }
  return offset;
}

function rangeOf(node: unknown): number | undefined {
  const range: unknown = Object(node).range;
  return Array.isArray(range) && typeof range[0] === "number" ? range[0] : undefined;
}
