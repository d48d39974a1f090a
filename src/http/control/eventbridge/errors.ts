/** Errors as EventBridge (JSON 1.1) and EventBridge Scheduler (REST) name and shape them. */
import { type ErrorCode, errorFacts, isPlatformError, PlatformError } from "../../../core/errors.ts";
import { type ErrorFacts, explainError } from "../../error-response.ts";
import type { ControlParts } from "../parts.ts";
import type { ControlRequest, Handler } from "../route.ts";

export type EventBridgeService = "events" | "scheduler";

const NAMES: Partial<Record<ErrorCode, string>> = {
  InvalidRequest: "ValidationException",
  InvalidName: "ValidationException",
  InvalidPayload: "ValidationException",
  UnsupportedMember: "ValidationException",
  RouteNotFound: "UnknownOperationException",
  TooManyInvocations: "ThrottlingException",
};

export function eventBridgeErrorReply(
  service: EventBridgeService,
  error: unknown,
  facts: ErrorFacts,
): { readonly status: number; readonly headers: readonly string[]; readonly body: string } {
  const { code, message } = explainError(error, facts);
  const { awsName, awsStatus, status, fault } = errorFacts(code);
  const name = fault === "platform" ? internal(service) : (conflict(service, code) ?? NAMES[code] ?? awsName);
  return {
    // JSON 1.1 knows two; the name is in the body.
    status: fault === "platform" ? 500 : service === "events" ? 400 : (awsStatus ?? status),
    headers: ["x-amzn-ErrorType", name],
    body: JSON.stringify({ __type: name, message, ...(service === "scheduler" && { Message: message }) }),
  };
}

function internal(service: EventBridgeService): string {
  return service === "events" ? "InternalException" : "InternalServerException";
}

/** Of rules, only limits are in conflict with what is there. */
function conflict(service: EventBridgeService, code: ErrorCode): string | undefined {
  if (code !== "ResourceConflict") return undefined;
  return service === "events" ? "LimitExceededException" : "ConflictException";
}

/** Answers what a handler throws in the words of its service. */
export function withErrorsOf(
  service: EventBridgeService,
  { log }: Pick<ControlParts, "log">,
  handler: Handler,
): Handler {
  return async (request: ControlRequest) => {
    try {
      return await handler(request);
    } catch (error) {
      const { status, headers, body } = eventBridgeErrorReply(service, error, {
        log,
        requestId: request.requestId,
      });
      return { kind: "bytes", status, contentType: "application/json", body: Buffer.from(body), headers };
    }
  };
}

/** The text that AWS has for an expression it does not understand, whatever is wrong in it. */
export function expressionProblem(error: unknown, message: string): unknown {
  return isPlatformError(error, "InvalidRequest") ? new PlatformError("ValidationFailed", message) : error;
}
