/**
 * Three protocols of CloudWatch, told apart by how a request comes:
 *
 * - JSON: `POST /`, the operation in `X-Amz-Target`;
 * - query: `POST /`, a form, answered in XML (query-form.ts);
 * - Smithy RPC v2 CBOR: `POST /service/SERVICE/operation/OPERATION`, `smithy-protocol: rpc-v2-cbor`.
 *
 * The library for CBOR is loaded with the first request that speaks it. Inside, an instant of an answer is a `Date` and a map a `Map`.
 */
import { PlatformError } from "../../../core/errors.ts";
import type { ControlRequest, Reply } from "../route.ts";
import { type CloudWatchDialect, dialectOf } from "./dialect.ts";
import { parseQueryForm, queryAnswer, STACKS_VERSION } from "./query-form.ts";

export interface CloudWatchCall {
  readonly dialect: CloudWatchDialect;
  /** `Logs_20140328`, `GraniteServiceVersion20100801` or `CloudFormation`. */
  readonly service: string;
  readonly operation: string;
  readonly body: unknown;
}

export const METRICS_SERVICE = "GraniteServiceVersion20100801";
/** CloudFormation, which speaks the query protocol alone and is told apart by its version. */
export const STACKS_SERVICE = "CloudFormation";
const EPOCH_TAG = 1;

/** @throws PlatformError `InvalidPayload` for a body that cannot be read. */
export async function readCall(request: ControlRequest): Promise<CloudWatchCall> {
  const dialect = dialectOf(request.headers, request.route.path);
  switch (dialect) {
    case "json": {
      const [service = "", operation = ""] = String(request.headers["x-amz-target"] ?? "").split(".");
      return { dialect, service, operation, body: parseJson(request.bytes) };
    }
    case "query": {
      const { action, version, body } = parseQueryForm(request.bytes);
      const service = version === STACKS_VERSION ? STACKS_SERVICE : METRICS_SERVICE;
      return { dialect, service, operation: action, body };
    }
    case "cbor": {
      const { service = "", operation = "" } = request.params;
      return { dialect, service, operation, body: await parseCbor(request.bytes) };
    }
  }
}

export async function replyTo(
  { dialect, service, operation }: CloudWatchCall,
  request: ControlRequest,
  value: unknown,
): Promise<Reply> {
  switch (dialect) {
    case "json": {
      if (value === undefined) return { kind: "empty", status: 200 };
      const asked = request.headers["content-type"];
      const contentType = asked === "application/x-amz-json-1.0" ? asked : "application/x-amz-json-1.1";
      return bytesReply(contentType, JSON.stringify(plain(value, (date) => date.getTime() / 1_000)));
    }
    case "query":
      return bytesReply(
        "text/xml",
        queryAnswer(
          { action: operation, requestId: request.requestId, isOfStacks: service === STACKS_SERVICE },
          value,
        ),
      );
    case "cbor": {
      const { encode, Tagged } = await import("cborg");
      const tagged = plain(value, (date) => new Tagged(EPOCH_TAG, date.getTime() / 1_000));
      const body = encode(tagged, { ignoreUndefinedProperties: true });
      const headers = ["smithy-protocol", "rpc-v2-cbor"];
      return { kind: "bytes", status: 200, contentType: "application/cbor", body, headers };
    }
  }
}

function bytesReply(contentType: string, text: string): Reply {
  return { kind: "bytes", status: 200, contentType, body: Buffer.from(text) };
}

/** The same value with instants as the protocol has them, and maps as objects. */
function plain(value: unknown, instant: (date: Date) => unknown): unknown {
  if (value instanceof Date) return instant(value);
  if (Array.isArray(value)) return value.map((one) => plain(one, instant));
  if (typeof value !== "object" || value === null) return value;
  const members = value instanceof Map ? [...value] : Object.entries(value);
  return Object.fromEntries(members.map(([name, member]) => [name, plain(member, instant)]));
}

function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return {};
  try {
    return JSON.parse(Buffer.from(bytes).toString());
  } catch (cause) {
    throw new PlatformError("InvalidPayload", "the body is not JSON", { cause });
  }
}

async function parseCbor(bytes: Uint8Array): Promise<unknown> {
  if (bytes.length === 0) return {};
  const { decode } = await import("cborg");
  try {
    return decode(bytes, { tags: { [EPOCH_TAG]: (content) => content() } });
  } catch (cause) {
    throw new PlatformError("InvalidPayload", "the body is not CBOR", { cause });
  }
}
