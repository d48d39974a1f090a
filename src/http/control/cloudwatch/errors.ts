/** Errors as CloudWatch's JSON protocols shape them: 400 or 500, and the name in `__type`. */
import { type ErrorCode, errorFacts } from "../../../core/errors.ts";
import { type ErrorFacts, explainError } from "../../error-response.ts";

/** Names that differ from those of the Lambda API. */
const NAMES: Partial<Record<ErrorCode, string>> = {
  InvalidRequest: "InvalidParameterException",
  ValidationFailed: "InvalidParameterException",
  InvalidPayload: "SerializationException",
  UnsupportedMember: "InvalidParameterException",
  RouteNotFound: "UnknownOperationException",
  TooManyInvocations: "ThrottlingException",
};

export function cloudWatchErrorReply(
  error: unknown,
  facts: ErrorFacts,
): { readonly status: number; readonly headers: readonly string[]; readonly body: string } {
  const answer = explainError(error, facts);
  const { awsName, fault } = errorFacts(answer.code);
  const name = fault === "platform" ? "ServiceUnavailableException" : (NAMES[answer.code] ?? awsName);
  const headers = ["x-amzn-ErrorType", name];
  const body = JSON.stringify({ __type: name, message: answer.message });
  return { status: fault === "platform" ? 500 : 400, headers, body };
}
