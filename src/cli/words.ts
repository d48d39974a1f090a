import { usageError } from "./cli-error.ts";

/**
 * A command line as argv: words with spaces between, where quotes and backslashes work as in a shell and nothing else
 * does (no variables, no pipes: `sh -c '…'` has those). Text that begins with `[` is a JSON list of words.
 *
 * @throws CliError `Usage` naming the option.
 */
export function splitWords(option: string, text: string): string[] {
  const words = text.trimStart().startsWith("[") ? parseList(text) : parseWords(text);
  if (words !== undefined && words.length > 0) return words;
  throw usageError(
    `${option}: expected words like ./app --port 80, or a JSON list like ["./app","--port"], got ${JSON.stringify(text)}`,
  );
}

function parseList(text: string): string[] | undefined {
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) && list.every((word) => typeof word === "string") ? list : undefined;
  } catch {
    return undefined; // The caller says what was expected.
  }
}

/** Undefined where a quote is not closed. */
function parseWords(text: string): string[] | undefined {
  const pieces = /\s+|'([^']*)'|"((?:\\[\s\S]|[^"\\])*)"|\\([\s\S])|([^\s'"\\]+)/gy;
  const words: string[] = [];
  let word: string | undefined;
  let end = 0;
  for (const [piece, single, double, escaped, plain] of text.matchAll(pieces)) {
    end += piece.length;
    const part = single ?? double?.replace(/\\(["\\])/g, "$1") ?? escaped ?? plain;
    if (part !== undefined) word = (word ?? "") + part;
    else if (word !== undefined) {
      words.push(word);
      word = undefined;
    }
  }
  if (end !== text.length) return undefined;
  return word === undefined ? words : [...words, word];
}
