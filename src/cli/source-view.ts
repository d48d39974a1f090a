import { formatInstant, formatSpan } from "./units.ts";
import { Fields } from "./wire.ts";

/** A source as docs/api.md shows one. */
export interface SourceView {
  readonly id: string;
  /** With its qualifier. */
  readonly function: string;
  readonly kind: string;
  readonly from: string;
  readonly endpoint: string | undefined;
  readonly login: string | undefined;
  readonly stream: string | undefined;
  readonly consumer: string | undefined;
  readonly subject: string | undefined;
  readonly attemptsMax: number | undefined;
  readonly batchSize: number;
  readonly windowMs: number;
  readonly concurrencyMax: number | undefined;
  readonly partialFailures: boolean;
  readonly filters: readonly unknown[];
  readonly onFailure: string | undefined;
  readonly state: string;
  readonly running: number;
  readonly lastResult: { readonly text: string; readonly at: number } | undefined;
  readonly counts: string | undefined;
  readonly createdAt: number;
}

export function readSource(value: unknown): SourceView {
  const fields = new Fields("source", value);
  const qualifier = fields.optionalText("qualifier");
  const last = fields.optionalObject("lastResult");
  const counts = fields.optionalObject("counts");
  return {
    id: fields.text("id"),
    function: `${fields.text("function")}${qualifier === undefined ? "" : `:${qualifier}`}`,
    kind: fields.text("kind"),
    from: fields.text("from"),
    endpoint: fields.optionalText("endpoint"),
    login: fields.optionalText("accessKeyId") ?? fields.optionalText("user"),
    stream: fields.optionalText("stream"),
    consumer: fields.optionalText("consumer"),
    subject: fields.optionalText("subject"),
    attemptsMax: fields.optionalNumber("attemptsMax"),
    batchSize: fields.number("batchSize"),
    windowMs: fields.number("windowMs"),
    concurrencyMax: fields.optionalNumber("concurrencyMax"),
    partialFailures: fields.truth("partialFailures"),
    filters: fields.list("filters"),
    onFailure: fields.optionalText("onFailure"),
    state: fields.text("state"),
    running: fields.number("running"),
    lastResult: last && { text: last.text("text"), at: last.number("at") },
    counts: counts && countsInWords(counts),
    createdAt: fields.number("createdAt"),
  };
}

function countsInWords(counts: Fields): string {
  const named = ["batches", "done", "failed", "filtered", "givenUp", "repeated"].map(
    (name) => [name, counts.number(name)] as const,
  );
  return named
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${name === "givenUp" ? "given up" : name}`)
    .join(", ");
}

export const SOURCE_TITLES = ["ID", "FUNCTION", "FROM", "STATE", "LAST RESULT"];

export function sourceRow(source: SourceView): string[] {
  const { id, state, lastResult } = source;
  return [id, source.function, queueOf(source), state, lastResult?.text ?? "-"];
}

/** What tells it from others at a glance. */
export function queueOf({ kind, from, stream, consumer }: SourceView): string {
  return kind === "nats" ? `${stream}/${consumer} at ${from}` : from;
}

export function sourceFacts(source: SourceView): [string, string | undefined][] {
  const { windowMs, concurrencyMax, lastResult, attemptsMax } = source;
  return [
    ["Id", source.id],
    ["Function", source.function],
    ["From", source.from],
    ["Stream", source.stream],
    ["Consumer", source.consumer],
    ["Subject", source.subject],
    ["Endpoint", source.endpoint],
    ["Login", source.login],
    ["State", source.state],
    ["Running", source.running === 0 ? undefined : `${source.running} batches`],
    ["Last result", lastResult && `${lastResult.text} (${formatInstant(lastResult.at)})`],
    ["So far", source.counts],
    ["Batch", `${source.batchSize} messages${windowMs === 0 ? "" : `, within ${formatSpan(windowMs)}`}`],
    ["Concurrency", concurrencyMax === undefined ? undefined : String(concurrencyMax)],
    ["Attempts", attemptsMax === undefined ? undefined : String(attemptsMax)],
    ["Failures", source.partialFailures ? "the function names them" : undefined],
    ...source.filters.map((filter): [string, string] => ["Filter", JSON.stringify(filter)]),
    ["On failure", source.onFailure],
    ["Created", formatInstant(source.createdAt)],
  ];
}
