import type { Version } from "../core/function.ts";
import type { Call, InvocationOutcome } from "../core/invocation.ts";
import { levelOfLine, reaches, type TelemetryEvent } from "../core/telemetry.ts";
import type { TelemetrySink } from "../protocol/protocol.ts";
import {
  faultEvent,
  type InitPhase,
  initReportEvent,
  initRuntimeDoneEvent,
  initStartEvent,
  reportEvent,
  runtimeDoneEvent,
  startEvent,
  statusOf,
  systemLine,
} from "../records/platform-events.ts";

/** What an extension inside an instance is told of it, and how its log says what has no invocation. */
export class InstanceTelemetry {
  readonly #version: Version;
  readonly #sink: TelemetrySink | undefined;

  constructor(version: Version, sink: TelemetrySink | undefined) {
    this.#version = version;
    this.#sink = sink;
  }

  get isWanted(): boolean {
    return this.#sink?.isWanted === true;
  }

  /** Whether a line that the program wrote itself belongs into its log. */
  keeps(text: string): boolean {
    const { applicationLevel } = this.#version.config.logging;
    return applicationLevel === undefined || reaches(levelOfLine(text), applicationLevel);
  }

  line(source: "function" | "extension", text: string): void {
    if (!this.isWanted) return;
    this.#sink?.take({ at: Date.now(), type: source, record: this.#isJson ? parsed(text) : text });
  }

  started(call: Call): void {
    if (!this.isWanted) return;
    this.#sink?.take(startEvent(Date.now(), call.invocationId, this.#version.label, call.traceId));
  }

  /** The runtime is through with a call. */
  done(call: Call, outcome: InvocationOutcome, durationMs: number): void {
    if (!this.isWanted) return;
    const at = Date.now();
    const errorType = errorTypeOf(outcome);
    if (outcome.kind === "crashed") {
      this.#sink?.take(
        faultEvent(at, `RequestId: ${call.invocationId} Process exited before completing request`),
      );
    }
    this.#sink?.take(
      runtimeDoneEvent(at, {
        requestId: call.invocationId,
        outcome: outcome.kind,
        errorType,
        durationMs,
        producedBytes: outcome.kind === "returned" ? outcome.payload.length : 0,
        traceId: call.traceId,
      }),
    );
  }

  /** All are through with it. */
  reported(
    call: Call,
    report: {
      readonly outcome: InvocationOutcome;
      readonly durationMs: number;
      readonly memoryPeakMib: number;
      readonly initMs: number | undefined;
    },
  ): void {
    if (!this.isWanted) return;
    const { outcome, ...figures } = report;
    this.#sink?.take(
      reportEvent(
        Date.now(),
        {
          ...figures,
          invocationId: call.invocationId,
          memoryMib: this.#version.config.memoryMib,
          memoryPeakMib: Math.ceil(figures.memoryPeakMib),
          outcome: outcome.kind,
          errorType: errorTypeOf(outcome),
        },
        call.traceId,
      ),
    );
  }

  /** Gives the line of the log, if it has one. */
  initStarted(
    phase: InitPhase,
    runtime: { readonly version: string; readonly arn: string },
  ): string | undefined {
    const event = initStartEvent(Date.now(), {
      phase,
      functionName: this.#version.functionName,
      version: this.#version.label,
      runtimeVersion: runtime.version,
      runtimeVersionArn: runtime.arn,
    });
    this.#sink?.take(event);
    const text = `INIT_START Runtime Version: ${runtime.version}\tRuntime Version ARN: ${runtime.arn}`;
    return this.#systemLines([event], text)[0];
  }

  /** Gives the lines of the log; with text logs only failures have one. */
  initEnded(phase: InitPhase, failure: InvocationOutcome | undefined, durationMs: number): readonly string[] {
    const status = failure ? statusOf(failure.kind) : "success";
    const errorType = failure && errorTypeOf(failure);
    const at = Date.now();
    const events = [
      initRuntimeDoneEvent(at, { phase, status, errorType }),
      initReportEvent(at, { phase, status, errorType, durationMs }),
    ];
    for (const event of events) this.#sink?.take(event);
    const type = errorType === undefined ? "" : `\tError Type: ${errorType}`;
    const shown = status === "timeout" ? status : "error";
    const text = `INIT_REPORT Init Duration: ${durationMs.toFixed(2)} ms\tPhase: ${phase}\tStatus: ${shown}${type}`;
    return this.#systemLines(events, failure && text);
  }

  get #isJson(): boolean {
    return this.#version.config.logging.format === "JSON";
  }

  #systemLines(events: readonly TelemetryEvent[], text: string | undefined): readonly string[] {
    const { systemLevel } = this.#version.config.logging;
    if (systemLevel === undefined) return text === undefined ? [] : [text];
    return events.flatMap((event) => systemLine(event, systemLevel) ?? []);
  }
}

export function errorTypeOf(outcome: InvocationOutcome): string | undefined {
  return outcome.kind === "threw" || outcome.kind === "crashed" ? outcome.errorType : undefined;
}

/** A line of a JSON log as what it says; others as they are. */
function parsed(text: string): unknown {
  if (!text.startsWith("{")) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
