import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { confirm } from "../confirm.ts";
import { formatTable } from "../table.ts";
import { formatInstant, plural } from "../units.ts";
import { Fields } from "../wire.ts";
import type { DeleteOptions } from "./delete.ts";

const PAGE = 500;

export async function listProjects({ output, client }: Command): Promise<void> {
  const api = await client();
  const found: unknown[] = [];
  let after: string | undefined;
  do {
    const page = new Fields(
      "projects",
      await api.json("GET", "/v1/projects", { query: { after, limit: PAGE } }),
    );
    found.push(...page.list("projects"));
    after = page.optionalText("next");
  } while (after !== undefined);
  if (output.isJson) {
    await output.json({ projects: found });
    return;
  }
  if (found.length === 0) {
    output.note("there are no projects: lambda init FOLDER --template project makes one to start from");
    return;
  }
  await output.write(
    formatTable(
      ["PROJECT", "LIVE", "RELEASES", "SINCE"],
      found.map((each) => {
        const project = new Fields("project", each);
        return [
          project.text("name"),
          String(project.optionalNumber("liveRelease") ?? ""),
          String(project.number("releases")),
          formatInstant(project.number("createdAt")),
        ];
      }),
    ),
  );
}

/** Naming the project is consent; only a person at a terminal, who may have mistyped it, is asked again. */
export async function deleteProject(command: Command, name: string, options: DeleteOptions): Promise<void> {
  const { host, output } = command;
  const path = `/v1/projects/${encodeURIComponent(name)}`;
  const api = await command.client();
  if (!options.yes && host.stdin.isTTY && host.stderr.isTTY) {
    await api.json("GET", path);
    if (
      !(await confirm(command, `Delete project ${name} with all of its functions, releases and logs? [y/N] `))
    ) {
      throw usageError(`${name} was not deleted`, "answer y, or pass --yes");
    }
  }
  const answer = await api.json("DELETE", path);
  const functions = new Fields("deletion", answer).list("functions");
  if (output.isJson) await output.json({ deleted: name, functions });
  else output.note(`deleted ${name} with ${plural(functions.length, "function")}`);
}
