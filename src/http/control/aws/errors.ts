/**
 * Errors in AWS's spelling: status, `x-amzn-ErrorType`, and a body whose members differ by class. Recorded: some
 * classes say `Message`, others `message`; what AWS's model does not know has no `Type`.
 */
import { errorFacts, isPlatformError, PlatformError } from "../../../core/errors.ts";
import type { Log } from "../../../core/log.ts";
import { explainError } from "../../error-response.ts";
import type { AwsOperationName } from "./routes.ts";

export interface AwsErrorReply {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
}

const CAPITAL_MESSAGE: ReadonlySet<string> = new Set([
  "ResourceNotFoundException",
  "CodeSigningConfigNotFoundException",
  "ServiceException",
]);
const WITHOUT_TYPE: ReadonlySet<string> = new Set([
  "ValidationException",
  "AccessDeniedException",
  "RequestEntityTooLargeException",
  "UnrecognizedClientException",
  "InvalidSignatureException",
  "CodeSigningConfigNotFoundException",
]);

/** As recorded; which limit it was, the reason says. */
const CALLS_THROTTLED = "Rate Exceeded.";

/** The answer to an error; what must not leave the house is logged and becomes "internal error". */
export function awsErrorReply(
  error: unknown,
  facts: { readonly log: Log; readonly requestId: string },
): AwsErrorReply {
  const answer = explainError(error, facts);
  const { awsName, awsStatus, status, fault } = errorFacts(answer.code);
  const isOfCalls = /ConcurrentInvocationLimitExceeded$/.test(answer.reason ?? "");
  const text = isOfCalls ? CALLS_THROTTLED : answer.message;
  const message = { [CAPITAL_MESSAGE.has(awsName) ? "Message" : "message"]: text };
  const type = WITHOUT_TYPE.has(awsName) ? {} : { Type: fault === "platform" ? "Service" : "User" };
  const headers = ["x-amzn-ErrorType", awsName];
  if (answer.retryAfterS !== undefined) headers.push("Retry-After", String(answer.retryAfterS));
  const body = { ...(answer.reason !== undefined && { Reason: answer.reason }), ...type, ...message };
  return { status: awsStatus ?? status, headers, body: JSON.stringify(body) };
}

/** What an operation was about, for texts that name it. */
export interface Subject {
  readonly name: string;
  /** Without qualifier. */
  readonly arn: string;
  readonly qualifier: string | undefined;
  /** Of the alias operations. */
  readonly alias: string | undefined;
  /** That an alias is to point at. */
  readonly version: string | undefined;
}

const RESOURCE_MISSING = () => "The resource you requested does not exist.";
const FUNCTION_MISSING = () => "Function does not exist";

const NO_FUNCTION = () => "The function doesn't exist.";
const NO_EVENT_CONFIG = ({ arn, qualifier }: Subject) =>
  `The function ${joined(arn, qualifier ?? "$LATEST")} doesn't have an EventInvokeConfig`;

/** Texts for what is not there, where they are not the usual `Function not found: ARN`. Recorded. */
const MISSING: Partial<Record<AwsOperationName, (subject: Subject) => string>> = {
  PutFunctionEventInvokeConfig: NO_FUNCTION,
  UpdateFunctionEventInvokeConfig: NO_FUNCTION,
  ListFunctionEventInvokeConfigs: NO_FUNCTION,
  GetFunctionEventInvokeConfig: NO_EVENT_CONFIG,
  DeleteFunctionEventInvokeConfig: NO_EVENT_CONFIG,
  GetPolicy: RESOURCE_MISSING,
  GetResourcePolicy: RESOURCE_MISSING,
  RemovePermission: ({ arn, qualifier }) => `No policy found for: ${joined(arn, qualifier)}`,
  PutFunctionConcurrency: ({ arn }) => `Function not found: ${arn}:$LATEST`,
  GetFunctionUrlConfig: RESOURCE_MISSING,
  DeleteFunctionUrlConfig: RESOURCE_MISSING,
  CreateFunctionUrlConfig: FUNCTION_MISSING,
  UpdateFunctionUrlConfig: FUNCTION_MISSING,
  ListFunctionUrlConfigs: FUNCTION_MISSING,
};

/** For an alias that is a qualifier. */
const ALIAS_QUALIFIER = ({ arn, qualifier }: Subject) => `Cannot find alias arn: ${joined(arn, qualifier)}`;

const ALIAS_MISSING: Partial<Record<AwsOperationName, (subject: Subject) => string>> = {
  ...MISSING,
  AddPermission: ALIAS_QUALIFIER,
  PutProvisionedConcurrencyConfig: ALIAS_QUALIFIER,
  GetProvisionedConcurrencyConfig: ALIAS_QUALIFIER,
  DeleteProvisionedConcurrencyConfig: ALIAS_QUALIFIER,
  GetAlias: ({ arn, alias }) => `Cannot find alias arn: ${joined(arn, alias)}`,
  UpdateAlias: ({ arn, alias }) => `Alias not found: ${joined(arn, alias)}`,
};

const REVISION_CHANGED =
  "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id";

/** They have said it themselves: their revision is that of the policy. */
const POLICY_OPERATIONS: ReadonlySet<AwsOperationName> = new Set([
  "AddPermission",
  "RemovePermission",
  "PutResourcePolicy",
  "DeleteResourcePolicy",
]);

/** The same error with the text that AWS has for it; anything else as it is. */
export function inAwsWords(error: unknown, operation: AwsOperationName, subject: Subject): unknown {
  if (!isPlatformError(error)) return error;
  const text = awsText(error, operation, subject);
  return text === undefined ? error : new PlatformError(error.code, text, { cause: error });
}

function awsText(error: PlatformError, operation: AwsOperationName, subject: Subject): string | undefined {
  const { arn, qualifier, version, alias, name } = subject;
  const usual = () => `Function not found: ${joined(arn, qualifier)}`;
  switch (error.code) {
    case "FunctionNotFound":
      return (MISSING[operation] ?? usual)(subject);
    case "VersionNotFound":
      return MISSING[operation]?.(subject) ?? `Function not found: ${joined(arn, version ?? qualifier)}`;
    case "AliasNotFound":
      return (ALIAS_MISSING[operation] ?? usual)(subject);
    case "FunctionExists":
      return `Function already exist: ${name}`;
    case "AliasExists":
      return `Alias already exists: ${joined(arn, alias)}`;
    case "RevisionChanged":
      return POLICY_OPERATIONS.has(operation) ? undefined : REVISION_CHANGED;
    default:
      return undefined;
  }
}

function joined(arn: string, qualifier: string | undefined): string {
  return qualifier === undefined ? arn : `${arn}:${qualifier}`;
}
