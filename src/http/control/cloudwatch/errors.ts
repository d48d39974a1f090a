/** Errors as CloudWatch's protocols shape them: 400 or 500; the name in `__type`, or in XML's `Code`. */
import type { IncomingHttpHeaders } from "node:http";
import { type ErrorCode, errorFacts } from "../../../core/errors.ts";
import { type ErrorFacts, explainError } from "../../error-response.ts";
import { dialectOf, isCborPath } from "./dialect.ts";
import { queryError } from "./query-form.ts";

/** Names that differ from those of the Lambda API. */
const NAMES: Partial<Record<ErrorCode, string>> = {
  InvalidRequest: "InvalidParameterException",
  ValidationFailed: "InvalidParameterException",
  InvalidPayload: "SerializationException",
  UnsupportedMember: "InvalidParameterException",
  RouteNotFound: "UnknownOperationException",
  TooManyInvocations: "ThrottlingException",
};

/** Where metrics have other names than logs. */
const METRIC_NAMES: Partial<Record<ErrorCode, string>> = {
  InvalidRequest: "InvalidParameterValueException",
  ValidationFailed: "ValidationError",
};

/** What the query protocol calls them, which others say beside their own names. */
const QUERY_CODES: Readonly<Record<string, string>> = {
  InvalidParameterValueException: "InvalidParameterValue",
  SerializationException: "MalformedInput",
  UnknownOperationException: "InvalidAction",
  AccessDeniedException: "AccessDenied",
  UnrecognizedClientException: "InvalidClientTokenId",
  InvalidSignatureException: "SignatureDoesNotMatch",
  ThrottlingException: "Throttling",
  ServiceUnavailableException: "InternalServiceError",
};

export interface CloudWatchErrorReply {
  readonly status: number;
  readonly headers: readonly string[];
  readonly contentType: string;
  readonly body: string | Uint8Array;
}

export async function cloudWatchErrorReply(
  error: unknown,
  facts: ErrorFacts,
  request: { readonly headers: IncomingHttpHeaders; readonly path: string },
): Promise<CloudWatchErrorReply> {
  const answer = explainError(error, facts);
  const { code, message } = answer;
  const { awsName, fault } = errorFacts(code);
  const isSender = fault !== "platform";
  const dialect = dialectOf(request.headers, request.path);
  const target = String(request.headers["x-amz-target"] ?? "");
  const isMetrics = dialect !== "json" || target.startsWith("Granite");
  const known = (isMetrics ? METRIC_NAMES[code] : undefined) ?? NAMES[code] ?? awsName;
  const name = isSender ? known : "ServiceUnavailableException";
  const queryCode = QUERY_CODES[name] ?? name.replace(/Exception$/, "");
  const status = isSender ? 400 : 500;
  const queryHeaders = isMetrics
    ? ["x-amzn-query-error", `${queryCode};${isSender ? "Sender" : "Receiver"}`]
    : [];
  switch (dialect) {
    case "json": {
      const body = JSON.stringify({ __type: name, message });
      return {
        status,
        headers: ["x-amzn-ErrorType", name, ...queryHeaders],
        contentType: "application/json",
        body,
      };
    }
    case "query": {
      const body = queryError({ code: queryCode, message, isSender, requestId: facts.requestId });
      return { status, headers: [], contentType: "text/xml", body };
    }
    case "cbor": {
      const { encode } = await import("cborg");
      const body = encode({ __type: `com.amazonaws.cloudwatch#${name}`, message });
      const headers = ["smithy-protocol", "rpc-v2-cbor", "x-amzn-ErrorType", name, ...queryHeaders];
      return { status, headers, contentType: "application/cbor", body };
    }
  }
}

export function isCloudWatchRequest(method: string | undefined, path: string): boolean {
  return method === "POST" && (path === "/" || isCborPath(path));
}
