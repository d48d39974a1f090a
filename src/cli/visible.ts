/**
 * Text of strangers (log lines, build output, names, messages) on somebody's terminal. A control character there can
 * move the cursor, rewrite what was printed, set the window title or paste into the shell; a bidirectional override
 * makes text read as something else. All are shown as escapes, whether or not the output is a terminal now, since a
 * file is often printed to one later.
 */

/** C0 and DEL and C1; line and paragraph separators; direction marks, overrides and isolates; tags; interlinear and BOM. */
const HAZARDS =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/** One line of text in which nothing can act: `\n`, `\r`, `\xHH`, `\u{HHHH}` stand for what was there. Tabs stay. */
export function visible(text: string): string {
  return text.replace(HAZARDS, (character) => (character === "\t" ? character : spelled(character)));
}

/** The same for text of several lines, whose line ends stay. */
export function visibleLines(text: string): string {
  return text
    .split(/\r?\n/)
    .map((line) => visible(line))
    .join("\n");
}

/** JSON text in which the hazards that JSON itself leaves alone are `\uHHHH`: the same value, safe to print. */
export function visibleJson(json: string): string {
  return json.replace(HAZARDS, (character) =>
    character === "\n" ? character : Array.from(utf16(character), (unit) => `\\u${unit}`).join(""),
  );
}

function spelled(character: string): string {
  if (character === "\n") return "\\n";
  if (character === "\r") return "\\r";
  const code = (character.codePointAt(0) ?? 0).toString(16);
  return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u{${code}}`;
}

function utf16(character: string): string[] {
  return Array.from({ length: character.length }, (_, index) =>
    character.charCodeAt(index).toString(16).padStart(4, "0"),
  );
}
