import {
  type Canary,
  type CanaryDecision,
  type CanaryFigures,
  calls,
  metCondition,
  type ReleaseCanary,
} from "../core/canary.ts";
import type { Clock } from "../core/clock.ts";
import { errorFacts, isPlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { Log } from "../core/log.ts";
import type { ProjectName, ReleaseRef } from "../core/project.ts";
import { inBackground } from "../core/scope.ts";
import { NO_SHADOW_COUNTS, type ShadowCounts, shadowSummary } from "../core/shadow.ts";
import { runningTrial } from "../core/tried.ts";
import { type CanaryMetrics, figuresOfRelease, figuresOfVersion, isByFiles } from "./canary-figures.ts";
import type { Functions } from "./functions.ts";
import type { ProjectBook } from "./projects.ts";
import { runningReleaseCanary } from "./release-canaries.ts";

const JUDGE_MS = 1_000;
/** Figures that were written before this daemon was started are read from files, which is not done each second. */
const JUDGE_BY_FILES_MS = 10_000;
/** What looks for canaries must not make the start slower. */
const BEGIN_AFTER_MS = 250;
const FUNCTIONS_PER_STEP = 500;
/** Who makes a release live that has done well. */
const BY_ITSELF = "its canary";

export interface CanaryParts {
  readonly functions: Pick<Functions, "get" | "list" | "endCanary">;
  /** Asked for where a release of a project is tried. */
  openProjects(): Promise<Pick<ProjectBook, "get" | "getRelease" | "endCanary">>;
  readonly metrics: CanaryMetrics;
  readonly shadows: {
    find(ref: {
      readonly key: string;
      readonly startedAt: number;
    }): Promise<{ readonly counts: ShadowCounts } | undefined>;
  };
  readonly clock: Clock;
  readonly log: Log;
}

/** Judges the canaries that run, once a second while there are any, and ends them; shadows when their time is over. */
export interface CanaryKeeper extends AsyncDisposable {
  readonly failed: Promise<never>;
  functionChanged(name: FunctionName, record: FunctionRecord | undefined): void;
  figuresOf(name: FunctionName, canary: Canary): Promise<CanaryFigures>;
  /** @throws PlatformError `ResourceNotFound` for a release that is not known any more. */
  figuresOfRelease(project: ProjectName, canary: ReleaseCanary): Promise<CanaryFigures>;
}

export function openCanaries(parts: CanaryParts): CanaryKeeper {
  return new Keeper(parts);
}

/** Whose canary it is, as far as judging has to know. */
interface Subject {
  /** Tells one canary from the next. */
  readonly id: string;
  /** For the log. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** The one that runs; undefined once it has ended. */
  find(): Promise<Canary | ReleaseCanary | undefined>;
  figures(canary: Canary | ReleaseCanary): Promise<CanaryFigures>;
  end(decision: CanaryDecision): Promise<unknown>;
  /** Not before then, monotonic. */
  judgeAt: number;
}

class Keeper implements CanaryKeeper {
  readonly #parts: CanaryParts;
  readonly #openedAt: number;
  /** By the name of a function, or a project's after an `@`. */
  readonly #running = new Map<string, Subject>();
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
    const { project, tried } = record?.membership ?? {};
    // Of a project, the other functions may still know of it: that it has ended is found when it is judged.
    if (project && tried) this.#watch(`@${project}`, this.#ofRelease({ project, number: tried.release }));
    const canary = record && runningTrial(record);
    if (canary) this.#watch(name, this.#ofFunction(name, canary));
    else this.#running.delete(name);
  }

  figuresOf(name: FunctionName, canary: Canary): Promise<CanaryFigures> {
    return figuresOfVersion(this.#parts.metrics, name, canary, this.#times());
  }

  async figuresOfRelease(project: ProjectName, canary: ReleaseCanary): Promise<CanaryFigures> {
    const release = await (await this.#parts.openProjects()).getRelease(project, canary.release);
    return await figuresOfRelease(this.#parts.metrics, release, canary, this.#times());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ending = this.#work[Symbol.asyncDispose]();
    this.#wake?.();
    await ending;
  }

  #times(): { readonly now: number; readonly openedAt: number } {
    return { now: this.#parts.clock.now(), openedAt: this.#openedAt };
  }

  #watch(key: string, subject: Subject): void {
    if (this.#running.get(key)?.id === subject.id) return;
    this.#running.set(key, subject);
    this.#wake?.();
  }

  #ofFunction(name: FunctionName, canary: Canary): Subject {
    const { version } = canary;
    return {
      id: `${version}`,
      facts: { function: name, version },
      find: () =>
        unlessGone(async () => {
          const running = runningTrial(await this.#parts.functions.get(name));
          return running?.version === version ? running : undefined;
        }),
      figures: () => this.figuresOf(name, canary),
      end: (decision) => this.#parts.functions.endCanary(name, version, decision),
      judgeAt: 0,
    };
  }

  #ofRelease({ project, number }: ReleaseRef): Subject {
    return {
      id: `${number}`,
      facts: { project, release: number },
      find: () =>
        unlessGone(async () => {
          const running = runningReleaseCanary(await (await this.#parts.openProjects()).get(project));
          return running?.release === number ? running : undefined;
        }),
      // Of a release that was forgotten there is nothing to count, and it cannot go live.
      figures: async (canary) =>
        (await unlessGone(async () =>
          "release" in canary ? await this.figuresOfRelease(project, canary) : undefined,
        )) ?? { calls: 0, errors: 0 },
      end: async (decision) =>
        (await this.#parts.openProjects()).endCanary(project, number, decision, BY_ITSELF),
      judgeAt: 0,
    };
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
      for (const [key, subject] of this.#running) {
        if (signal.aborted) return;
        await this.#judgeSafely(key, subject);
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
        for (const record of page) {
          if (runningTrial(record) || record.membership?.tried) this.functionChanged(record.name, record);
        }
        after = page.at(-1)?.name;
        if (page.length < FUNCTIONS_PER_STEP) return true;
      }
      return true;
    } catch (error) {
      this.#parts.log.warn("canaries cannot be read; they are judged once they can", { error });
      return false;
    }
  }

  async #judgeSafely(key: string, subject: Subject): Promise<void> {
    try {
      if (await this.#judge(key, subject)) this.#forget(key, subject);
    } catch (error) {
      // Somebody else has changed it between the look and the step: the next look tells.
      if (isPlatformError(error, "ResourceConflict")) return;
      this.#parts.log.error("a canary cannot be judged; it is tried again", { ...subject.facts, error });
    }
  }

  /** Unless another has taken its place. */
  #forget(key: string, subject: Subject): void {
    if (this.#running.get(key) === subject) this.#running.delete(key);
  }

  /** Whether it has ended. */
  async #judge(key: string, subject: Subject): Promise<boolean> {
    const { clock, log } = this.#parts;
    const canary = await subject.find();
    if (!canary) return true;
    const at = clock.now();
    const isOver = at >= canary.endsAt;
    if (!isOver && (canary.shadow || clock.monotonic() < subject.judgeAt)) return false;
    if (canary.shadow) {
      await subject.end(await this.#endOfShadow(key, canary));
      log.info("a shadow has ended", subject.facts);
      return true;
    }
    subject.judgeAt = isByFiles(canary, this.#openedAt) ? clock.monotonic() + JUDGE_BY_FILES_MS : 0;
    const figures = await subject.figures(canary);
    const decision = decide(canary, figures, { at, isOver });
    if (!decision) return false;
    const { outcome, reason } = await this.#end(subject, decision);
    log.info("a canary has ended", { ...subject.facts, outcome, reason });
    return true;
  }

  async #endOfShadow(key: string, { startedAt }: Pick<Canary, "startedAt">): Promise<CanaryDecision> {
    const report = await this.#parts.shadows.find({ key, startedAt });
    const comparison = report?.counts ?? NO_SHADOW_COUNTS;
    const reason = `its time was over: ${shadowSummary(comparison)}`;
    return { outcome: "ended", at: this.#parts.clock.now(), reason, comparison };
  }

  /** What cannot go live since something that it needs is not there (any more) goes back instead. */
  async #end(subject: Subject, decision: CanaryDecision): Promise<CanaryDecision> {
    try {
      await subject.end(decision);
      return decision;
    } catch (error) {
      const isRefused = isPlatformError(error) && errorFacts(error.code).fault === "caller";
      if (!isRefused || decision.outcome !== "promoted" || !(await subject.find())) throw error;
      const reason = `it could not go live: ${error.message}`;
      const aborted = { ...decision, outcome: "aborted", reason } as const;
      await subject.end(aborted);
      return aborted;
    }
  }
}

async function unlessGone<T>(find: () => Promise<T>): Promise<T | undefined> {
  try {
    return await find();
  } catch (error) {
    if (isPlatformError(error, "FunctionNotFound") || isPlatformError(error, "ResourceNotFound")) {
      return undefined;
    }
    throw error;
  }
}

/** Too few calls decide nothing before the end; at the end what there is decides, since the version would go live. */
export function decide(
  canary: Pick<Canary, "abortOn" | "callsMin">,
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
