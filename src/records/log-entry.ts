/**
 * What a segment file consists of: one entry a line, each a JSON array that begins with its kind. Times are ms after
 * the segment's base, which is in its name; they may be negative. `ref` stands for an origin that the same segment
 * has named before; durations are in hundredths of a millisecond.
 *
 *   ["o", ref, version, liveVersion or null, sandboxId]     names an origin; with a sixth member if its log is JSON: the
 *                                                           least level of the platform's lines
 *   ["l", ref, stream, at, invocationId or 0, text]         a line; stream is 0 stdout, 1 stderr, 2 platform
 *   ["s", ref, invocationId, at]                            START
 *   ["e", ref, invocationId, at, REPORT…]                   END and REPORT
 *   ["i", ref, invocationId, at, ms, REPORT…]               a whole invocation without output, at and how long after END came
 *   ["d", at, count]                                        lines that could not be kept
 *   ["r", at, bytes]                                        old segments were removed
 *
 * REPORT…: duration, memoryMib, memoryPeakMib and, only if not (none, returned, none), init or null, outcome, error type.
 */
import type { FunctionName } from "../core/ids.ts";
import type { OutcomeKind } from "../core/invocation.ts";
import { reportEvent, runtimeDoneEvent, startEvent, systemLine } from "./platform-events.ts";
import { endText, type Report, reportText, startText } from "./platform-lines.ts";
import type { LineOrigin, LogLine, LogStream, SystemLevel } from "./records.ts";

const STREAMS: readonly LogStream[] = ["stdout", "stderr", "platform"];
const SYSTEM_LEVELS: readonly SystemLevel[] = ["DEBUG", "INFO", "WARN"];
const OUTCOMES: readonly OutcomeKind[] = ["returned", "threw", "timed-out", "crashed"];

export function originEntry(ref: number, origin: LineOrigin): string {
  const { version, liveVersion, sandboxId, systemLevel } = origin;
  const level = systemLevel === undefined ? "" : `,"${systemLevel}"`;
  return `["o",${ref},${JSON.stringify(version)},${liveVersion ?? null},${JSON.stringify(sandboxId)}${level}]\n`;
}

export function lineEntry(
  ref: number,
  line: {
    readonly stream: LogStream;
    readonly at: number;
    readonly invocationId: string | undefined;
    readonly text: string;
  },
): string {
  const id = line.invocationId === undefined ? "0" : JSON.stringify(line.invocationId);
  return `["l",${ref},${STREAMS.indexOf(line.stream)},${line.at},${id},${JSON.stringify(line.text)}]\n`;
}

export function startEntry(ref: number, invocationId: string, at: number): string {
  return `["s",${ref},"${invocationId}",${at}]\n`;
}

export function endEntry(ref: number, at: number, report: Report): string {
  return `["e",${ref},"${report.invocationId}",${at}${reportMembers(report)}]\n`;
}

export function invocationEntry(ref: number, at: number, spanMs: number, report: Report): string {
  return `["i",${ref},"${report.invocationId}",${at},${spanMs}${reportMembers(report)}]\n`;
}

export function droppedEntry(at: number, count: number): string {
  return `["d",${at},${count}]\n`;
}

export function removedEntry(at: number, bytes: number): string {
  return `["r",${at},${bytes}]\n`;
}

function reportMembers({ durationMs, memoryMib, memoryPeakMib, initMs, outcome, errorType }: Report): string {
  const always = `,${hundredths(durationMs)},${memoryMib},${memoryPeakMib}`;
  if (outcome === "returned" && initMs === undefined) return always;
  const init = initMs === undefined ? null : hundredths(initMs);
  return `${always},${init},${OUTCOMES.indexOf(outcome)},${JSON.stringify(errorType ?? null)}`;
}

function hundredths(ms: number): number {
  return Math.round(ms * 100);
}

/** Where lines come from, as far as a line shows it. */
export type Source = Pick<LogLine, "version" | "liveVersion" | "sandboxId"> & Pick<LineOrigin, "systemLevel">;

/** For what is said of a log as a whole. */
const NO_SOURCE: Source = { version: "$LATEST", liveVersion: undefined, sandboxId: "" };

export function newLine(
  functionName: string,
  source: Source,
  line: Pick<LogLine, "at" | "invocationId" | "stream" | "text">,
): LogLine {
  const { version, liveVersion, sandboxId } = source;
  return {
    at: line.at,
    functionName,
    version,
    liveVersion,
    sandboxId,
    invocationId: line.invocationId,
    stream: line.stream,
    text: line.text,
  };
}

/** None where the log's level leaves it out. */
export function startLines(
  functionName: string,
  source: Source,
  invocationId: string,
  at: number,
): LogLine[] {
  return startTexts(source, invocationId, at).map((text) =>
    newLine(functionName, source, { at, invocationId, stream: "platform", text }),
  );
}

export function endLines(functionName: string, source: Source, at: number, report: Report): LogLine[] {
  const { invocationId } = report;
  return endTexts(source, at, report).map((text) =>
    newLine(functionName, source, { at, invocationId, stream: "platform", text }),
  );
}

