import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { formatTable } from "../table.ts";
import { Fields, readRuntime } from "../wire.ts";

export async function listRuntimes({ output, client }: Command): Promise<void> {
  const answer = await (await client()).json("GET", "/v1/runtimes");
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const runtimes = new Fields("runtimes", answer).list("runtimes").map(readRuntime);
  await output.write(
    formatTable(
      ["RUNTIME", "INSTALLED", "VERSION", "WHERE"],
      runtimes.map((runtime) => [
        runtime.name,
        runtime.isHere ? "yes" : "no",
        runtime.version ?? "",
        runtime.isHere ? (runtime.path ?? "") : (runtime.remedy ?? ""),
      ]),
    ),
  );
}

/** npm may have to load some fifty megabytes. */
const INSTALL_MS_MAX = 6 * 60_000;

export async function installRuntime({ output, client }: Command, runtime: string): Promise<void> {
  if (runtime.trim() === "")
    throw usageError("runtime: expected a name, got none", "lambda runtimes install nodejs24.x");
  const path = `/v1/runtimes/${encodeURIComponent(runtime)}`;
  const answer = await (await client()).json("POST", path, { silenceMsMax: INSTALL_MS_MAX });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const { name, version, path: place } = readRuntime(new Fields("answer", answer).value("runtime"));
  await output.write(`${name} is Node ${version} at ${place}\n`);
}
