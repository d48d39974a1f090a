import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { functionName, functionPath, invocationId } from "../names.ts";
import type { Output, Style } from "../output.ts";
import { countOption, instantOption } from "../units.ts";
import { visible, visibleJson } from "../visible.ts";
import { type LogLineView, readLogLine } from "../wire.ts";

export interface LogOptions {
  readonly follow?: boolean;
  readonly since?: string;
  readonly until?: string;
  readonly id?: string;
  readonly version?: string;
  readonly grep?: string;
  readonly last?: string;
}

/** What is shown of a function that has logged for months when nothing narrows it down. */
const LAST_DEFAULT = 100;

const STYLES: Readonly<Record<string, Style>> = { stderr: "yellow", platform: "dim" };

export async function showLogs(
  { output, client }: Command,
  name: string,
  options: LogOptions,
): Promise<void> {
  if (options.follow && options.until !== undefined) {
    throw usageError(
      "--follow and --until: a log is followed into the future or read up to a moment, not both",
    );
  }
  const now = Date.now();
  const isNarrow = options.since !== undefined || options.id !== undefined || options.until !== undefined;
  const query = {
    since: options.since === undefined ? undefined : instantOption("--since", options.since, now),
    until: options.until === undefined ? undefined : instantOption("--until", options.until, now),
    id: options.id === undefined ? undefined : invocationId(options.id),
    version: options.version,
    grep: options.grep,
    last:
      options.last === undefined
        ? isNarrow
          ? undefined
          : LAST_DEFAULT
        : countOption("--last", options.last),
    follow: options.follow ? 1 : undefined,
  };
  const path = functionPath(functionName(name), "/logs");
  // A quiet function may say nothing for days.
  const lines = (await client()).lines("GET", path, { query, silenceMsMax: options.follow ? 0 : 60_000 });
  let count = 0;
  for await (const line of lines) {
    count += 1;
    await output.write(
      output.isJson ? `${visibleJson(JSON.stringify(line))}\n` : formatLine(readLogLine(line), output),
    );
  }
  if (count === 0 && !output.isJson) output.note(`no lines${isNarrow || options.grep ? " match" : " yet"}`);
}

/** Time in UTC, version, stream, text: one line each, whatever the function wrote. */
function formatLine(line: LogLineView, output: Output): string {
  const time = new Date(line.at).toISOString();
  const style = STYLES[line.stream];
  const text = visible(line.text);
  const stream = visible(line.stream).padEnd(8);
  return `${output.paint("dim", `${time} ${visible(line.version)}`)} ${
    style === undefined ? `${stream} ${text}` : output.paint(style, `${stream} ${text}`)
  }\n`;
}
