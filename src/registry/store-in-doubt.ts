/**
 * What to make of a store that says it could not do something: it may have done it all the same. Whoever keeps in memory
 * what is stored forgets that first, so that nothing older than the disk is used.
 */
import { isDeepStrictEqual } from "node:util";
import { isPlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { Registry } from "../store/store.ts";

/** For one of what is saved in one step: it speaks for all of them. @throws `error` unless it is stored. */
export async function requireSaved(
  registry: Pick<Registry, "findFunction">,
  saved: FunctionRecord | undefined,
  error: unknown,
): Promise<void> {
  if (!saved || !isPlatformError(error, "StoreUnavailable")) throw error;
  const found = await registry.findFunction(saved.name).catch(() => undefined);
  if (!found || !isDeepStrictEqual(plain(found), plain(saved))) throw error;
}

/** Whether it was there. @throws what the store throws, if the function is there still or that cannot be known. */
export async function surelyDeleted(
  registry: Pick<Registry, "findFunction" | "deleteFunction">,
  name: FunctionName,
  current: FunctionRecord | undefined,
): Promise<boolean> {
  try {
    return await registry.deleteFunction(name);
  } catch (error) {
    if (!isPlatformError(error, "StoreUnavailable")) throw error;
    if (await registry.findFunction(name).catch(() => current)) throw error;
    return current !== undefined;
  }
}

/** As a store gives it back: without members that are not there. */
function plain(record: FunctionRecord): unknown {
  return JSON.parse(JSON.stringify(record));
}
