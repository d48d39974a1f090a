import type { ApiClient } from "../client.ts";
import { functionPath } from "../names.ts";
import { readLogLine } from "../wire.ts";
import type { DevReport } from "./dev-report.ts";

const AGAIN_MS = 500;

/** Reports what a function logs from `sinceAt` (ms since epoch) on, until `signal` aborts. Never rejects. */
export async function followLogs(
  api: ApiClient,
  name: string,
  sinceAt: number,
  report: (line: DevReport) => void,
  { signal }: { readonly signal: AbortSignal },
): Promise<void> {
  let lastAt = sinceAt;
  while (!signal.aborted) {
    try {
      const query = { follow: 1, since: lastAt };
      for await (const line of api.lines("GET", functionPath(name, "/logs"), { query, silenceMsMax: 0 })) {
        if (signal.aborted) return;
        const { at, stream, text, invocationId } = readLogLine(line);
        lastAt = Math.max(lastAt, at + 1);
        const seen =
          stream === "platform"
            ? callOf(name, invocationId, text)
            : ({ type: "log", function: name, stream, text } as const);
        if (seen) report(seen);
      }
    } catch {
      // The daemon goes, or is not there yet; the loop of releases says so where it is news.
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** The line that ends a call, as AWS writes it (records/platform-lines.ts); undefined for the platform's other lines. */
export function callOf(name: string, id: string | undefined, text: string): DevReport | undefined {
  if (!text.startsWith("REPORT ")) return undefined;
  const number = (member: string): number | undefined => {
    const value = new RegExp(`(?:^|\\t)${member}: ([\\d.]+)`).exec(text)?.[1];
    return value === undefined ? undefined : Number(value);
  };
  return {
    type: "call",
    function: name,
    id: id ?? /RequestId: (\S+)/.exec(text)?.[1],
    durationMs: number("Duration") ?? 0,
    initMs: number("Init Duration"),
    memoryMib: number("Max Memory Used"),
    status: /\tStatus: (\w+)/.exec(text)?.[1] ?? "ok",
  };
}
