import { type Instruction, readInstructions } from "./dockerfile-text.ts";

const FLAGS: Readonly<Record<string, RegExp>> = {
  RUN: /^--(?:mount|network|security|device)\b/,
  COPY: /^--(?:link|chmod|parents|exclude)\b/,
  ADD: /^--(?:link|chmod|checksum|keep-git-dir|exclude|unpack)\b/,
};
const SHOWN_MAX = 60;

/**
 * What of a Dockerfile an engine's classic builder does not know, in words with the line; undefined if nothing. A line
 * `# syntax=` alone is none: that builder takes it for the comment that it is.
 */
export function beyondClassic(dockerfile: string): string | undefined {
  for (const instruction of readInstructions(dockerfile)) {
    const what = newIn(instruction);
    if (what !== undefined) return `line ${instruction.line}, ${what}`;
  }
  return undefined;
}

function newIn({ keyword, flags, rest, hasHeredoc }: Instruction): string | undefined {
  const flag = flags.find((text) => FLAGS[keyword]?.test(text));
  if (flag !== undefined) return `${keyword} ${flag}`.slice(0, SHOWN_MAX);
  if (hasHeredoc) return `${keyword} with a heredoc`;
  if (keyword === "FROM" && flags.some((text) => /\$\{?(?:BUILD|TARGET)/.test(text)))
    return `FROM ${flags.join(" ")}`.slice(0, SHOWN_MAX);
  return keyword === "ADD" && /^(?:git@|https?:\/\/\S+\.git\b)/.test(rest)
    ? "ADD of a git repository"
    : undefined;
}
