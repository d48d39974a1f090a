import { PlatformError } from "../../../core/errors.ts";
import type { FunctionRecord, Version } from "../../../core/function.ts";
import type { FunctionName } from "../../../core/ids.ts";
import type { Functions } from "../../../registry/functions.ts";
import type { ControlRequest } from "../route.ts";
import { type FunctionReference, qualifierOf } from "./names.ts";

/** A request's function: how it was named, and which version of it was asked for. */
export interface Named {
  readonly reference: FunctionReference;
  readonly name: FunctionName;
  readonly qualifier: string | undefined;
}

/** @throws PlatformError `FunctionNotFound` if no function can have that name; as `qualifierOf` does. */
export function namedBy(request: ControlRequest): Named {
  const { reference } = request;
  if (!reference) throw new PlatformError("InvalidRequest", "FunctionName is missing");
  const qualifier = qualifierOf(reference, request.query.get("Qualifier") ?? undefined);
  if (!reference.name) throw new PlatformError("FunctionNotFound", `there is no function ${reference.text}`);
  return { reference, name: reference.name, qualifier };
}

/** As `namedBy`, for operations that know no versions. @throws PlatformError `InvalidRequest` if one is named. */
export function unqualified(request: ControlRequest): Named {
  const named = namedBy(request);
  if (named.reference.qualifier !== undefined) {
    throw new PlatformError(
      "InvalidRequest",
      "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.",
    );
  }
  return named;
}

/**
 * The version behind a qualifier; of an alias with two, the main one.
 *
 * @throws PlatformError `AliasNotFound`, `VersionNotFound`.
 */
export async function versionOf(
  functions: Pick<Functions, "getVersion">,
  record: FunctionRecord,
  qualifier: string | undefined,
): Promise<Version> {
  if (qualifier === undefined || qualifier === "$LATEST") return record.latest;
  if (/^\d+$/.test(qualifier)) return functions.getVersion(record.name, Number(qualifier));
  const alias = record.aliases.find(({ name }) => name === qualifier);
  if (!alias) throw new PlatformError("AliasNotFound", `function ${record.name} has no alias ${qualifier}`);
  return versionOf(functions, record, alias.version);
}
