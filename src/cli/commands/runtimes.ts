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
