import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { confirm } from "../confirm.ts";
import { functionName, functionPath } from "../names.ts";

export interface DeleteOptions {
  readonly yes?: boolean;
}

/** Naming the function is consent; only a person at a terminal, who may have mistyped it, is asked again. */
export async function deleteFunction(command: Command, name: string, options: DeleteOptions): Promise<void> {
  const { host, output } = command;
  const path = functionPath(functionName(name));
  const api = await command.client();
  if (!options.yes && host.stdin.isTTY && host.stderr.isTTY) {
    // Asking about what is not there would only be confusing.
    await api.json("GET", path);
    if (!(await confirm(command, `Delete ${name} with all its versions, aliases and logs? [y/N] `))) {
      throw usageError(`${name} was not deleted`, "answer y, or pass --yes");
    }
  }
  await api.json("DELETE", path);
  if (output.isJson) await output.json({ deleted: name });
  else output.note(`deleted ${name}`);
}
