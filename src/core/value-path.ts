/**
 * Places in an input or an answer, as they are written and shown: `status`, `headers.date`, `body.items[2].id`. The first
 * word names a part, what follows leads into its JSON. In a pattern `*` stands for any one step: `body.items[*].id`.
 */
export type Step = string | number;

export interface PathPattern {
  readonly text: string;
  /** `ANY`, or what the step has to be. */
  readonly steps: readonly (string | typeof ANY)[];
}

const ANY = Symbol("any step");

const PATTERN_LENGTH_MAX = 256;

const PLAIN_STEP = /^[A-Za-z0-9_$@:-]+$/;
const PIECE = /\.?([A-Za-z0-9_$@:-]+|\*)|\[(\d+|\*|"(?:[^"\\]|\\.)*")\]/y;

/** Undefined if it is none. */
export function parsePattern(text: string): PathPattern | undefined {
  if (text.length > PATTERN_LENGTH_MAX || !/^[A-Za-z0-9_$@:*-]/.test(text)) return undefined;
  const steps: (string | typeof ANY)[] = [];
  PIECE.lastIndex = 0;
  while (PIECE.lastIndex < text.length) {
    const from = PIECE.lastIndex;
    const found = PIECE.exec(text);
    const step = found && stepOf(found[1] ?? found[2] ?? "");
    // A dot stands between steps, and only there.
    if (step === undefined || step === null || (from > 0 && found?.[1] !== undefined && text[from] !== "."))
      return undefined;
    steps.push(step);
  }
  return { text, steps };
}

function stepOf(piece: string): string | typeof ANY | undefined {
  if (piece === "*") return ANY;
  if (!piece.startsWith('"')) return piece;
  try {
    return String(JSON.parse(piece));
  } catch {
    return undefined; // An escape that JSON does not have.
  }
}

/** Whether the pattern leads to just there. */
export function leadsTo(pattern: PathPattern, path: readonly Step[]): boolean {
  return pattern.steps.length === path.length && covers(pattern, path);
}

/** Whether it leads there or to something that this is within. */
export function covers({ steps }: PathPattern, path: readonly Step[]): boolean {
  return steps.length <= path.length && steps.every((step, at) => step === ANY || step === String(path[at]));
}

export function formatPath(path: readonly Step[]): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (!PLAIN_STEP.test(step)) text += `[${JSON.stringify(step)}]`;
    else text += text === "" ? step : `.${step}`;
  }
  return text;
}
