import type { Output, Style } from "../output.ts";
import { visible, visibleJson, visibleLines } from "../visible.ts";
import { codeFrame } from "./code-frame.ts";
import type { DevReport } from "./dev-report.ts";
import { readableLog, withoutInitErrors } from "./readable-log.ts";

/** Shows what happens, in the order in which it is told. */
export interface DevScreen {
  show(line: DevReport): void;
  /** Something for people only. */
  say(text: string, style?: Style): void;
  /** Whether lines of logs and calls are shown; answers how it is from now on. */
  toggleLogs(): boolean;
  /** Resolves when all that was told is written. */
  idle(): Promise<void>;
}

const NAME_WIDTH_MAX = 20;

/** `functions` gives those that are live, with the folder that their code is in. */
export function openDevScreen(
  output: Output,
  functions: () => readonly { readonly name: string; readonly folder: string }[],
): DevScreen {
  let hasLogs = true;
  // Frames are read from files: what comes after waits, so that lines keep their order.
  let last: Promise<void> = Promise.resolve();
  const write = (make: () => Promise<string> | string) => {
    last = last.then(async () => await output.write(await make())).catch(() => undefined);
  };
  const paint = (style: Style | undefined, text: string) => (style ? output.paint(style, text) : text);
  const label = (name: string) => {
    const width = Math.min(NAME_WIDTH_MAX, Math.max(0, ...functions().map(({ name: each }) => each.length)));
    return output.paint("bold", name.padEnd(width));
  };

  const folderOf = (name: string) => functions().find((each) => each.name === name)?.folder;

  const lineOf = async (line: DevReport): Promise<string> => {
    switch (line.type) {
      case "note":
        return `${visibleLines(line.text)}\n`;
      case "build":
        return `${label(line.function)} ${paint("dim", `│ ${visible(line.text)}`)}\n`;
      case "live":
        return liveText(line);
      case "problem":
        return await problemText(line);
      case "log":
        return await logText(line);
      case "call":
        return `${label(line.function)} ${callText(line)}\n`;
    }
  };

  const liveText = ({ release, isNew, functions, tookMs }: DevReport & { readonly type: "live" }) => {
    const changed = functions.length === 0 ? "settings" : functions.join(", ");
    return isNew
      ? `${paint("green", `release ${release} is live`)}: ${changed}, after ${tookMs} ms\n`
      : `${paint("dim", `nothing is new in ${changed}: release ${release} stays live`)}\n`;
  };

  const problemText = async ({
    function: name,
    message,
    folder,
  }: DevReport & { readonly type: "problem" }) => {
    const frame = folder === undefined ? undefined : await codeFrame(message, folder);
    const head = name === undefined ? paint("red", "✗") : `${label(name)} ${paint("red", "✗")}`;
    return `${head} ${visibleLines(withoutInitErrors(message))}\n${frame === undefined ? "" : `\n${visibleLines(frame)}\n\n`}`;
  };

  const logText = async ({ function: name, stream, text }: DevReport & { readonly type: "log" }) => {
    const { level, text: said, isInitError } = readableLog(text);
    if (isInitError) return "";
    const isBad =
      level === undefined
        ? stream === "stderr" || said.startsWith("[ERROR]")
        : /^(WARN|ERROR|FATAL)$/.test(level);
    const bar = `${label(name)} │ `;
    const lines = said
      .split("\n")
      .map((each) => `${bar}${paint(isBad ? "yellow" : undefined, visible(each))}\n`);
    // Python shows the lines of its code itself.
    const folder = isBad && !said.includes('File "') ? folderOf(name) : undefined;
    const frame = folder === undefined ? undefined : await codeFrame(said, folder);
    return lines.join("") + (frame === undefined ? "" : `\n${visibleLines(frame)}\n\n`);
  };

  const callText = ({ durationMs, initMs, memoryMib, status }: DevReport & { readonly type: "call" }) => {
    const start = initMs === undefined ? "" : `, started in ${Math.round(initMs)} ms`;
    const memory = memoryMib ? `, ${memoryMib} MB` : "";
    return paint(status === "ok" ? "dim" : "red", `← ${status} in ${shortMs(durationMs)}${start}${memory}`);
  };

  return {
    show(line) {
      if (output.isJson) {
        const { folder: _folder, ...told } = { folder: undefined, ...line };
        write(() => `${visibleJson(JSON.stringify(told))}\n`);
        return;
      }
      if (!hasLogs && (line.type === "log" || line.type === "call")) return;
      write(() => lineOf(line));
    },
    say(text, style) {
      if (!output.isJson) write(() => `${paint(style, visibleLines(text))}\n`);
    },
    toggleLogs() {
      hasLogs = !hasLogs;
      return hasLogs;
    },
    idle: () => last,
  };
}

function shortMs(durationMs: number): string {
  return durationMs < 10 ? `${Number(durationMs.toFixed(1))} ms` : `${Math.round(durationMs)} ms`;
}
