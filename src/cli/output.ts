import type { Host, TerminalWritable } from "./host.ts";
import { visibleJson, visibleLines } from "./visible.ts";

export type Style = "dim" | "red" | "green" | "yellow" | "bold";

const CODES: Readonly<Record<Style, readonly [on: number, off: number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
};

/** Where a command says things: results on stdout, everything else on stderr, so that pipes get results only. */
export interface Output {
  readonly isJson: boolean;
  readonly isVerbose: boolean;
  /** Whether somebody watches stderr as it is written, so that lines may grow. */
  readonly isLive: boolean;
  /** Text that is the result, as it is. Resolves when there is room for more. */
  write(text: string | Uint8Array): Promise<void>;
  /** One document. */
  json(value: unknown): Promise<void>;
  /** A line for people, on stderr; line ends are kept, all else that could act on a terminal is escaped. */
  note(text: string, style?: Style): void;
  /** A piece of such a line. */
  notePart(text: string, style?: Style): void;
  /** `text` coloured for stdout, if that is a terminal that wants it. It must have been made visible before. */
  paint(style: Style, text: string): string;
}

export function openOutput(
  host: Host,
  options: { readonly json: boolean; readonly verbose: boolean; readonly color: boolean },
): Output {
  const write = async (stream: TerminalWritable, text: string | Uint8Array) => {
    if (stream.write(text)) return;
    // A reader that went away never drains; the signal says so.
    await new Promise<void>((resolve) => {
      const done = () => {
        stream.off("drain", done);
        host.signal.removeEventListener("abort", done);
        resolve();
      };
      stream.on("drain", done);
      host.signal.addEventListener("abort", done);
      if (host.signal.aborted) done();
    });
  };
  const painter = (stream: TerminalWritable) => {
    const hasColor = options.color && wantsColor(host.env, stream.isTTY === true);
    return (style: Style | undefined, text: string) => {
      if (!hasColor || style === undefined) return text;
      const [on, off] = CODES[style];
      return `\u001b[${on}m${text}\u001b[${off}m`;
    };
  };
  const paintResult = painter(host.stdout);
  const paintNote = painter(host.stderr);
  return {
    isJson: options.json,
    isVerbose: options.verbose,
    isLive: host.stderr.isTTY === true,
    write: (text) => write(host.stdout, text),
    json: (value) => write(host.stdout, `${visibleJson(JSON.stringify(value, undefined, 2))}\n`),
    note: (text, style) => void host.stderr.write(`${paintNote(style, visibleLines(text))}\n`),
    notePart: (text, style) => void host.stderr.write(paintNote(style, visibleLines(text))),
    paint: paintResult,
  };
}

/** https://no-color.org: a value, whichever, means no; FORCE_COLOR means yes unless it is 0. */
function wantsColor(env: Host["env"], isTerminal: boolean): boolean {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR) return env.FORCE_COLOR !== "0" && env.FORCE_COLOR !== "false";
  return isTerminal && env.TERM !== "dumb";
}
