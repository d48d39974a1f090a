import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FunctionName } from "../core/ids.ts";
import type { Log } from "../core/log.ts";
import {
  NO_SHADOW_COUNTS,
  SHADOW_DIFFERENCES_MAX,
  type ShadowCounts,
  type ShadowDifference,
  type ShadowReport,
  type ShadowSkip,
  type ShadowSpans,
} from "../core/shadow.ts";
import { Distribution } from "./metrics/distribution.ts";

/** Whose report it is: a function's, or a project's (after an `@`), and when the shadow began. */
export interface ReportRef {
  readonly key: string;
  readonly startedAt: number;
}

export interface Compared {
  readonly kind: "same" | "different" | "failed" | "not-compared";
  readonly liveMs: number;
  readonly shadowMs: number;
  readonly difference?: ShadowDifference;
}

/** Counts what becomes of copies. Never throws and never waits. */
export interface ShadowRecorder {
  skipped(ref: ReportRef, why: ShadowSkip): void;
  compared(ref: ReportRef, compared: Compared): void;
}

/** The report of the latest shadow of each function and project, written behind. What a killed daemon had not written is lost. */
export interface ShadowReports extends ShadowRecorder, AsyncDisposable {
  /** Undefined if there is none of a shadow that began then. */
  find(ref: ReportRef): Promise<ShadowReport | undefined>;
  forget(key: string): Promise<void>;
  /** The report of a function goes with it. */
  functionChanged(name: FunctionName, record: unknown): void;
}

const FLUSH_MS = 2_000;

export function openShadowReports(parts: { readonly dir: string; readonly log: Log }): ShadowReports {
  return new Reports(parts);
}

type MutableCounts = { -readonly [Name in keyof ShadowCounts]: ShadowCounts[Name] } & {
  skipped: Record<ShadowSkip, number>;
};

interface Tallied {
  readonly startedAt: number;
  readonly counts: MutableCounts;
  readonly liveMs: Distribution;
  readonly shadowMs: Distribution;
  readonly differences: ShadowDifference[];
  isWritten: boolean;
}

class Reports implements ShadowReports {
  readonly #dir: string;
  readonly #log: Log;
  /** By key. Each is read once, and stays. */
  readonly #known = new Map<string, Promise<Tallied | undefined>>();
  #flushing: NodeJS.Timeout | undefined;
  /** Changes and writes take turns. */
  #turn: Promise<void> = Promise.resolve();

  constructor({ dir, log }: { readonly dir: string; readonly log: Log }) {
    this.#dir = dir;
    this.#log = log;
  }

  skipped(ref: ReportRef, why: ShadowSkip): void {
    this.#change(ref, ({ counts }) => {
      counts.skipped[why] += 1;
    });
  }

  compared(ref: ReportRef, { kind, liveMs, shadowMs, difference }: Compared): void {
    this.#change(ref, (tallied) => {
      const { counts, differences } = tallied;
      counts.copied += 1;
      counts[kind === "not-compared" ? "notCompared" : kind] += 1;
      tallied.liveMs.record(liveMs);
      // Of what could not run there is no duration.
      if (shadowMs > 0) tallied.shadowMs.record(shadowMs);
      if (difference && differences.length < SHADOW_DIFFERENCES_MAX) differences.push(difference);
    });
  }

  async find(ref: ReportRef): Promise<ShadowReport | undefined> {
    await this.#turn;
    const tallied = await this.#load(ref.key);
    if (tallied?.startedAt !== ref.startedAt) return undefined;
    const { counts, liveMs, shadowMs, differences } = tallied;
    return {
      counts: { ...counts, skipped: { ...counts.skipped } },
      liveMs: spansOf(liveMs),
      shadowMs: spansOf(shadowMs),
      differences: [...differences],
    };
  }

  forget(key: string): Promise<void> {
    return this.#inTurn(async () => {
      this.#known.set(key, Promise.resolve(undefined));
      await rm(this.#fileOf(key), { force: true });
      this.#known.delete(key);
    });
  }

  functionChanged(name: FunctionName, record: unknown): void {
    if (record === undefined) void this.forget(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#flushing);
    await this.#flush();
  }

  #change(ref: ReportRef, change: (tallied: Tallied) => void): void {
    void this.#inTurn(async () => {
      let tallied = await this.#load(ref.key);
      if (tallied?.startedAt !== ref.startedAt) {
        // The last copies of an earlier one come too late.
        if (tallied && tallied.startedAt > ref.startedAt) return;
        tallied = newTallied(ref.startedAt);
        this.#known.set(ref.key, Promise.resolve(tallied));
      }
      change(tallied);
      tallied.isWritten = false;
      this.#flushing ??= setTimeout(() => void this.#flush(), FLUSH_MS).unref();
    });
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work).catch((error: unknown) => {
      this.#log.warn("the report of a shadow cannot be kept", { error });
    });
    this.#turn = done;
    await done;
  }

  #flush(): Promise<void> {
    return this.#inTurn(async () => {
      this.#flushing = undefined;
      for (const [key, known] of this.#known) {
        const tallied = await known;
        if (!tallied || tallied.isWritten) continue;
        tallied.isWritten = true;
        await mkdir(this.#dir, { recursive: true, mode: 0o700 });
        const file = this.#fileOf(key);
        await writeFile(`${file}.new`, JSON.stringify(encoded(tallied)), { mode: 0o600 });
        await rename(`${file}.new`, file);
      }
    });
  }

  #load(key: string): Promise<Tallied | undefined> {
    const known = this.#known.get(key);
    if (known) return known;
    const loading = this.#read(key);
    this.#known.set(key, loading);
    return loading;
  }

  async #read(key: string): Promise<Tallied | undefined> {
    try {
      return decoded(JSON.parse(await readFile(this.#fileOf(key), "utf8")));
    } catch (error) {
      const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
      if (!isMissing) this.#log.warn("the report of a shadow cannot be read; a new one is begun", { error });
      return undefined;
    }
  }

  /** Names of functions and projects are names of files. */
  #fileOf(key: string): string {
    return join(this.#dir, key.startsWith("@") ? `project-${key.slice(1)}.json` : `function-${key}.json`);
  }
}

function newTallied(startedAt: number): Tallied {
  return {
    startedAt,
    counts: { ...NO_SHADOW_COUNTS, skipped: { ...NO_SHADOW_COUNTS.skipped } },
    liveMs: new Distribution(),
    shadowMs: new Distribution(),
    differences: [],
    isWritten: true,
  };
}

function encoded({ startedAt, counts, liveMs, shadowMs, differences }: Tallied): Record<string, unknown> {
  const spans = { liveMs: liveMs.encode(), shadowMs: shadowMs.encode() };
  return { startedAt, counts, ...spans, differences };
}

/** Nobody but us has written it. */
function decoded(value: Record<string, unknown>): Tallied {
  const stored = value as unknown as Pick<Tallied, "startedAt" | "counts" | "differences">;
  const tallied = { ...newTallied(stored.startedAt), counts: stored.counts, differences: stored.differences };
  tallied.liveMs.addEncoded(value.liveMs);
  tallied.shadowMs.addEncoded(value.shadowMs);
  return tallied;
}

function spansOf(spans: Distribution): ShadowSpans | undefined {
  const [p50, p99] = [spans.quantile(0.5), spans.quantile(0.99)];
  return p50 === undefined || p99 === undefined ? undefined : { p50, p99 };
}
