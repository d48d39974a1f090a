import { formatShare } from "../canary-view.ts";
import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { functionName, functionPath } from "../names.ts";
import { formatKeep } from "../recording-view.ts";
import { formatFacts } from "../table.ts";
import { formatBytes, formatInstant, percentOption, plural, spanOption } from "../units.ts";
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
    ...(options.sample !== undefined && { share: percentOption("--sample", options.sample) }),
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
