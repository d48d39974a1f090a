import { usageError } from "./cli-error.ts";
import { countOption, formatInstant, formatSpan, parseSpan, plural, spanOption } from "./units.ts";
import { Fields } from "./wire.ts";

/** Of `lambda deploy`. */
export interface CanaryOptions {
  readonly canary?: string;
  readonly for?: string;
  readonly abortOn?: readonly string[];
  readonly minCalls?: string;
  readonly sticky?: string;
  readonly shadow?: string;
  readonly shadowMethods?: string;
}

/**
 * The members `canary` and `shadow` of a deploy's settings, as the server takes them; empty where nothing is to be tried.
 *
 * @throws CliError `Usage`
 */
export function readTrialOptions(options: CanaryOptions): Readonly<Record<string, unknown>> {
  const { canary, shadow, shadowMethods, for: span } = options;
  if (shadow === undefined) {
    if (shadowMethods !== undefined) {
      throw usageError("--shadow-methods is for shadows", "give --shadow 5% with it");
    }
    const plan = readCanaryOptions(options);
    return plan ? { canary: plan } : {};
  }
  if (canary !== undefined)
    throw usageError("--canary and --shadow: one is tried at a time; give one of them");
  const useless = { "abort-on": options.abortOn, "min-calls": options.minCalls, sticky: options.sticky };
  const [option] = Object.entries(useless).find(([, value]) => value !== undefined) ?? [];
  if (option !== undefined) throw usageError(`--${option} is for canaries: a shadow takes no calls`);
  const given = {
    share: shadow.trim() === "100%" ? 1 : shareOption("--shadow", shadow),
    forMs: span === undefined ? undefined : spanOption("--for", span),
    methods: shadowMethods?.split(",").map((method) => method.trim()),
  };
  return { shadow: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
}

/** The member `canary` of a deploy's settings; conditions and keys are the server's to read. @throws CliError `Usage` */
function readCanaryOptions(options: CanaryOptions): Record<string, unknown> | undefined {
  const { canary, for: span, abortOn, minCalls, sticky } = options;
  if (canary === undefined) {
    const [option] = Object.entries({ for: span, "abort-on": abortOn, "min-calls": minCalls, sticky }).find(
      ([, value]) => value !== undefined,
    ) ?? [undefined];
    if (option === undefined) return undefined;
    throw usageError(
      `--${option} is for canaries`,
      "give --canary 10% with it; --for goes with --shadow, too",
    );
  }
  if (span === undefined || parseSpan(span) === 0) {
    throw usageError(`--canary ${canary} needs an end`, "--for 10m, after which the version goes live");
  }
  const given = {
    share: shareOption("--canary", canary),
    forMs: spanOption("--for", span),
    abortOn,
    minCalls: minCalls === undefined ? undefined : countOption("--min-calls", minCalls, 1),
    sticky,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** `10%`, `0.5%`. @throws CliError `Usage` naming the option. */
function shareOption(option: string, text: string): number {
  const [, amount] = /^(\d{1,2}(?:\.\d{1,4})?)\s*%$/.exec(text) ?? [];
  if (amount !== undefined && Number(amount) > 0) return Number(amount) / 100;
  throw usageError(
    `${option}: expected more than 0% and ${option === "--shadow" ? "at most" : "less than"} 100%, like 10%, got ${JSON.stringify(text)}`,
  );
}

export interface CanaryView {
  /** `version 3`, or `release 12` of a project. */
  readonly what: string;
  /** What was live when it began, in the same words. */
  readonly from: string | undefined;
  readonly state: string;
  readonly share: number;
  readonly startedAt: number;
  readonly endsAt: number;
  readonly abortOn: readonly string[];
  readonly minCalls: number;
  readonly sticky: string | undefined;
  readonly endedAt: number | undefined;
  readonly reason: string | undefined;
  readonly figures: FiguresView | undefined;
}

interface FiguresView {
  readonly calls: number;
  readonly errors: number;
  readonly p50: number | undefined;
  readonly p99: number | undefined;
  /** Of a release, by the name of the function. */
  readonly functions: readonly (readonly [string, FiguresView])[];
}

export function readCanary(value: unknown): CanaryView {
  const fields = new Fields("canary", value);
  const figures = fields.optionalObject("figures");
  const release = fields.optionalNumber("release");
  const from = fields.optionalNumber("from");
  const kind = release === undefined ? "version" : "release";
  return {
    what: `${kind} ${release ?? fields.number("version")}`,
    from: from === undefined ? undefined : `${kind} ${from}`,
    state: fields.text("state"),
    share: fields.number("share"),
    startedAt: fields.number("startedAt"),
    endsAt: fields.number("endsAt"),
    abortOn: fields.list("abortOn").map(String),
    minCalls: fields.number("minCalls"),
    sticky: fields.optionalText("sticky"),
    endedAt: fields.optionalNumber("endedAt"),
    reason: fields.optionalText("reason"),
    figures: figures && readFigures(figures),
  };
}

function readFigures(figures: Fields): FiguresView {
  const functions = figures.value("functions") === undefined ? [] : figures.list("functions");
  return {
    calls: figures.number("calls"),
    errors: figures.number("errors"),
    p50: figures.optionalNumber("p50"),
    p99: figures.optionalNumber("p99"),
    functions: functions.map((each) => {
      const own = new Fields("function", each);
      return [own.text("name"), readFigures(own)] as const;
    }),
  };
}

/** `version 3 takes 10% of calls until …`, `version 3 aborted: …` */
export function canaryLine(view: CanaryView): string {
  if (view.state === "running") {
    return `${view.what} takes ${formatShare(view.share)} of calls until ${formatInstant(view.endsAt)}`;
  }
  return `${view.what} ${view.state}: ${view.reason ?? ""}`;
}

export function canaryFacts(view: CanaryView): readonly (readonly [string, string | undefined])[] {
  const { figures, endedAt } = view;
  return [
    ["Canary", `${view.what}${view.from === undefined ? "" : `, beside ${view.from}`}`],
    ["State", view.state],
    ["Reason", view.reason],
    ["Share", formatShare(view.share)],
    ["Sticky by", view.sticky],
    ["Began", formatInstant(view.startedAt)],
    endedAt === undefined
      ? ["Goes live", `${formatInstant(view.endsAt)} (after ${formatSpan(view.endsAt - view.startedAt)})`]
      : ["Ended", formatInstant(endedAt)],
    [
      "Aborted on",
      view.abortOn.length === 0
        ? "nothing"
        : `${view.abortOn.join(", ")} (from ${plural(view.minCalls, "call")} on)`,
    ],
    ["Calls", figures && `${figures.calls}, of which ${figures.errors} failed`],
    ["Duration", figures?.p50 === undefined ? undefined : durations(figures)],
    ...(figures?.functions ?? []).map(([name, own]) => [`  ${name}`, figuresLine(own)] as const),
  ];
}

/** `20 calls, of which 1 failed, p50 3 ms, p99 12 ms` */
export function figuresLine(figures: FiguresView): string {
  const { calls, errors, p50 } = figures;
  return `${plural(calls, "call")}, of which ${errors} failed${p50 === undefined ? "" : `, ${durations(figures)}`}`;
}

function durations({ p50, p99 }: FiguresView): string {
  return `p50 ${formatSpan(Math.round(p50 ?? 0))}, p99 ${formatSpan(Math.round(p99 ?? 0))}`;
}

export function formatShare(share: number): string {
  return `${Number((share * 100).toFixed(4))}%`;
}
