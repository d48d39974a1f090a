import { ERROR_CODES, errorFacts } from "../core/errors.ts";

/** How a command can end; docs/cli.md has the same table. */
export const EXIT = {
  ok: 0,
  /** The function itself threw or crashed; for doctor: functions cannot run here; for replay: outcomes differ. */
  functionFailed: 1,
  usage: 2,
  notFound: 3,
  notAllowed: 4,
  conflict: 5,
  unreachable: 6,
  /** The server refused what it was given. */
  refused: 7,
  /** The server could not do it now: busy, full, broken. */
  serverFailed: 8,
  /** A bug in this program. */
  internal: 70,
  timedOut: 124,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Failures that only the CLI knows, beside those of the server. */
const LOCAL_EXITS = {
  Usage: EXIT.usage,
  FileUnusable: EXIT.usage,
  ConfigurationInvalid: EXIT.usage,
  KeyMissing: EXIT.notAllowed,
  ServerUnreachable: EXIT.unreachable,
  UnexpectedAnswer: EXIT.unreachable,
  FunctionFailed: EXIT.functionFailed,
  TimedOut: EXIT.timedOut,
  Interrupted: EXIT.interrupted,
  CommandFailed: EXIT.internal,
} as const satisfies Record<string, ExitCode>;

export type LocalCode = keyof typeof LOCAL_EXITS;

/** Why a command did not do its work: what happened with the value, and what to do about it. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly code: string;
  readonly exitCode: ExitCode;
  readonly hint: string | undefined;

  private constructor(code: string, exitCode: ExitCode, message: string, hint: string | undefined) {
    super(message);
    this.code = code;
    this.exitCode = exitCode;
    this.hint = hint;
  }

  static local(code: LocalCode, message: string, hint?: string): CliError {
    return new CliError(code, LOCAL_EXITS[code], message, hint);
  }

  /** An error that the server answered; `status` may be left out where it is told in the middle of an answer. */
  static fromServer(status: number | undefined, code: string, message: string, hint?: string): CliError {
    const known = ERROR_CODES.find((each) => each === code);
    const facts = known && errorFacts(known);
    return new CliError(code, exitCodeOf(status ?? facts?.status ?? 500), message, hint ?? HINTS[code]);
  }

  withHint(hint: string): CliError {
    return new CliError(this.code, this.exitCode, this.message, hint);
  }
}

export function usageError(message: string, hint?: string): CliError {
  return CliError.local("Usage", message, hint);
}

function exitCodeOf(status: number): ExitCode {
  if (status === 401 || status === 403) return EXIT.notAllowed;
  if (status === 404) return EXIT.notFound;
  if (status === 409 || status === 412) return EXIT.conflict;
  if (status === 429 || status >= 500) return EXIT.serverFailed;
  return EXIT.refused;
}

/** What usually helps; the server's message says what is wrong, this says which command comes next. */
const HINTS: Readonly<Partial<Record<string, string>>> = {
  FunctionNotFound: "lambda list shows what there is",
  // What calls by the AWS API are answered.
  ResourceNotFoundException: "lambda list shows what there is",
  InvalidRequestContentException: 'handlers take JSON: --data \'{"name":"World"}\'',
  TooManyRequestsException: "try again, or raise the limit with lambda deploy --max",
  RecordingNotFound: "lambda recordings list NAME shows what there is",
  VersionNotFound: "lambda versions NAME shows what there is",
  AliasNotFound: "lambda alias list NAME shows what there is",
  Unauthenticated:
    "check --key, LAMBDA_KEY or lambda config list --show-origin; lambda keys create makes another key",
  SignatureInvalid: "check --key or LAMBDA_KEY: it is ID.SECRET, as lambda keys create printed it",
  Forbidden: "use a key with that scope: lambda keys create --scopes … makes one",
  RuntimeUnavailable: "lambda runtimes shows what is installed here",
  IsolationUnavailable: "lambda doctor shows what is missing on this machine and how to mend it",
  TooManyInvocations: "try again, or raise the limit with lambda deploy --max",
  StorageFull: "free disk space; lambda doctor shows how much is left",
};
