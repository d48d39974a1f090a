import { isPlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { Log } from "../core/log.ts";
import type { Functions } from "../registry/functions.ts";

/** Parts that look after what belongs to a function. `undefined`: it was deleted. */
export interface ChangeListener {
  functionChanged(name: FunctionName, record: FunctionRecord | undefined): void;
}

export async function tellOfChange(
  listeners: readonly ChangeListener[],
  functions: Functions,
  name: FunctionName,
  log: Log,
): Promise<void> {
  try {
    const record = await functions.get(name);
    for (const listener of listeners) listener.functionChanged(name, record);
  } catch (error) {
    if (isPlatformError(error, "FunctionNotFound"))
      for (const listener of listeners) listener.functionChanged(name, undefined);
    else
      log.error("a changed function cannot be read; its old instances stay until they are idle", {
        name,
        error,
      });
  }
}
