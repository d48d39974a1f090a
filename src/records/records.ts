import type { FunctionName, InvocationId, SandboxId } from "../core/ids.ts";
import type { OutcomeKind } from "../core/invocation.ts";

/**
 * Logs and the record of each invocation, written behind and never in the way: nothing here throws or waits. What is
 * lost (a full disk, a flood) is counted and shows up as a line that says how much.
 */
export interface Records extends AsyncDisposable {
  /** Begins an invocation on an instance. */
  begin(facts: InvocationFacts): InvocationRecorder;
  /**
   * A line that belongs to no invocation: initialisation, background work, the platform itself. Or, with its id, one that is
   * said of an invocation by whoever has called it.
   */
  line(origin: LineOrigin, stream: LogStream, text: string, of?: InvocationId): void;
  /** Stored lines in order of time, then, with `follow`, new ones until `signal` aborts. */
  read(query: LogQuery, options: { readonly signal: AbortSignal }): AsyncIterable<LogLine>;
  /** Removes lines from before that instant, as far as whole files have nothing newer; the file written last stays. */
  expire(functionName: FunctionName, beforeAt: number): Promise<void>;
  /** Removes all that is kept of a function. */
  forget(functionName: FunctionName): Promise<void>;
  /** Resolves when all that was recorded so far can be read. */
  flush(): Promise<void>;
}

export type LogStream = "stdout" | "stderr" | "platform";

/** Levels of the platform's lines in a JSON log. */
export type SystemLevel = "DEBUG" | "INFO" | "WARN";

export interface LineOrigin {
  readonly functionName: FunctionName;
  /** `$LATEST` or a number. */
  readonly version: string;
  /** The number that `$LATEST` equalled then. */
  readonly liveVersion: number | undefined;
  readonly sandboxId: SandboxId;
  /** Set where the log is JSON: the least level that the platform's own lines need. */
  readonly systemLevel?: SystemLevel | undefined;
}

export interface InvocationFacts extends LineOrigin {
  readonly invocationId: InvocationId;
  readonly memoryMib: number;
  /** Set on the first call of an instance. */
  readonly initMs: number | undefined;
  readonly wantsTail: boolean;
}

export interface InvocationRecorder {
  line(stream: LogStream, text: string): void;
  /** Writes END and REPORT. */
  end(result: {
    readonly outcome: OutcomeKind;
    readonly errorType: string | undefined;
    readonly durationMs: number;
    readonly memoryPeakMib: number;
  }): void;
  /** The last 4 KiB from START to REPORT; empty unless `wantsTail`. After `end`. */
  tail(): string;
}

export interface LogLine {
  /** ms since epoch. */
  readonly at: number;
  readonly functionName: string;
  readonly version: string;
  readonly liveVersion: number | undefined;
  readonly sandboxId: string;
  readonly invocationId: string | undefined;
  readonly stream: LogStream;
  readonly text: string;
}

export interface LogQuery {
  readonly functionName: FunctionName;
  readonly sinceAt: number | undefined;
  readonly untilAt: number | undefined;
  readonly invocationId: string | undefined;
  /** `$LATEST` or a number; a number matches what ran while it was live, too. */
  readonly version: string | undefined;
  /** Only lines that contain this text. */
  readonly contains: string | undefined;
  /** Only the last so many of what is stored. */
  readonly last: number | undefined;
  readonly follow: boolean;
}
