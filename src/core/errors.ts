/**
 * Every way in which a call can fail to happen. A function that throws, times out or crashes has been served: that
 * is an outcome (invocation.ts), not an error. Status and AWS name are looked up here, never chosen at the throw.
 */
interface ErrorFacts {
  /** HTTP status of the gateway, of our own API and, unless `awsStatus` says otherwise, of the AWS API. */
  readonly status: number;
  readonly awsName: string;
  readonly awsStatus?: number;
  readonly fault: "caller" | "platform";
  readonly isRetryable: boolean;
}

function caller(status: number, awsName: string, awsStatus?: number): ErrorFacts {
  return { status, awsName, fault: "caller", isRetryable: false, ...(awsStatus && { awsStatus }) };
}

function retryable(facts: ErrorFacts): ErrorFacts {
  return { ...facts, isRetryable: true };
}

function platform(status: number, awsStatus?: number): ErrorFacts {
  return {
    status,
    awsName: "ServiceException",
    fault: "platform",
    isRetryable: true,
    ...(awsStatus && { awsStatus }),
  };
}

const CATALOG = {
  InvalidRequest: caller(400, "InvalidParameterValueException"),
  /** Text of a generic "N validation errors detected" answer. */
  ValidationFailed: caller(400, "ValidationException"),
  InvalidPayload: caller(400, "InvalidRequestContentException"),
  InvalidName: caller(400, "InvalidParameterValueException"),
  InvalidArchive: caller(400, "InvalidParameterValueException"),
  InvalidHandler: caller(400, "InvalidParameterValueException"),
  /** Code does not parse. */
  InvalidSyntax: caller(400, "InvalidParameterValueException"),
  UnsupportedMember: caller(400, "InvalidParameterValueException"),
  BuildFailed: caller(400, "InvalidParameterValueException"),
  /** A function of a release does not start; the live release stays. */
  ReleaseFailed: caller(400, "InvalidParameterValueException"),
  /** A version that was to go live did not become ready, and did not. */
  VersionNotReady: caller(400, "InvalidParameterValueException"),
  RuntimeUnavailable: caller(400, "InvalidParameterValueException"),
  ImageUnavailable: caller(400, "InvalidParameterValueException"),
  Unauthenticated: caller(401, "UnrecognizedClientException", 403),
  SignatureInvalid: caller(403, "InvalidSignatureException"),
  Forbidden: caller(403, "AccessDeniedException"),
  HostRefused: caller(403, "AccessDeniedException"),
  FunctionNotFound: caller(404, "ResourceNotFoundException"),
  VersionNotFound: caller(404, "ResourceNotFoundException"),
  AliasNotFound: caller(404, "ResourceNotFoundException"),
  ProvisionedNotFound: caller(404, "ProvisionedConcurrencyConfigNotFoundException"),
  CodeSigningNotFound: caller(404, "CodeSigningConfigNotFoundException"),
  PolicyTooLong: caller(400, "PolicyLengthExceededException"),
  /** The function has called itself, over others or not, too often. */
  RecursiveLoop: caller(400, "RecursiveInvocationException"),
  EventNotFound: caller(404, "ResourceNotFoundException"),
  /** Never made, or gone since. */
  RecordingNotFound: caller(404, "ResourceNotFoundException"),
  /** What was recorded is no input for the version that is to run. */
  RecordingUnsuitable: caller(409, "ResourceConflictException"),
  ResourceNotFound: caller(404, "ResourceNotFoundException"),
  RouteNotFound: caller(404, "UnknownOperationException"),
  MethodNotAllowed: caller(405, "UnknownOperationException", 404),
  FunctionExists: caller(409, "ResourceConflictException"),
  AliasExists: caller(409, "ResourceConflictException"),
  ResourceConflict: caller(409, "ResourceConflictException"),
  RevisionChanged: caller(412, "PreconditionFailedException"),
  PayloadTooLarge: caller(413, "RequestEntityTooLargeException"),
  TooManyInvocations: retryable(caller(429, "TooManyRequestsException")),
  /** The event queue holds as much as it may. */
  TooManyEvents: retryable(caller(429, "TooManyRequestsException")),
  /** The caller went away; nobody reads the answer, the status is for the log. */
  CallerGone: caller(499, "ServiceException", 500),
  /** A hook that takes nothing for now; senders try again. */
  HookPaused: retryable(caller(503, "ServiceException")),
  SandboxStartFailed: platform(502, 500),
  IsolationUnavailable: platform(503, 500),
  /** The container engine is absent, stopped, not for this user, slow, or gone in the middle. */
  EngineUnavailable: platform(503, 500),
  /** The server of a queue cannot be reached, or refuses us. */
  SourceUnavailable: caller(502, "InvalidParameterValueException", 400),
  /** The keys that tokens are checked with cannot be had. */
  AuthorizerUnavailable: platform(503, 500),
  StoreUnavailable: platform(503, 500),
  ShuttingDown: platform(503, 500),
  StorageFull: platform(507, 500),
  Internal: platform(500),
  /** Start-up problems: the daemon says them and exits. */
  ConfigurationInvalid: caller(400, "InvalidParameterValueException"),
  PortInUse: caller(409, "ServiceException"),
  DataFolderInUse: caller(409, "ServiceException"),
  DataFolderMismatch: caller(409, "ServiceException"),
} as const satisfies Record<string, ErrorFacts>;

export type ErrorCode = keyof typeof CATALOG;

export const ERROR_CODES = Object.keys(CATALOG) as readonly ErrorCode[];

export function errorFacts(code: ErrorCode): ErrorFacts {
  return CATALOG[code];
}

/** The call did not happen, or we cannot tell. The message has the value and the remedy, in lower case, no full stop. */
export class PlatformError extends Error {
  override readonly name = "PlatformError";
  readonly code: ErrorCode;
  /** Lambda's throttle reason, for 429s. */
  readonly reason: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options?: ErrorOptions & { readonly reason?: string; readonly retryAfterMs?: number },
  ) {
    super(message, options);
    this.code = code;
    this.reason = options?.reason;
    this.retryAfterMs = options?.retryAfterMs;
  }
}

export function isPlatformError(error: unknown, code?: ErrorCode): error is PlatformError {
  return error instanceof PlatformError && (code === undefined || error.code === code);
}
