import type { ApiClient } from "../client.ts";
import type { Command } from "../command.ts";
import { formatTable } from "../table.ts";
import { formatAge } from "../units.ts";
import { Fields, readFunction } from "../wire.ts";

export interface ListOptions {
  readonly quiet?: boolean;
}

const PAGE = 500;

export async function list({ output, client }: Command, options: ListOptions): Promise<void> {
  const answers = await allFunctions(await client());
  if (output.isJson) {
    await output.json({ functions: answers });
    return;
  }
  const functions = answers.map(readFunction);
  if (options.quiet) {
    await output.write(functions.map((view) => `${view.name}\n`).join(""));
    return;
  }
  if (functions.length === 0) {
    output.note("no functions yet: lambda init hello && lambda deploy hello makes one");
    return;
  }
  const now = Date.now();
  await output.write(
    formatTable(
      ["NAME", "RUNTIME", "VERSION", "INSTANCES", "CHANGED", "URL"],
      functions.map((view) => [
        view.name,
        view.config.runtime,
        view.liveVersion === undefined ? "$LATEST" : String(view.liveVersion),
        String(view.instances.idle + view.instances.busy + view.instances.starting),
        formatAge(view.modifiedAt, now),
        view.url,
      ]),
    ),
  );
}

/** All pages; the answers as they are, for --json. */
async function allFunctions(client: ApiClient): Promise<unknown[]> {
  const functions: unknown[] = [];
  let after: string | undefined;
  do {
    const page = new Fields(
      "functions",
      await client.json("GET", "/v1/functions", { query: { after, limit: PAGE } }),
    );
    functions.push(...page.list("functions"));
    after = page.optionalText("next");
  } while (after !== undefined);
  return functions;
}
