import { randomBytes } from "node:crypto";
import type { Version } from "../core/function.ts";

/** Who the platform says it is in ARNs and in the environment of functions. */
export interface Identity {
  readonly accountId: string;
  readonly region: string;
}

/** `arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]`. */
export function functionArn(identity: Identity, name: string, qualifier: string | undefined): string {
  const arn = `arn:aws:lambda:${identity.region}:${identity.accountId}:function:${name}`;
  return qualifier === undefined ? arn : `${arn}:${qualifier}`;
}

/** `yyyy/mm/dd/[VERSION]` and 32 hex digits: a new one for each instance. */
export function newLogStreamName(version: string, now: number): string {
  const day = new Date(now).toISOString().slice(0, 10).replaceAll("-", "/");
  return `${day}/[${version}]${randomBytes(16).toString("hex")}`;
}

/** What every function has; a user may replace it. Everything else the platform sets wins over the user's value. */
export const BASE_ENVIRONMENT = {
  LANG: "en_US.UTF-8",
  TZ: ":UTC",
  PATH: "/usr/local/bin:/usr/bin:/bin:/opt/bin",
} as const;

/** Lambda's daemon for traces is not here; libraries that look for one must neither fail nor talk to strangers. */
const TRACING_DEFAULTS = {
  AWS_XRAY_CONTEXT_MISSING: "LOG_ERROR",
  AWS_XRAY_DAEMON_ADDRESS: "127.0.0.1:2000",
} as const;
const TRACING = { _AWS_XRAY_DAEMON_ADDRESS: "127.0.0.1", _AWS_XRAY_DAEMON_PORT: "2000" } as const;

/**
 * The environment that every function has, whatever its protocol, as Lambda sets it (developer guide, "Defined
 * runtime environment variables"). Credentials are left out: nothing of the platform's ever enters a sandbox.
 * Channels add what belongs to them: paths inside, the Runtime API, the port.
 */
export function functionEnvironment(
  version: Version,
  identity: Identity,
  logStreamName: string,
): Record<string, string> {
  const { code, config, functionName, label } = version;
  const isHandler = config.entry.kind === "handler";
  const { logging } = config;
  const isManaged = isHandler && /^(nodejs|python|ruby|java|dotnet)/.test(config.runtime);
  return {
    // An image has its own.
    ...(code.image === undefined && BASE_ENVIRONMENT),
    ...(isHandler && TRACING_DEFAULTS),
    ...config.environment,
    ...(isHandler && TRACING),
    ...(logging.format === "JSON" && {
      AWS_LAMBDA_LOG_FORMAT: logging.format,
      AWS_LAMBDA_LOG_LEVEL: logging.applicationLevel ?? "INFO",
    }),
    AWS_REGION: identity.region,
    AWS_DEFAULT_REGION: identity.region,
    AWS_LAMBDA_FUNCTION_NAME: functionName,
    AWS_LAMBDA_FUNCTION_VERSION: label,
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(config.memoryMib),
    AWS_LAMBDA_INITIALIZATION_TYPE: "on-demand",
    AWS_LAMBDA_LOG_GROUP_NAME: logging.group ?? `/aws/lambda/${functionName}`,
    AWS_LAMBDA_LOG_STREAM_NAME: logStreamName,
    ...(isManaged && { AWS_EXECUTION_ENV: `AWS_Lambda_${config.runtime}` }),
  };
}
