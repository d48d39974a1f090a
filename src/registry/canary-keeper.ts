import {
  type Canary,
  type CanaryDecision,
  type CanaryFigures,
  calls,
  metCondition,
  runningCanary,
} from "../core/canary.ts";
import type { Clock } from "../core/clock.ts";
import { isPlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { Log } from "../core/log.ts";
import { inBackground } from "../core/scope.ts";
import type { Functions } from "./functions.ts";

const JUDGE_MS = 1_000;
/** Figures that were written before this daemon was started are read from files, which is not done each second. */
const JUDGE_BY_FILES_MS = 10_000;
/** A window beyond this is read from files (MetricReader). */
const IN_MEMORY_MS_MAX = 15 * 60_000;
/** What looks for canaries must not make the start slower. */
const BEGIN_AFTER_MS = 250;
const FUNCTIONS_PER_STEP = 500;

/** What was counted of a version in the last ms (`MetricReader`). */
export interface CanaryMetrics {
  window(query: {
    readonly functionName: FunctionName;
    readonly version: string;
    readonly lastMs: number;
  }): Promise<{
    readonly invocations: number;
    readonly errors: number;
    /** ms */
    readonly duration: { quantile(share: number): number | undefined };
  }>;
}

export interface CanaryParts {
  readonly functions: Pick<Functions, "list" | "endCanary">;
  readonly metrics: CanaryMetrics;
  readonly clock: Clock;
  readonly log: Log;
}

/** Judges the canaries that run, once a second while there are any, and ends them. */
export interface CanaryKeeper extends AsyncDisposable {
  readonly failed: Promise<never>;
  functionChanged(name: FunctionName, record: FunctionRecord | undefined): void;
  figuresOf(name: FunctionName, canary: Canary): Promise<CanaryFigures>;
}

export function openCanaries(parts: CanaryParts): CanaryKeeper {
  return new Keeper(parts);
}

interface Judged {
  readonly canary: Canary;
  /** Not before then, monotonic. */
  judgeAt: number;
}

class Keeper implements CanaryKeeper {
  readonly #parts: CanaryParts;
  readonly #openedAt: number;
  readonly #running = new Map<FunctionName, Judged>();
  readonly #work: ReturnType<typeof inBackground>;
  #wake: (() => void) | undefined;

  constructor(parts: CanaryParts) {
    this.#parts = parts;
    this.#openedAt = parts.clock.now();
    this.#work = inBackground((signal) => this.#run(signal));
  }

  get failed(): Promise<never> {
    return this.#work.failed;
  }

  functionChanged(name: FunctionName, record: FunctionRecord | undefined): void {
    const canary = record && runningCanary(record);
    if (!canary) this.#running.delete(name);
    else if (this.#running.get(name)?.canary.version !== canary.version) {
      this.#running.set(name, { canary, judgeAt: 0 });
      this.#wake?.();
    }
  }

  /** Nothing has called the version before it was a canary, so a window that is too wide counts nothing else. */
  async figuresOf(functionName: FunctionName, canary: Canary): Promise<CanaryFigures> {
    const ageMs = Math.max(0, (canary.decision?.at ?? this.#parts.clock.now()) - canary.startedAt);
    const lastMs = this.#isByFiles(canary) ? Math.max(ageMs, IN_MEMORY_MS_MAX + 1) : ageMs;
    const tally = await this.#parts.metrics.window({ functionName, version: `${canary.version}`, lastMs });
    const at = (share: number) => tally.duration.quantile(share);
    const [p50, p90, p95, p99] = [at(0.5), at(0.9), at(0.95), at(0.99)];
    return {
      calls: tally.invocations,
      errors: tally.errors,
      ...(p50 !== undefined && { p50 }),
      ...(p90 !== undefined && { p90 }),
      ...(p95 !== undefined && { p95 }),
      ...(p99 !== undefined && { p99 }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ending = this.#work[Symbol.asyncDispose]();
    this.#wake?.();
    await ending;
  }

  #isByFiles(canary: Canary): boolean {
    return canary.startedAt < this.#openedAt;
  }

  async #run(signal: AbortSignal): Promise<void> {
    await this.#sleep(BEGIN_AFTER_MS, signal);
    while (!signal.aborted && !(await this.#findRunning(signal))) await this.#sleep(JUDGE_MS, signal);
    while (!signal.aborted) {
      if (this.#running.size === 0) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = undefined;
        continue;
      }
      await this.#sleep(JUDGE_MS, signal);
      for (const [name, judged] of this.#running) {
        if (signal.aborted) return;
        await this.#judgeSafely(name, judged);
      }
    }
  }

  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.#parts.clock.sleep(ms, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  /** Those of before the daemon was started. False if they cannot be read now. */
  async #findRunning(signal: AbortSignal): Promise<boolean> {
    try {
      let after: string | undefined;
      while (!signal.aborted) {
        const page = await this.#parts.functions.list({ after, limit: FUNCTIONS_PER_STEP });
        for (const record of page) if (runningCanary(record)) this.functionChanged(record.name, record);
        after = page.at(-1)?.name;
        if (page.length < FUNCTIONS_PER_STEP) return true;
      }
      return true;
    } catch (error) {
      this.#parts.log.warn("canaries cannot be read; they are judged once they can", { error });
      return false;
    }
  }

  async #judgeSafely(name: FunctionName, judged: Judged): Promise<void> {
    try {
      await this.#judge(name, judged);
    } catch (error) {
      // Somebody else has ended it between the look and the step.
      if (isPlatformError(error, "ResourceConflict") || isPlatformError(error, "FunctionNotFound")) {
        this.#running.delete(name);
        return;
      }
      this.#parts.log.error("a canary cannot be judged; it is tried again", { function: name, error });
    }
  }

  async #judge(name: FunctionName, judged: Judged): Promise<void> {
    const { canary } = judged;
    const { clock, functions, log } = this.#parts;
    const at = clock.now();
    const isOver = at >= canary.endsAt;
    if (!isOver && clock.monotonic() < judged.judgeAt) return;
    judged.judgeAt = this.#isByFiles(canary) ? clock.monotonic() + JUDGE_BY_FILES_MS : 0;
    const figures = await this.figuresOf(name, canary);
    const decision = decide(canary, figures, { at, isOver });
    if (!decision) return;
    const { outcome, reason } = decision;
    await functions.endCanary(name, canary.version, decision);
    this.#running.delete(name);
    log.info("a canary has ended", { function: name, version: canary.version, outcome, reason });
  }
}

/** Too few calls decide nothing before the end; at the end what there is decides, since the version would go live. */
export function decide(
  canary: Canary,
  figures: CanaryFigures,
  { at, isOver }: { readonly at: number; readonly isOver: boolean },
): CanaryDecision | undefined {
  const isEnough = figures.calls > 0 && (isOver || figures.calls >= canary.callsMin);
  const met = isEnough ? metCondition(canary.abortOn, figures) : undefined;
  if (met !== undefined) return { outcome: "aborted", at, reason: met, figures };
  if (!isOver) return undefined;
  const what = canary.abortOn.length === 0 ? "there was no condition" : "no condition was met";
  return {
    outcome: "promoted",
    at,
    reason: `its time was over: ${what} in ${calls(figures.calls)}`,
    figures,
  };
}
