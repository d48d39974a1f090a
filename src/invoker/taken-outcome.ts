/** Keeps what a function answers while it is on its way, as far as it is small, so that it can be compared. */
import { createHash, type Hash } from "node:crypto";
import type { InvocationOutcome, ResponseHead, ResponseSink } from "../core/invocation.ts";
import { RECORDING_OUTPUT_BYTES_MAX } from "../core/limits.ts";
import type { ComparedBody, ComparedOutcome } from "../core/outcome-diff.ts";

/** Passes a response on, if there is somebody to pass it to, and keeps it. */
export class KeepingSink implements ResponseSink {
  head: ResponseHead | undefined;
  readonly #sink: ResponseSink | undefined;
  readonly #body = new KeptBody();

  constructor(sink: ResponseSink | undefined) {
    this.#sink = sink;
  }

  get body(): ComparedBody {
    return this.#body.taken();
  }

  start(head: ResponseHead): void {
    this.head = head;
    this.#sink?.start(head);
  }

  write(chunk: Uint8Array): boolean {
    this.#body.add(chunk);
    return this.#sink?.write(chunk) ?? true;
  }

  async drained(): Promise<void> {
    await this.#sink?.drained();
  }
}

/** Bytes up to a limit; beyond that their number and hash. */
class KeptBody {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #hash: Hash | undefined;

  add(chunk: Uint8Array): void {
    this.#bytes += chunk.byteLength;
    if (this.#hash) this.#hash.update(chunk);
    // What is passed on may be used again by whoever wrote it.
    else this.#chunks.push(Buffer.from(chunk));
    if (this.#hash || this.#bytes <= RECORDING_OUTPUT_BYTES_MAX) return;
    this.#hash = createHash("sha256");
    for (const kept of this.#chunks) this.#hash.update(kept);
    this.#chunks = [];
  }

  taken(): ComparedBody {
    if (!this.#hash) return Buffer.concat(this.#chunks);
    return { bytes: this.#bytes, sha256: this.#hash.copy().digest("hex") };
  }
}

const NOTHING = new Uint8Array(0);

/** What came of a call, streamed or not. */
export function takenOutcome(outcome: InvocationOutcome, sink: KeepingSink | undefined): ComparedOutcome {
  switch (outcome.kind) {
    case "returned": {
      const isStreamed = outcome.isStreamed && sink !== undefined;
      const head = isStreamed ? sink.head : outcome.head;
      return {
        ...ofHead(head),
        kind: "returned",
        errorType: undefined,
        body: isStreamed ? sink.body : kept(outcome.payload),
      };
    }
    case "threw":
      return {
        ...ofHead(undefined),
        kind: "threw",
        errorType: outcome.errorType,
        body: kept(outcome.payload),
      };
    case "timed-out":
      return { ...ofHead(undefined), kind: "timed-out", errorType: undefined, body: NOTHING };
    case "crashed": {
      const { errorType, message } = outcome;
      return { ...ofHead(undefined), kind: "crashed", errorType, body: Buffer.from(message) };
    }
  }
}

function ofHead(head: ResponseHead | undefined): Pick<ComparedOutcome, "status" | "rawHeaders"> {
  if (!head) return { status: undefined, rawHeaders: [] };
  if (head.kind === "raw") return { status: undefined, rawHeaders: ["content-type", head.contentType] };
  return { status: head.status, rawHeaders: head.rawHeaders };
}

function kept(payload: Uint8Array): ComparedBody {
  const body = new KeptBody();
  body.add(payload);
  return body.taken();
}
