/** `GET …/logs`: lines as NDJSON, then, with `follow=1`, new ones until the caller has enough. */
import { PlatformError } from "../../../core/errors.ts";
import { parseInvocationId } from "../../../core/ids.ts";
import type { LogQuery } from "../../../records/records.ts";
import type { ControlParts } from "../parts.ts";
import type { ControlRequest, Reply, ReplyStream } from "../route.ts";
import { nameOf } from "./named-function.ts";
import { wholeNumber } from "./wire.ts";

/** An empty line this often keeps proxies from ending a quiet connection, and shows us a reader who has gone. */
const HEARTBEAT_MS = 15_000;
const LAST_MAX = 100_000;
const CONTAINS_LENGTH_MAX = 1_024;

export async function readLogs(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const query = parseQuery(request);
  await parts.functions.get(query.functionName);
  return {
    kind: "stream",
    contentType: "application/x-ndjson",
    async run(out) {
      const signal = AbortSignal.any([request.signal, request.closing]);
      const beating = query.follow ? heartbeat(parts, out, signal) : Promise.resolve();
      try {
        for await (const line of parts.records.read(query, { signal })) {
          if (!out.write(`${JSON.stringify(line)}\n`)) await out.drained();
        }
      } catch (error) {
        // The reader has gone, or we are closing: the end of a followed log, not a failure.
        if (!signal.aborted) throw error;
      }
      await beating;
    },
  };
}

async function heartbeat(parts: ControlParts, out: ReplyStream, signal: AbortSignal): Promise<void> {
  try {
    for (;;) {
      await parts.clock.sleep(HEARTBEAT_MS, { signal });
      out.write("\n");
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

function parseQuery(request: ControlRequest): LogQuery {
  const { query } = request;
  const id = query.get("id");
  const invocationId = id === null ? undefined : parseInvocationId(id);
  if (id !== null && !invocationId) {
    throw new PlatformError(
      "InvalidRequest",
      `id: expected the UUID of an invocation, got ${JSON.stringify(id)}`,
    );
  }
  const version = query.get("version") ?? undefined;
  if (version !== undefined && !/^(\$LATEST|[1-9]\d*)$/.test(version)) {
    throw new PlatformError(
      "InvalidRequest",
      `version: expected a number or $LATEST, got ${JSON.stringify(version)}`,
    );
  }
  const contains = query.get("grep") ?? undefined;
  if (contains !== undefined && contains.length > CONTAINS_LENGTH_MAX) {
    throw new PlatformError("InvalidRequest", `grep: expected at most ${CONTAINS_LENGTH_MAX} characters`);
  }
  return {
    functionName: nameOf(request),
    sinceAt: wholeNumber(query, "since", 0, Number.MAX_SAFE_INTEGER),
    untilAt: wholeNumber(query, "until", 0, Number.MAX_SAFE_INTEGER),
    invocationId,
    version,
    contains: contains === "" ? undefined : contains,
    last: wholeNumber(query, "last", 0, LAST_MAX),
    follow: query.get("follow") === "1",
  };
}