/** START, as the log's format has it. */
export function startTexts(
  { version, systemLevel }: Pick<Source, "version" | "systemLevel">,
  invocationId: string,
  at: number,
): string[] {
  if (systemLevel === undefined) return [startText(invocationId, version)];
  return said(systemLine(startEvent(at, invocationId, version), systemLevel));
}

/** END and REPORT, as the log's format has them. */
export function endTexts({ systemLevel }: Pick<Source, "systemLevel">, at: number, report: Report): string[] {
  const { invocationId, outcome, errorType, durationMs } = report;
  if (systemLevel === undefined) return [endText(invocationId), reportText(report)];
  const done = {
    requestId: invocationId,
    outcome,
    errorType,
    durationMs,
    producedBytes: 0,
    traceId: undefined,
  };
  return [runtimeDoneEvent(at, done), reportEvent(at, report)].flatMap((event) =>
    said(systemLine(event, systemLevel)),
  );
}

function said(text: string | undefined): string[] {
  return text === undefined ? [] : [text];
}

export function droppedText(count: number): string {
  return `dropped ${count} ${count === 1 ? "line" : "lines"} that could not be written`;
}

export function removedText(bytes: number): string {
  return `removed the oldest ${bytes} bytes of this log to stay below its limit`;
}

/** Turns the entries of one segment, in order, back into lines. */
export class EntryDecoder {
  readonly #functionName: FunctionName;
  readonly #baseAt: number;
  readonly #sources = new Map<number, Source>();

  constructor(functionName: FunctionName, baseAt: number) {
    this.#functionName = functionName;
    this.#baseAt = baseAt;
  }

  /** What is torn or damaged gives no line: a log must stay readable around it. */
  decode(text: string): readonly LogLine[] {
    const entry = parseArray(text);
    if (!entry) return [];
    switch (entry[0]) {
      case "o":
        return this.#origin(entry);
      case "l":
        return this.#line(entry);
      case "s":
        return this.#start(entry);
      case "e":
        return this.#end(entry);
      case "i":
        return this.#invocation(entry);
      case "d":
        return this.#note(entry, droppedText);
      case "r":
        return this.#note(entry, removedText);
      default:
        return [];
    }
  }

  #origin([, ref, version, liveVersion, sandboxId, systemLevel]: Entry): readonly LogLine[] {
    if (!isNumber(ref) || !isText(version) || !isText(sandboxId)) return [];
    this.#sources.set(ref, {
      version,
      liveVersion: isNumber(liveVersion) ? liveVersion : undefined,
      sandboxId,
      systemLevel: SYSTEM_LEVELS.find((level) => level === systemLevel),
    });
    return [];
  }

  #line([, ref, stream, at, id, text]: Entry): readonly LogLine[] {
    const source = this.#source(ref);
    const named = isNumber(stream) ? STREAMS[stream] : undefined;
    if (!source || !named || !isNumber(at) || !isText(text)) return [];
    const invocationId = isText(id) ? id : undefined;
    return [
      newLine(this.#functionName, source, { at: this.#baseAt + at, invocationId, stream: named, text }),
    ];
  }

  #start([, ref, id, at]: Entry): readonly LogLine[] {
    const source = this.#source(ref);
    if (!source || !isText(id) || !isNumber(at)) return [];
    return startLines(this.#functionName, source, id, this.#baseAt + at);
  }

  #end([, ref, id, at, ...members]: Entry): readonly LogLine[] {
    const source = this.#source(ref);
    const report = parseReport(id, members);
    if (!source || !report || !isNumber(at)) return [];
    return endLines(this.#functionName, source, this.#baseAt + at, report);
  }

  #invocation([, ref, id, at, spanMs, ...members]: Entry): readonly LogLine[] {
    if (!isNumber(at) || !isNumber(spanMs)) return [];
    if (!parseReport(id, members)) return [];
    const end = this.#end(["e", ref, id, at + spanMs, ...members]);
    return [...this.#start(["s", ref, id, at]), ...end];
  }

  #note([, at, amount]: Entry, say: (amount: number) => string): readonly LogLine[] {
    if (!isNumber(at) || !isNumber(amount)) return [];
    return [noteLine(this.#functionName, this.#baseAt + at, say(amount))];
  }

  #source(ref: unknown): Source | undefined {
    return isNumber(ref) ? this.#sources.get(ref) : undefined;
  }
}

/** A line of the platform about a log as a whole. */
export function noteLine(functionName: string, at: number, text: string): LogLine {
  return newLine(functionName, NO_SOURCE, { at, invocationId: undefined, stream: "platform", text });
}

type Entry = readonly unknown[];

function parseReport(
  id: unknown,
  [duration, memoryMib, memoryPeakMib, init, outcome, errorType]: Entry,
): Report | undefined {
  if (!isText(id) || !isNumber(duration) || !isNumber(memoryMib) || !isNumber(memoryPeakMib))
    return undefined;
  return {
    invocationId: id,
    durationMs: duration / 100,
    memoryMib,
    memoryPeakMib,
    initMs: isNumber(init) ? init / 100 : undefined,
    outcome: (isNumber(outcome) ? OUTCOMES[outcome] : undefined) ?? "returned",
    errorType: isText(errorType) ? errorType : undefined,
  };
}

function parseArray(text: string): Entry | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isNumber(value: unknown): value is number {
  return typeof value === "number";
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}
