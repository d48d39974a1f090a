import { PlatformError } from "../../core/errors.ts";
import { ENVIRONMENT_BYTES_MAX } from "../../core/limits.ts";
import { RESERVED_VARIABLES } from "../../core/reserved-variables.ts";

const START =
  "Lambda was unable to configure your environment variables because the environment variables you have provided";

/**
 * The variables, once they may be set. Values never appear in messages but where AWS's own text has them.
 *
 * @throws PlatformError `InvalidRequest` for reserved names, more than 4 KiB in all (measured as compact JSON), or a
 * NUL character, which no environment can hold.
 */
export function checkEnvironment(
  variables: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const reserved = Object.keys(variables).filter((name) => RESERVED_VARIABLES.has(name));
  if (reserved.length > 0) {
    throw new PlatformError(
      "InvalidRequest",
      `${START} contains reserved keys that are currently not supported for modification. Reserved keys used in this request: ${reserved.join(", ")}`,
    );
  }
  const torn = Object.keys(variables).find((name) => variables[name]?.includes("\0"));
  if (torn !== undefined) {
    throw new PlatformError("InvalidRequest", `${START} contain a NUL character in the value of ${torn}`);
  }
  const measured = JSON.stringify(variables);
  if (Buffer.byteLength(measured) > ENVIRONMENT_BYTES_MAX) {
    throw new PlatformError(
      "InvalidRequest",
      `${START} exceeded the 4KB limit. String measured: ${measured.slice(0, 2 * ENVIRONMENT_BYTES_MAX)}`,
    );
  }
  return variables;
}
