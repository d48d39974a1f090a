import { type CanaryView, canaryLine, figuresLine, readCanary } from "../canary-view.ts";
import { readShadow, type ShadowView, shadowLine } from "../shadow-view.ts";
import { formatFacts, formatTable } from "../table.ts";
import { formatInstant, plural } from "../units.ts";
import { Fields } from "../wire.ts";

/** A release, as tables and plans show it. */
export interface ReleaseView {
  readonly number: number;
  readonly state: string;
  readonly url: string;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly commit: string;
  readonly description: string;
  /** What became of it as a canary, if it was one. */
  readonly canary: CanaryView | undefined;
  readonly shadow: ShadowView | undefined;
  readonly functions: readonly { readonly name: string; readonly version: number; readonly inputs: string }[];
  readonly schedules: readonly {
    readonly name: string;
    readonly function: string;
    readonly expression: string;
  }[];
  readonly hooks: readonly {
    readonly name: string;
    readonly function: string;
    readonly provider: string;
    readonly url: string;
  }[];
  readonly sources: readonly { readonly name: string; readonly function: string; readonly from: string }[];
}

export function readRelease(value: unknown): ReleaseView {
  const fields = new Fields("release", value);
  return {
    number: fields.number("number"),
    state: fields.text("state"),
    url: fields.text("url"),
    createdAt: fields.number("createdAt"),
    createdBy: fields.text("createdBy"),
    commit: fields.optionalText("commit") ?? "",
    description: fields.optionalText("description") ?? "",
    canary: fields.value("canary") === undefined ? undefined : readCanary(fields.value("canary")),
    shadow: fields.value("shadow") === undefined ? undefined : readShadow(fields.value("shadow")),
    functions: fields.list("functions").map((each) => {
      const released = new Fields("function", each);
      const [name, version, inputs] = [
        released.text("name"),
        released.number("version"),
        released.text("inputs"),
      ];
      return { name, version, inputs };
    }),
    schedules: fields.list("schedules").map((each) => {
      const schedule = new Fields("schedule", each);
      const [name, expression] = [schedule.text("name"), schedule.text("expression")];
      return { name, function: schedule.text("function"), expression };
    }),
    hooks: fields.list("hooks").map((each) => {
      const hook = new Fields("hook", each);
      const [name, provider, url] = [hook.text("name"), hook.text("provider"), hook.text("url")];
      return { name, function: hook.text("function"), provider, url };
    }),
    sources: fields.list("sources").map((each) => {
      const source = new Fields("source", each);
      const [name, from, stream] = [source.text("name"), source.text("from"), source.optionalText("stream")];
      return { name, function: source.text("function"), from: [from, stream].filter(Boolean).join("/") };
    }),
  };
}

export function releaseTable(releases: readonly ReleaseView[]): string {
  return formatTable(
    ["RELEASE", "STATE", "MADE", "BY", "COMMIT", "FUNCTIONS", "DESCRIPTION"],
    releases.map((release) => [
      String(release.number),
      release.state,
      formatInstant(release.createdAt),
      release.createdBy,
      release.commit,
      String(release.functions.length),
      release.description,
    ]),
  );
}

export function releaseFacts(release: ReleaseView, environment: Readonly<Record<string, string[]>>): string {
  return formatFacts([
    ["release", `${release.number} (${release.state})`],
    ["made", `${formatInstant(release.createdAt)} by ${release.createdBy}`],
    ["commit", release.commit],
    ["description", release.description],
    ["url", release.url],
    ["canary", release.canary && canaryLine(release.canary)],
    ["shadow", release.shadow && shadowLine(release.shadow)],
    ["  calls", release.canary?.figures && figuresLine(release.canary.figures)],
    ...release.functions.map(({ name, version }): [string, string] => {
      const names = environment[name] ?? [];
      return [`  ${name}`, `version ${version}${names.length > 0 ? `, ${names.join(", ")}` : ""}`];
    }),
    ...release.schedules.map((each): [string, string] => [
      `  ${each.name}`,
      `${each.expression} calls ${each.function}`,
    ]),
    ...release.hooks.map(({ name, provider, url, ...each }): [string, string] => [
      `  ${name}`,
      `${provider} calls ${each.function} at ${url}`,
    ]),
    ...release.sources.map(({ name, from, ...each }): [string, string] => [
      `  ${name}`,
      `${from} calls ${each.function}`,
    ]),
  ]);
}

export interface DifferenceView {
  readonly functions: readonly {
    readonly name: string;
    readonly change: string;
    readonly from: number | undefined;
    readonly to: number | undefined;
    readonly members: readonly string[];
  }[];
  /** By what it is: schedule, route … */
  readonly triggers: readonly { readonly kind: string; readonly name: string; readonly change: string }[];
}

const TRIGGERS = ["schedule", "route", "hook", "source"] as const;

export function readDifference(value: unknown): DifferenceView {
  const fields = new Fields("difference", value);
  return {
    functions: fields.list("functions").map((each) => {
      const changed = new Fields("function", each);
      return {
        name: changed.text("name"),
        change: changed.text("change"),
        from: changed.optionalNumber("from"),
        to: changed.optionalNumber("to"),
        members: changed.list("members").map(String),
      };
    }),
    triggers: TRIGGERS.flatMap((kind) =>
      fields.list(`${kind}s`).map((each) => ({ kind, ...readChange(each) })),
    ),
  };
}

function readChange(value: unknown): { readonly name: string; readonly change: string } {
  const changed = new Fields("change", value);
  return { name: changed.text("name"), change: changed.text("change") };
}

const MARKS: Readonly<Record<string, string>> = { added: "+", changed: "~", removed: "-" };

/** A line for each thing that differs: `~ orders  3 → 4 (code, memoryMib)`. */
export function differenceLines({ functions, triggers }: DifferenceView): string {
  const width = Math.max(0, ...[...functions, ...triggers].map(({ name }) => name.length));
  const lines = [
    ...functions.map(({ name, change, from, to, members }) => {
      const versions = [...new Set([from, to])].filter((version) => version !== undefined).join(" → ");
      const what = members.length > 0 ? ` (${members.join(", ")})` : "";
      return `${MARKS[change] ?? "?"} ${name.padEnd(width)}  version ${versions}${what}`;
    }),
    ...triggers.map(({ kind, name, change }) => `${MARKS[change] ?? "?"} ${name.padEnd(width)}  ${kind}`),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

/** `2 functions, 1 schedule` */
export function differenceSummary({ functions, triggers }: DifferenceView): string {
  const parts = [
    ...(functions.length > 0 ? [plural(functions.length, "function")] : []),
    ...TRIGGERS.flatMap((kind) => {
      const count = triggers.filter((each) => each.kind === kind).length;
      return count > 0 ? [plural(count, kind)] : [];
    }),
  ];
  return parts.length === 0 ? "nothing" : parts.join(", ");
}
