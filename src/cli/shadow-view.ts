import { shadowSummary } from "../core/shadow.ts";
import { formatShare } from "./canary-view.ts";
import { formatInstant, formatSpan } from "./units.ts";
import { Fields } from "./wire.ts";

export interface ShadowView {
  /** `version 3`, or `release 12` of a project. */
  readonly what: string;
  readonly state: string;
  readonly share: number;
  readonly methods: readonly string[];
  readonly startedAt: number;
  readonly endsAt: number;
  readonly endedAt: number | undefined;
  readonly reason: string | undefined;
  readonly counts: CountsView | undefined;
  readonly liveMs: SpansView | undefined;
  readonly shadowMs: SpansView | undefined;
  readonly differences: readonly DifferenceView[];
}

interface CountsView {
  readonly copied: number;
  readonly same: number;
  readonly different: number;
  readonly failed: number;
  readonly notCompared: number;
  readonly skipped: {
    readonly method: number;
    readonly size: number;
    readonly busy: number;
    readonly failed: number;
  };
}

interface SpansView {
  readonly p50: number;
  readonly p99: number;
}

interface DifferenceView {
  readonly at: number;
  readonly function: string;
  readonly method: string;
  readonly what: readonly string[];
  readonly live: SideView;
  readonly shadow: SideView;
}

interface SideView {
  readonly invocationId: string;
  readonly status: number | undefined;
  readonly error: string | undefined;
  readonly excerpt: string | undefined;
}

export function readShadow(value: unknown): ShadowView {
  const fields = new Fields("shadow", value);
  const release = fields.optionalNumber("release");
  const counts = fields.optionalObject("counts");
  return {
    what: release === undefined ? `version ${fields.number("version")}` : `release ${release}`,
    state: fields.text("state"),
    share: fields.number("share"),
    methods: fields.list("methods").map(String),
    startedAt: fields.number("startedAt"),
    endsAt: fields.number("endsAt"),
    endedAt: fields.optionalNumber("endedAt"),
    reason: fields.optionalText("reason"),
    counts: counts && readCounts(counts),
    liveMs: readSpans(fields.optionalObject("liveMs")),
    shadowMs: readSpans(fields.optionalObject("shadowMs")),
    differences:
      fields.value("differences") === undefined ? [] : fields.list("differences").map(readDifference),
  };
}

function readCounts(fields: Fields): CountsView {
  const skipped = fields.object("skipped");
  return {
    copied: fields.number("copied"),
    same: fields.number("same"),
    different: fields.number("different"),
    failed: fields.number("failed"),
    notCompared: fields.number("notCompared"),
    skipped: {
      method: skipped.number("method"),
      size: skipped.number("size"),
      busy: skipped.number("busy"),
      failed: skipped.number("failed"),
    },
  };
}

function readSpans(fields: Fields | undefined): SpansView | undefined {
  return fields && { p50: fields.number("p50"), p99: fields.number("p99") };
}

function readDifference(value: unknown): DifferenceView {
  const fields = new Fields("difference", value);
  return {
    at: fields.number("at"),
    function: fields.text("function"),
    method: fields.text("method"),
    what: fields.list("what").map(String),
    live: readSide(fields.object("live")),
    shadow: readSide(fields.object("shadow")),
  };
}

function readSide(fields: Fields): SideView {
  return {
    invocationId: fields.text("invocationId"),
    status: fields.optionalNumber("status"),
    error: fields.optionalText("error"),
    excerpt: fields.optionalText("excerpt"),
  };
}

/** `version 3 is given copies of 5% of GET, HEAD calls until …`, `version 3 ended: …` */
export function shadowLine(view: ShadowView): string {
  if (view.state !== "running") return `${view.what} ${view.state} as a shadow: ${view.reason ?? ""}`;
  const methods = view.methods[0] === "all" ? "all" : view.methods.join(", ");
  return `${view.what} is given copies of ${formatShare(view.share)} of ${methods} calls until ${formatInstant(view.endsAt)}`;
}

export function shadowFacts(view: ShadowView): readonly (readonly [string, string | undefined])[] {
  const { counts, endedAt } = view;
  return [
    ["Shadow", view.what],
    ["State", view.state],
    ["Reason", view.reason],
    ["Copies", `${formatShare(view.share)} of ${view.methods.join(", ")} calls`],
    ["Began", formatInstant(view.startedAt)],
    endedAt === undefined ? ["Ends", formatInstant(view.endsAt)] : ["Ended", formatInstant(endedAt)],
    ["Answers", counts && shadowSummary(counts)],
    ["Not copied", counts && skippedLine(counts)],
    ["Duration", durations(view)],
  ];
}

function skippedLine({ skipped }: CountsView): string | undefined {
  const reasons = [
    [skipped.method, "by their method (--shadow-methods)"],
    [skipped.size, "too large"],
    [skipped.busy, "while too many copies ran"],
    [skipped.failed, "did not run live"],
  ] as const;
  const said = reasons.filter(([count]) => count > 0).map(([count, why]) => `${count} ${why}`);
  return said.length === 0 ? undefined : said.join(", ");
}

function durations({ liveMs, shadowMs }: ShadowView): string | undefined {
  if (!liveMs || !shadowMs) return undefined;
  const of = ({ p50, p99 }: SpansView) =>
    `p50 ${formatSpan(Math.round(p50))}, p99 ${formatSpan(Math.round(p99))}`;
  return `live ${of(liveMs)}; shadow ${of(shadowMs)}`;
}

/** A few lines for each, with the ids by which logs are found. */
export function differenceText({ at, method, what, live, shadow, ...difference }: DifferenceView): string {
  const side = (name: string, { invocationId, status, error, excerpt }: SideView) => {
    const facts = [status, error, excerpt === undefined ? undefined : JSON.stringify(excerpt)];
    return `  ${name.padEnd(6)}  ${invocationId}  ${facts.filter((fact) => fact !== undefined).join("  ")}\n`;
  };
  const head = `${formatInstant(at)}  ${difference.function}  ${method}  ${what.join(", ")}\n`;
  return head + side("live", live) + side("shadow", shadow);
}
