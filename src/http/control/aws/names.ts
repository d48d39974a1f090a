/**
 * The spellings in which AWS clients name a function: `NAME`, `NAME:QUALIFIER`, `ACCOUNT:function:NAME`, a full ARN,
 * a full ARN with qualifier. All arrive percent-decoded.
 */
import { PlatformError } from "../../../core/errors.ts";
import { type FunctionName, parseFunctionName } from "../../../core/ids.ts";

/** Whose functions these are; part of every ARN. */
export interface Account {
  /** Twelve digits. */
  readonly account: string;
  readonly region: string;
}

export interface FunctionReference {
  /** The bare name as given. */
  readonly text: string;
  /** Undefined if AWS allows the name but no function of ours can have it. */
  readonly name: FunctionName | undefined;
  /** From the reference itself; `Qualifier` in the query is another matter (`qualifierOf`). */
  readonly qualifier: string | undefined;
  /** Without qualifier. */
  readonly arn: string;
}

const PATTERN =
  "(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?";
const QUALIFIER_PATTERN = "\\$(LATEST(\\.PUBLISHED)?)|[a-zA-Z0-9-_$]+";
const QUALIFIER = /^(\$LATEST|[a-zA-Z0-9-_]+)$/;
const NAME = /^[a-zA-Z0-9-_.]+$/;
const NAME_LENGTH_MAX = 64;
const REFERENCE_LENGTH_MAX = 256;

export function functionArn({ account, region }: Account, name: string, qualifier?: string): string {
  const arn = `arn:aws:lambda:${region}:${account}:function:${name}`;
  return qualifier === undefined ? arn : `${arn}:${qualifier}`;
}

/**
 * @throws PlatformError `ValidationFailed` if it is no name at all, `InvalidRequest` if the name is too long,
 * `ResourceNotFound` for another region, `Forbidden` for another account.
 */
export function parseFunctionReference(text: string, own: Account): FunctionReference {
  if (text.length > REFERENCE_LENGTH_MAX) {
    throw constraint(
      "ValidationFailed",
      text,
      "functionName",
      `Member must have length less than or equal to ${REFERENCE_LENGTH_MAX}`,
    );
  }
  const parts = text.startsWith("arn:") ? splitArn(text) : splitShort(text);
  const isWellFormed =
    parts && NAME.test(parts.name) && (parts.qualifier === undefined || QUALIFIER.test(parts.qualifier));
  if (!isWellFormed) {
    throw constraint(
      "ValidationFailed",
      text,
      "functionName",
      `Member must satisfy regular expression pattern: ${PATTERN}`,
    );
  }
  if (parts.name.length > NAME_LENGTH_MAX) {
    throw constraint(
      "InvalidRequest",
      parts.name,
      "functionName",
      `Member must have length less than or equal to ${NAME_LENGTH_MAX}`,
    );
  }
  if (parts.region !== undefined && parts.region !== own.region) {
    throw new PlatformError(
      "ResourceNotFound",
      `Functions from '${parts.region}' are not reachable in this region ('${own.region}')`,
    );
  }
  if (parts.account !== undefined && parts.account !== own.account) {
    throw new PlatformError("Forbidden", `${text} belongs to another account than ${own.account}`);
  }
  return {
    text: parts.name,
    name: parseFunctionName(parts.name),
    qualifier: parts.qualifier,
    arn: functionArn(own, parts.name),
  };
}

/**
 * The one qualifier of a reference and the `Qualifier` parameter.
 *
 * @throws PlatformError `InvalidRequest` if both are given and differ, `ValidationFailed` outside the grammar.
 */
export function qualifierOf(reference: FunctionReference, parameter: string | undefined): string | undefined {
  if (parameter === undefined) return reference.qualifier;
  if (!QUALIFIER.test(parameter) || parameter.length > 128) {
    throw constraint(
      "ValidationFailed",
      parameter,
      "qualifier",
      `Member must satisfy regular expression pattern: ${QUALIFIER_PATTERN}`,
    );
  }
  if (reference.qualifier !== undefined && reference.qualifier !== parameter) {
    throw new PlatformError(
      "InvalidRequest",
      "The derived qualifier from the function name does not match the specified qualifier.",
    );
  }
  return parameter;
}

/** AWS's text for one member that breaks one rule. */
export function constraint(
  code: "ValidationFailed" | "InvalidRequest",
  value: string,
  field: string,
  rule: string,
): PlatformError {
  return new PlatformError(
    code,
    `1 validation error detected: Value '${value}' at '${field}' failed to satisfy constraint: ${rule}`,
  );
}

interface ReferenceParts {
  readonly region: string | undefined;
  readonly account: string | undefined;
  readonly name: string;
  readonly qualifier: string | undefined;
}

function splitArn(text: string): ReferenceParts | undefined {
  const [, partition = "", service, region, account = "", kind, name = "", qualifier, ...rest] =
    text.split(":");
  const isFunction = /^aws[a-zA-Z-]*$/.test(partition) && service === "lambda" && kind === "function";
  if (!isFunction || !region || !/^\d{12}$/.test(account) || rest.length > 0) return undefined;
  return { region, account, name, qualifier };
}

function splitShort(text: string): ReferenceParts | undefined {
  const fields = /^(?:(\d{12}):)?(?:function:)?([^:]+)(?::([^:]+))?$/.exec(text);
  if (!fields) return undefined;
  const [, account, name = "", qualifier] = fields;
  return { region: undefined, account, name, qualifier };
}
