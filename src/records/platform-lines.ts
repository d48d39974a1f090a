/**
 * Lambda's own lines in a function's log, as CloudWatch shows them: START before the first line of an invocation, END
 * and REPORT after its last. Members of REPORT are separated by tabs. Lambda Developer Guide, "Viewing CloudWatch logs".
 */
import type { OutcomeKind } from "../core/invocation.ts";

export interface Report {
  readonly invocationId: string;
  readonly durationMs: number;
  readonly memoryMib: number;
  readonly memoryPeakMib: number;
  readonly initMs: number | undefined;
  readonly outcome: OutcomeKind;
  readonly errorType: string | undefined;
}

export function startText(invocationId: string, version: string): string {
  return `START RequestId: ${invocationId} Version: ${version}`;
}

export function endText(invocationId: string): string {
  return `END RequestId: ${invocationId}`;
}

/** What Lambda would bill: initialisation included (since August 2025), in whole milliseconds, rounded up. */
export function billedMsOf({ durationMs, initMs }: Pick<Report, "durationMs" | "initMs">): number {
  return Math.ceil(durationMs + (initMs ?? 0));
}

export function reportText(report: Report): string {
  const { invocationId, durationMs, memoryMib, memoryPeakMib, initMs } = report;
  const billedMs = billedMsOf(report);
  const members = [
    `REPORT RequestId: ${invocationId}`,
    `Duration: ${durationMs.toFixed(2)} ms`,
    `Billed Duration: ${billedMs} ms`,
    `Memory Size: ${memoryMib} MB`,
    `Max Memory Used: ${memoryPeakMib} MB`,
  ];
  if (initMs !== undefined) members.push(`Init Duration: ${initMs.toFixed(2)} ms`);
  return [...members, ...ending(report)].join("\t");
}

function ending({ outcome, errorType, initMs }: Report): readonly string[] {
  switch (outcome) {
    case "returned":
      return initMs === undefined ? [""] : ["", ""];
    case "timed-out":
      return ["Status: timeout"];
    case "threw":
    case "crashed":
      return errorType === undefined ? ["Status: error"] : ["Status: error", `Error Type: ${errorType}`];
  }
}
