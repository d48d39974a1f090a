import type { Readable } from "node:stream";
import { LOG_LINE_BYTES_MAX } from "../core/limits.ts";

/** Calls `onLine` for each line of `stream`, without its end; the last one also when it has none. */
export function readLines(stream: Readable, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line.endsWith("\r") ? line.slice(0, -1) : line);
    // A program that never ends its line must not fill our memory: what is there is passed on as a line.
    if (rest.length > LOG_LINE_BYTES_MAX) {
      onLine(rest);
      rest = "";
    }
  });
  stream.on("end", () => {
    if (rest !== "") onLine(rest);
  });
  // A broken pipe ends the output; that the program has gone is told by its exit.
  stream.on("error", () => undefined);
}

const FRAME_HEAD_BYTES = 16;
/** The low byte carries the level; the rest says "log record" (contract of `_LAMBDA_TELEMETRY_LOG_FD`). */
const FRAME_TYPE = 0xa55a0000;
const FRAME_TYPE_MASK = 0xffff0000;

/**
 * Calls `onRecord` for each framed log record of `stream`. The writer is hostile code: what is no frame is passed on as
 * one record of text and reading goes on behind it.
 */
export function readTelemetry(stream: Readable, onRecord: (text: string) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= FRAME_HEAD_BYTES) {
      const type = rest.readUInt32BE(0);
      const length = rest.readUInt32BE(4);
      // `>>> 0`: the mask makes a signed number of it.
      if ((type & FRAME_TYPE_MASK) >>> 0 !== FRAME_TYPE || length > LOG_LINE_BYTES_MAX * 4) {
        onRecord(rest.toString("utf8"));
        rest = Buffer.alloc(0);
        return;
      }
      if (rest.length < FRAME_HEAD_BYTES + length) return;
      onRecord(trimEnd(rest.toString("utf8", FRAME_HEAD_BYTES, FRAME_HEAD_BYTES + length)));
      rest = rest.subarray(FRAME_HEAD_BYTES + length);
    }
  });
  stream.on("error", () => undefined);
}

function trimEnd(text: string): string {
  return text.endsWith("\n") ? text.slice(0, -1) : text;
}

/** The UUID in the second tab-separated field, where our runtimes (and AWS's) put the request id. */
export function requestIdOf(text: string): string | undefined {
  const tab = text.indexOf("\t");
  if (tab < 0 || text.charCodeAt(tab + 37) !== 9) return undefined;
  return text.slice(tab + 1, tab + 37);
}
