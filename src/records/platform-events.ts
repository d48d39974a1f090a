/**
 * What the platform tells of an instance and its invocations, as the Telemetry API has it and as lines of a JSON log.
 * Lambda Developer Guide, "Lambda Telemetry API Event schema reference" and "System log level event mapping".
 */
import type { OutcomeKind } from "../core/invocation.ts";
import { reaches, type TelemetryEvent, telemetryText } from "../core/telemetry.ts";
import { billedMsOf, type Report } from "./platform-lines.ts";
import type { SystemLevel } from "./records.ts";

type Status = "success" | "error" | "timeout" | "failure";

const STATUS: Readonly<Record<OutcomeKind, Status>> = {
  returned: "success",
  threw: "error",
  "timed-out": "timeout",
  crashed: "failure",
};

export function statusOf(outcome: OutcomeKind): Status {
  return STATUS[outcome];
}

export function startEvent(at: number, requestId: string, version: string, traceId?: string): TelemetryEvent {
  return { at, type: "platform.start", record: { requestId, version, ...tracing(traceId) } };
}

export function runtimeDoneEvent(
  at: number,
  done: {
    readonly requestId: string;
    readonly outcome: OutcomeKind;
    readonly errorType: string | undefined;
    readonly durationMs: number;
    /** Of the response, as far as it was collected here. */
    readonly producedBytes: number;
    readonly traceId: string | undefined;
  },
): TelemetryEvent {
  const { requestId, outcome, errorType, durationMs, producedBytes, traceId } = done;
  const start = new Date(at - durationMs).toISOString();
  return {
    at,
    type: "platform.runtimeDone",
    record: {
      requestId,
      status: statusOf(outcome),
      ...(errorType !== undefined && { errorType }),
      ...tracing(traceId),
      spans: [
        { name: "responseLatency", start, durationMs: rounded(durationMs) },
        { name: "responseDuration", start: new Date(at).toISOString(), durationMs: 0 },
      ],
      metrics: { durationMs: rounded(durationMs), producedBytes },
    },
  };
}

export function reportEvent(at: number, report: Report, traceId?: string): TelemetryEvent {
  const { invocationId, outcome, errorType, durationMs, memoryMib, memoryPeakMib, initMs } = report;
  return {
    at,
    type: "platform.report",
    record: {
      requestId: invocationId,
      status: statusOf(outcome),
      ...(errorType !== undefined && { errorType }),
      metrics: {
        durationMs: rounded(durationMs),
        billedDurationMs: billedMsOf(report),
        memorySizeMB: memoryMib,
        maxMemoryUsedMB: memoryPeakMib,
        ...(initMs !== undefined && { initDurationMs: rounded(initMs) }),
      },
      ...tracing(traceId),
    },
  };
}

/** In which part of its life an instance is initialised: before its first call, or again within it. */
export type InitPhase = "init" | "invoke";

export function initStartEvent(
  at: number,
  start: {
    readonly phase: InitPhase;
    readonly functionName: string;
    readonly version: string;
    readonly runtimeVersion: string;
    readonly runtimeVersionArn: string;
  },
): TelemetryEvent {
  const { phase, functionName, version, runtimeVersion, runtimeVersionArn } = start;
  return {
    at,
    type: "platform.initStart",
    record: {
      initializationType: "on-demand",
      phase,
      runtimeVersion,
      runtimeVersionArn,
      functionName,
      functionVersion: version,
    },
  };
}

export function initRuntimeDoneEvent(
  at: number,
  done: { readonly phase: InitPhase; readonly status: Status; readonly errorType: string | undefined },
): TelemetryEvent {
  const { phase, status, errorType } = done;
  const record = {
    initializationType: "on-demand",
    phase,
    status,
    ...(errorType !== undefined && { errorType }),
  };
  return { at, type: "platform.initRuntimeDone", record };
}

export function initReportEvent(
  at: number,
  done: {
    readonly phase: InitPhase;
    readonly status: Status;
    readonly errorType: string | undefined;
    readonly durationMs: number;
  },
): TelemetryEvent {
  const { phase, status, errorType, durationMs } = done;
  return {
    at,
    type: "platform.initReport",
    record: {
      initializationType: "on-demand",
      phase,
      status,
      ...(errorType !== undefined && { errorType }),
      metrics: { durationMs: rounded(durationMs) },
    },
  };
}

export function faultEvent(at: number, text: string): TelemetryEvent {
  return { at, type: "platform.fault", record: text };
}

/** The line of a JSON log; undefined where the log's level leaves it out. */
export function systemLine(event: TelemetryEvent, least: SystemLevel): string | undefined {
  return reaches(levelOf(event), least) ? telemetryText(event) : undefined;
}

function levelOf({ type, record }: TelemetryEvent): "DEBUG" | "INFO" | "WARN" {
  const { status = "success" } = Object(record);
  switch (type) {
    case "platform.runtimeDone":
    case "platform.initRuntimeDone":
    case "platform.initReport":
      return status === "success" ? "DEBUG" : "WARN";
    case "platform.report":
      return status === "success" ? "INFO" : "WARN";
    case "platform.fault":
    case "platform.logsDropped":
      return "WARN";
    default:
      return "INFO";
  }
}

function tracing(traceId: string | undefined): object {
  return traceId === undefined ? {} : { tracing: { type: "X-Amzn-Trace-Id", value: traceId } };
}

function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
