import { PlatformError } from "../core/errors.ts";
import type { Alias, FunctionRecord } from "../core/function.ts";
import type { NewAlias } from "./functions.ts";
import { aliasNotFound } from "./not-found.ts";

/** Aliases of one function; the next is refused. They are all part of one record that every change writes anew. */
export const ALIASES_MAX = 256;

const NAME = /^(?!\d+$)[A-Za-z0-9_-]{1,128}$/;
const DESCRIPTION_LENGTH_MAX = 256;

/**
 * Lambda's rules for an alias, but for whether the versions exist.
 *
 * @throws PlatformError `InvalidRequest` with the value and the rule.
 */
export function checkAlias({ name, version, description, split }: NewAlias): void {
  if (!NAME.test(name)) {
    refuse(`alias "${name}": expected 1 to 128 characters of A-Z, a-z, 0-9, - and _, not only digits`);
  }
  if (description.length > DESCRIPTION_LENGTH_MAX) {
    refuse(
      `description of alias "${name}": expected at most ${DESCRIPTION_LENGTH_MAX} characters, got ${description.length}`,
    );
  }
  if (!split) return;
  if (version === "$LATEST" || split.version === "$LATEST") {
    refuse(`alias "${name}": $LATEST cannot share calls with another version; publish a version first`);
  }
  if (version === split.version)
    refuse(`alias "${name}": expected two different versions, got ${version} twice`);
  if (!(split.weight >= 0 && split.weight <= 1)) {
    refuse(`alias "${name}": expected a weight from 0 to 1, got ${split.weight}`);
  }
}

/** Whether the alias can lead to that version. */
export function pointsAt({ version, split }: Alias, number: number): boolean {
  return version === `${number}` || split?.version === `${number}`;
}

function refuse(message: string): never {
  throw new PlatformError("InvalidRequest", message);
}

export function findAlias(record: FunctionRecord, alias: string): Alias | undefined {
  return record.aliases.find(({ name }) => name === alias);
}

/** @throws PlatformError `AliasNotFound` */
export function requireAlias(record: FunctionRecord, alias: string): Alias {
  const found = findAlias(record, alias);
  if (!found) throw aliasNotFound(record.name, alias);
  return found;
}
