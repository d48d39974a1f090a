/** What a function's log line says, without what the runtimes put around it. */
export interface ReadableLine {
  /** Of console.error and the like. */
  readonly level: string | undefined;
  /** May have several lines. */
  readonly text: string;
  /** A start that failed: who tells of that has told it. */
  readonly isInitError: boolean;
}

/** Runtimes write `TIME tab REQUEST tab LEVEL tab MESSAGE`; errors as one line of JSON (runtimes/nodejs/errors.cjs). */
export function readableLog(line: string): ReadableLine {
  const [, level, message = line] =
    /^\d{4}-\d\d-\d\dT[\d:.]+Z\t[^\t]*\t([A-Z]+)\t([\s\S]*)$/.exec(line) ?? [];
  const [, what, json] = /^([A-Z][\w ]*?)\s*\t(\{.*\})\s*$/s.exec(message) ?? [];
  const stack = json === undefined ? undefined : stackOf(json);
  return {
    level,
    // A record of one call has its line ends as \r.
    text: (stack === undefined ? message : stack).replaceAll("\r", "\n").trimEnd(),
    isInitError: stack !== undefined && what === "Init Error",
  };
}

function stackOf(json: string): string | undefined {
  let error: unknown;
  try {
    error = JSON.parse(json);
  } catch {
    // Something of the function's own that only looks alike.
    return undefined;
  }
  if (typeof error !== "object" || error === null || !("errorType" in error)) return undefined;
  if ("stack" in error && Array.isArray(error.stack) && error.stack.length > 0)
    return ownFrames(error.stack.map(String)).join("\n");
  const message = "errorMessage" in error ? `: ${error.errorMessage}` : "";
  return `${error.errorType}${message}`;
}

/** A stack without the frames of the runtime and of Node, which called the function's own code. */
function ownFrames(lines: readonly string[]): readonly string[] {
  const own = lines.filter((line) => !/^\s+at .*\(?(?:\/var\/runtime\/|node:)/.test(line));
  return own.some((line) => /^\s+at /.test(line)) ? own : lines;
}

/** A message of several lines without those that say a failed start again. */
export function withoutInitErrors(message: string): string {
  const lines = message.split("\n");
  return lines.filter((line) => !readableLog(line.trim()).isInitError).join("\n");
}
