import type { Readable } from "node:stream";
import type { Call, InvocationOutcome, ResponseHead } from "../../core/invocation.ts";
import { RESPONSE_BYTES_MAX } from "../../core/limits.ts";

export interface Output {
  readonly end: "whole" | "too-large";
  /** What it is if the program leaves with 0. */
  readonly outcome: InvocationOutcome;
}

const HEAD: ResponseHead = { kind: "raw", contentType: "application/octet-stream" };

/** Reads all that the program writes: to the sink as fast as that takes it, or into memory up to the limit. */
export async function receiveOutput(
  stdout: Readable,
  { sink, streamBytesMax }: Pick<Call, "sink" | "streamBytesMax">,
  signal: AbortSignal,
): Promise<Output> {
  const bytesMax = sink ? streamBytesMax : RESPONSE_BYTES_MAX;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stdout) {
      if (signal.aborted) break;
      const isFirst = bytes === 0;
      bytes += chunk.length;
      if (bytes > bytesMax) return { end: "too-large", outcome: tooLarge(bytesMax, sink !== undefined) };
      if (!sink) {
        chunks.push(chunk);
        continue;
      }
      if (isFirst) sink.start(HEAD);
      if (!sink.write(chunk)) await sink.drained();
    }
  } catch {
    // A pipe that breaks ends the output like any other end; the exit tells what it was.
  }
  const isStreamed = sink !== undefined && bytes > 0;
  const payload = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
  const head = isStreamed ? HEAD : undefined;
  return { end: "whole", outcome: { kind: "returned", payload, head, isStreamed } };
}

function tooLarge(bytesMax: number, isStreamed: boolean): InvocationOutcome {
  const errorType = "Function.ResponseSizeTooLarge";
  const errorMessage = `Response payload size exceeded maximum allowed payload size (${bytesMax} bytes).`;
  return {
    kind: "threw",
    payload: Buffer.from(JSON.stringify({ errorType, errorMessage })),
    errorType,
    isStreamed,
  };
}
