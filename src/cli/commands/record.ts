import { formatShare } from "../canary-view.ts";
import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { functionName, functionPath } from "../names.ts";
import { formatFacts } from "../table.ts";
import { formatBytes, formatInstant, plural, spanOption } from "../units.ts";
import { Fields } from "../wire.ts";

export interface RecordOptions {
  readonly sample?: string;
  readonly keep?: string;
  readonly redact?: readonly string[];
  readonly redactNothingElse?: boolean;
}

export async function recordOn(command: Command, name: string, options: RecordOptions): Promise<void> {
  const { redact, redactNothingElse } = options;
  if (redact && redactNothingElse) throw usageError("--redact and --redact-nothing-else: give one of them");
  const body = {
    ...(options.sample !== undefined && { share: shareOf(options.sample) }),
    ...(options.keep !== undefined && { keepMs: spanOption("--keep", options.keep) }),
    ...(redact && { redact }),
    ...(redactNothingElse && { redact: [] }),
  };
  await change(command, "PUT", name, body);
}

export async function recordOff(command: Command, name: string): Promise<void> {
  await change(command, "DELETE", name, undefined);
}

export async function recordStatus({ output, client }: Command, name: string): Promise<void> {
  const answer = await (await client()).json("GET", pathOf(name));
  if (output.isJson) await output.json(answer);
  else await output.write(formatFacts(statusFacts(new Fields("recording", answer))));
}

async function change(
  { output, client }: Command,
  method: "PUT" | "DELETE",
  name: string,
  body: unknown,
): Promise<void> {
  const answer = await (await client()).json(method, pathOf(name), { ...(body !== undefined && { body }) });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const fields = new Fields("recording", answer);
  const kept = plural(fields.number("recordings"), "recording");
  await output.write(
    fields.truth("isOn")
      ? `${name}: ${formatShare(fields.number("share"))} of its calls are recorded from now on\n`
      : `${name}: not recorded any more; ${kept} kept\n`,
  );
}

function pathOf(name: string): string {
  return functionPath(functionName(name), "/recording");
}

/** `10%`, `100%`. @throws CliError `Usage` */
function shareOf(text: string): number {
  const [, amount] = /^(\d{1,3}(?:\.\d{1,4})?)\s*%$/.exec(text) ?? [];
  if (amount !== undefined && Number(amount) > 0 && Number(amount) <= 100) return Number(amount) / 100;
  throw usageError(`--sample: expected more than 0% and at most 100%, like 10%, got ${JSON.stringify(text)}`);
}

const REASONS: readonly (readonly [member: string, words: string])[] = [
  ["tooLarge", "input too large"],
  ["unread", "input not read to its end"],
  ["busy", "too much waiting"],
  ["disk", "disk did not take it"],
  ["failed", "could not be redacted"],
];

function statusFacts(fields: Fields): readonly (readonly [string, string | undefined])[] {
  const share = fields.optionalNumber("share");
  const keepMs = fields.optionalNumber("keepMs");
  const redact = fields.value("redact") === undefined ? [] : fields.list("redact").map(String);
  const dropped = fields.object("dropped");
  const reasons = REASONS.flatMap(([member, words]) =>
    dropped.number(member) > 0 ? [`${dropped.number(member)} (${words})`] : [],
  );
  const damaged = fields.number("damaged");
  const [oldestAt, newestAt] = [fields.optionalNumber("oldestAt"), fields.optionalNumber("newestAt")];
  return [
    ["Recorded", fields.truth("isOn") && share !== undefined ? `${formatShare(share)} of its calls` : "no"],
    ["Kept for", keepMs === undefined ? undefined : formatKeep(keepMs)],
    ["Also redacted", redact.join(", ")],
    ["Recordings", `${fields.number("recordings")} (${formatBytes(fields.number("bytes"))})`],
    ["Oldest", oldestAt === undefined ? undefined : formatInstant(oldestAt)],
    ["Latest", newestAt === undefined ? undefined : formatInstant(newestAt)],
    ["Dropped", reasons.length === 0 ? "none" : reasons.join(", ")],
    ["Damaged", damaged === 0 ? undefined : `${damaged} (cut by a crash, or changed); passed over`],
  ];
}

function formatKeep(keepMs: number): string {
  const hours = keepMs / 3_600_000;
  return hours % 24 === 0 ? plural(hours / 24, "day") : plural(Number(hours.toFixed(1)), "hour");
}
