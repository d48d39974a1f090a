/**
 * `GET /metrics`: what Prometheus and its kin scrape, as text (version 0.0.4) or, where asked for, OpenMetrics 1.0.
 * Functions are labels, versions are not: their number has a bound, and what is beyond it comes as `_other`.
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 */
import type { HostReading } from "../../records/host-load.ts";
import type { Distribution } from "../../records/metrics/distribution.ts";
import type { FunctionTotals } from "../../records/metrics/metrics.ts";
import type { ControlParts } from "./parts.ts";
import type { ControlRequest, Reply } from "./route.ts";

const FUNCTIONS_MAX = 200;
const BOUNDS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900];

const TEXT = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Readonly<Record<string, string | number>>;
type Sample = readonly [labels: Labels, value: number];

export async function getMetrics(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const isOpenMetrics = request.headers.accept?.includes("application/openmetrics-text") ?? false;
  const text = new MetricsText(isOpenMetrics);
  const isForAll = request.caller.key?.functions === "*";
  const functions = parts.metrics
    .totals(FUNCTIONS_MAX)
    .filter(({ functionName }) =>
      functionName === "_other" ? isForAll : request.caller.mayUse(functionName),
    );
  addFunctions(text, functions);
  if (isForAll) await addDaemon(text, parts);
  const body = Buffer.from(text.end());
  return { kind: "bytes", status: 200, contentType: isOpenMetrics ? OPEN_METRICS : TEXT, body };
}

function addFunctions(text: MetricsText, functions: readonly FunctionTotals[]): void {
  const each = (samples: (totals: FunctionTotals) => Sample[]) => functions.flatMap(samples);
  const one = (value: (totals: FunctionTotals) => number) =>
    each((totals) => [[{ function: totals.functionName }, value(totals)]]);
  text.counter(
    "lambdad_invocations",
    "Calls that ended, by how.",
    each(({ functionName, tally }) => [
      [{ function: functionName, outcome: "returned" }, tally.returned],
      [{ function: functionName, outcome: "threw" }, tally.threw],
      [{ function: functionName, outcome: "timed_out" }, tally.timedOut],
      [{ function: functionName, outcome: "crashed" }, tally.crashed],
    ]),
  );
  text.counter(
    "lambdad_throttles",
    "Calls that were refused because too many ran.",
    one(({ tally }) => tally.throttled),
  );
  text.gauge(
    "lambdad_invocations_running",
    "Calls that run or wait for an instance.",
    one(({ running }) => running),
  );
  text.histogram(
    "lambdad_invocation_duration_seconds",
    "What calls took.",
    functions.map(({ functionName, tally }) => [{ function: functionName }, tally.duration]),
  );
  text.histogram(
    "lambdad_init_duration_seconds",
    "What starts of instances took that a call had to wait for.",
    functions.map(({ functionName, tally }) => [{ function: functionName }, tally.init]),
  );
  text.counter(
    "lambdad_events_received",
    "Events that came to their first attempt.",
    one(({ tally }) => tally.received),
  );
  text.counter(
    "lambdad_events_dropped",
    "Events that became dead letters.",
    one(({ tally }) => tally.dropped),
  );
  text.counter(
    "lambdad_destination_failures",
    "Results that their destination did not take.",
    one(({ tally }) => tally.undelivered),
  );
}

async function addDaemon(text: MetricsText, parts: ControlParts): Promise<void> {
  const status = await parts.status();
  const { idle, busy, starting } = status.instances;
  const { queued, running } = parts.ledger.counts();
  const state = (name: string, value: number): Sample => [{ state: name }, value];
  text.gauge("lambdad_info", "The version that runs.", [
    [{ version: status.version, node: status.nodeVersion }, 1],
  ]);
  text.gauge("lambdad_functions", "Functions that are there.", [[{}, status.functions]]);
  text.gauge("lambdad_instances", "Instances by state.", [
    state("idle", idle),
    state("busy", busy),
    state("starting", starting),
  ]);
  text.gauge("lambdad_events", "Events that wait or run.", [
    state("queued", queued),
    state("running", running),
  ]);
  addProcess(text, parts.hostLoad.read());
}

function addProcess(text: MetricsText, host: HostReading): void {
  const { loopDelayMs } = host;
  if (loopDelayMs) {
    text.gauge("lambdad_event_loop_delay_seconds", "How late the event loop is, of the last while.", [
      [{ quantile: 0.5 }, loopDelayMs.p50 / 1_000],
      [{ quantile: 0.99 }, loopDelayMs.p99 / 1_000],
      [{ quantile: 1 }, loopDelayMs.max / 1_000],
    ]);
  }
  text.gauge("lambdad_event_loop_utilization", "Share of the time that the event loop was busy.", [
    [{}, host.loopUtilization],
  ]);
  text.gauge("process_resident_memory_bytes", "Memory of the daemon.", [[{}, host.residentBytes]]);
  text.gauge("lambdad_heap_bytes", "Memory of its objects.", [[{}, host.heapBytes]]);
  text.counter("process_cpu_seconds", "CPU time of the daemon.", [[{}, host.cpuSeconds]]);
  text.gauge("process_uptime_seconds", "Since its start.", [[{}, host.uptimeSeconds]]);
}

class MetricsText {
  readonly #lines: string[] = [];
  readonly #isOpenMetrics: boolean;

  constructor(isOpenMetrics: boolean) {
    this.#isOpenMetrics = isOpenMetrics;
  }

  counter(name: string, help: string, samples: readonly Sample[]): void {
    // In the older format the family has the name of its samples.
    this.#family(this.#isOpenMetrics ? name : `${name}_total`, "counter", help);
    for (const [labels, value] of samples) this.#sample(`${name}_total`, labels, value);
  }

  gauge(name: string, help: string, samples: readonly Sample[]): void {
    this.#family(name, "gauge", help);
    for (const [labels, value] of samples) this.#sample(name, labels, value);
  }

  histogram(name: string, help: string, samples: readonly (readonly [Labels, Distribution])[]): void {
    this.#family(name, "histogram", help);
    for (const [labels, spans] of samples) {
      for (const bound of BOUNDS_S) {
        this.#sample(`${name}_bucket`, { ...labels, le: bound }, spans.countUpTo(bound * 1_000));
      }
      this.#sample(`${name}_bucket`, { ...labels, le: "+Inf" }, spans.count);
      this.#sample(`${name}_sum`, labels, spans.sum / 1_000);
      this.#sample(`${name}_count`, labels, spans.count);
    }
  }

  end(): string {
    if (this.#isOpenMetrics) this.#lines.push("# EOF");
    return `${this.#lines.join("\n")}\n`;
  }

  #family(name: string, type: string, help: string): void {
    this.#lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  }

  #sample(name: string, labels: Labels, value: number): void {
    const pairs = Object.entries(labels).map(([label, of]) => `${label}="${escapeLabel(String(of))}"`);
    this.#lines.push(`${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}`);
  }
}

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (found) => (found === "\n" ? "\\n" : `\\${found}`));
}
