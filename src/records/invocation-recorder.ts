import { LOG_BYTES_PER_INVOCATION_MAX, LOG_LINE_BYTES_MAX } from "../core/limits.ts";
import { cutText } from "./cut-text.ts";
import type { FunctionLog } from "./function-log.ts";
import { endTexts, startTexts } from "./log-entry.ts";
import { LogTail } from "./log-tail.ts";
import type { Report } from "./platform-lines.ts";
import type { InvocationFacts, InvocationRecorder, LogStream } from "./records.ts";
import type { Link, Unstarted } from "./unstarted.ts";

/**
 * Records one invocation. As long as it prints nothing it costs nothing: START is written with the first line, or after
 * a moment if it takes long (unstarted.ts), and otherwise all of it is one entry at its end.
 */
export class LogRecorder implements InvocationRecorder, Link {
  before: Link | undefined;
  after: Link | undefined;
  readonly startAt: number;
  readonly #log: FunctionLog;
  readonly #facts: InvocationFacts;
  readonly #unstarted: Unstarted;
  readonly #tail: LogTail | undefined;
  #hasStarted = false;
  #hasEnded = false;
  #bytes = 0;
  #cutBytes = 0;

  constructor(log: FunctionLog, facts: InvocationFacts, startAt: number, unstarted: Unstarted) {
    this.#log = log;
    this.#facts = facts;
    this.startAt = startAt;
    this.#unstarted = unstarted;
    this.#tail = facts.wantsTail ? new LogTail(startTexts(facts, facts.invocationId, startAt)) : undefined;
    log.openInvocations++;
    unstarted.add(this);
  }

  writeStart(): void {
    this.#unstarted.remove(this);
    this.#hasStarted = true;
    this.#log.addStart(this.#facts, this.#facts.invocationId, this.startAt);
  }

  line(stream: LogStream, text: string): void {
    if (!this.#hasStarted && !this.#hasEnded) this.writeStart();
    const line = cutText(text, LOG_LINE_BYTES_MAX);
    if (this.#cutBytes > 0 || this.#bytes + line.bytes > LOG_BYTES_PER_INVOCATION_MAX) {
      this.#cutBytes += line.bytes + line.cutBytes;
      return;
    }
    this.#bytes += line.bytes;
    this.#add(stream, line.text);
    if (line.cutBytes > 0) this.#add("platform", lineCutText(line.cutBytes));
  }

  end(result: Parameters<InvocationRecorder["end"]>[0]): void {
    if (this.#hasEnded) return;
    this.#confessCut();
    this.#hasEnded = true;
    this.#log.openInvocations--;
    const { invocationId, memoryMib, initMs } = this.#facts;
    const report: Report = {
      invocationId,
      memoryMib,
      initMs,
      durationMs: result.durationMs,
      memoryPeakMib: Math.ceil(result.memoryPeakMib),
      outcome: result.outcome,
      errorType: result.errorType,
    };
    if (this.#hasStarted) {
      this.#log.addEnd(this.#facts, report);
    } else {
      this.#unstarted.remove(this);
      this.#log.addInvocation(this.#facts, this.startAt, report);
    }
    for (const text of this.#tail ? endTexts(this.#facts, Date.now(), report) : []) this.#tail?.add(text);
  }

  tail(): string {
    return this.#tail?.text() ?? "";
  }

  #confessCut(): void {
    if (this.#cutBytes === 0) return;
    this.#add(
      "platform",
      `truncated ${this.#cutBytes} bytes: an invocation can log ${LOG_BYTES_PER_INVOCATION_MAX} bytes`,
    );
  }

  #add(stream: LogStream, text: string): void {
    this.#log.addLine(this.#facts, this.#facts.invocationId, stream, text);
    if (!this.#hasEnded) this.#tail?.add(text);
  }
}

/** Said after a line that was cut. */
export function lineCutText(cutBytes: number): string {
  return `truncated ${cutBytes} bytes: a line can have ${LOG_LINE_BYTES_MAX} bytes`;
}
