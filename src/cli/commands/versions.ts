import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { functionName, functionPath } from "../names.ts";
import { formatTable } from "../table.ts";
import { countOption, formatInstant } from "../units.ts";
import { Fields, readVersion } from "../wire.ts";

export interface RollbackOptions {
  readonly to?: string;
  readonly project?: string;
}

const PAGE = 500;

export async function listVersions({ output, client }: Command, name: string): Promise<void> {
  const api = await client();
  const path = functionPath(functionName(name), "/versions");
  const answers: unknown[] = [];
  let after: string | number | undefined;
  do {
    const page = new Fields("versions", await api.json("GET", path, { query: { after, limit: PAGE } }));
    answers.push(...page.list("versions"));
    after = page.value("next") === undefined ? undefined : page.label("next");
  } while (after !== undefined);

  if (output.isJson) {
    await output.json({ versions: answers });
    return;
  }
  const newestFirst = answers.map(readVersion).sort((one, other) => other.number - one.number);
  if (newestFirst.length === 0) {
    output.note(`${name} has no published version`);
    return;
  }
  await output.write(
    formatTable(
      ["VERSION", "PUBLISHED", "LIVE", "ALIASES", "CHANGED", "DESCRIPTION"],
      newestFirst.map((version) => [
        String(version.number),
        formatInstant(version.publishedAt),
        version.isLive ? "live" : "",
        version.aliases.join(", "),
        version.changed.join(", "),
        [version.commit, version.description].filter(Boolean).join(" "),
      ]),
    ),
  );
}

export async function rollBack(
  { output, client }: Command,
  name: string,
  options: RollbackOptions,
): Promise<void> {
  if (options.project !== undefined)
    throw usageError(`--project ${options.project} and ${name}: roll back one of them`);
  const to = options.to === undefined ? undefined : countOption("--to", options.to, 1);
  const path = functionPath(functionName(name), "/rollback");
  const answer = await (await client()).json("POST", path, { body: to === undefined ? {} : { to } });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const fields = new Fields("rollback", answer);
  const from = fields.value("from") === undefined ? "$LATEST" : fields.label("from");
  await output.write(`${name} is back on version ${fields.label("to")} (was ${from})\n`);
}
