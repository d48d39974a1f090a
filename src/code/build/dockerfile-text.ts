/**
 * A Dockerfile as far as it is read before its build: instructions with their words, parser directives, what heredocs hold
 * left out (https://docs.docker.com/reference/dockerfile/). Whether it is right is for the builder to say.
 */
export interface Instruction {
  /** In capitals. */
  readonly keyword: string;
  /** Flags at its beginning, `--mount=type=cache` and the like. */
  readonly flags: readonly string[];
  /** What follows the flags. */
  readonly rest: string;
  /** Where it begins, from 1. */
  readonly line: number;
  readonly hasHeredoc: boolean;
}

const DIRECTIVE = /^#\s*([A-Za-z]+)\s*=\s*(\S.*?)\s*$/;
const HEREDOC = /<<-?\s*(["']?)([A-Za-z_][A-Za-z0-9_]*)\1/g;
const TAKES_HEREDOC = new Set(["RUN", "COPY", "ADD"]);

export function readInstructions(dockerfile: string): readonly Instruction[] {
  const lines = dockerfile.replace(/^\uFEFF/, "").split(/\r?\n/);
  const continued = escapeOf(lines) === "`" ? /`[ \t]*$/ : /\\[ \t]*$/;
  const found: Instruction[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    const line = at + 1;
    if (isNothing(lines[at])) continue;
    let text = lines[at] ?? "";
    while (continued.test(text) && at + 1 < lines.length) {
      at += 1;
      // Comments and empty lines in between do not end it.
      if (!isNothing(lines[at])) text = `${text.replace(continued, " ")}${lines[at]}`;
    }
    const [, keyword = "", words = ""] = /^\s*(\S+)\s*(.*?)\s*$/s.exec(text.replace(continued, "")) ?? [];
    const delimiters = TAKES_HEREDOC.has(keyword.toUpperCase())
      ? [...words.matchAll(HEREDOC)].map((match) => match[2])
      : [];
    for (const delimiter of delimiters) {
      while (at + 1 < lines.length && lines[at + 1]?.trim() !== delimiter) at += 1;
      at += 1;
    }
    found.push({
      keyword: keyword.toUpperCase(),
      ...flagsOf(words),
      line,
      hasHeredoc: delimiters.length > 0,
    });
  }
  return found;
}

function isNothing(line: string | undefined): boolean {
  return /^\s*(#.*)?$/.test(line ?? "");
}

/** Directives are comments that come before all else. */
function escapeOf(lines: readonly string[]): string {
  for (const line of lines) {
    const [, name, value] = DIRECTIVE.exec(line) ?? [];
    if (name === undefined) break;
    if (name.toLowerCase() === "escape") return value ?? "\\";
  }
  return "\\";
}

function flagsOf(words: string): { readonly flags: readonly string[]; readonly rest: string } {
  const flags: string[] = [];
  let rest = words;
  for (let match = /^(--\S+)\s*/.exec(rest); match; match = /^(--\S+)\s*/.exec(rest)) {
    flags.push(match[1] ?? "");
    rest = rest.slice(match[0].length);
  }
  return { flags, rest };
}
