import type { FunctionName, InvocationId } from "../../core/ids.ts";
import type { ComparedOutcome } from "../../core/outcome-diff.ts";
import type {
  Dropped,
  DropReason,
  RecordedInput,
  Recording,
  RecordingFacts,
  RecordingSettings,
} from "../../core/recording.ts";

/**
 * Recordings of invocations, written behind and never in the way of one: `add` and `drop` neither throw nor wait. What has
 * to be given up (a full disk, a flood) is counted. Nothing that is to be redacted gets to the disk.
 */
export interface Recordings extends AsyncDisposable {
  add(taken: TakenInvocation): void;
  drop(functionName: FunctionName, reason: DropReason): void;
  /** Latest first. */
  list(functionName: FunctionName, query: RecordingQuery): Promise<RecordingPage>;
  /** The latest of that invocation. */
  find(functionName: FunctionName, id: InvocationId): Promise<Recording | undefined>;
  /** The same, whosever it is among `functionNames`. */
  search(id: InvocationId, isWanted: (functionName: FunctionName) => boolean): Promise<Recording | undefined>;
  /** How many there were. */
  remove(functionName: FunctionName, id: InvocationId): Promise<number>;
  /** Removes all of a function. */
  forget(functionName: FunctionName): Promise<void>;
  /** Removes what is from before that instant. */
  expire(functionName: FunctionName, beforeAt: number): Promise<void>;
  holdings(functionName: FunctionName): Promise<RecordingHoldings>;
  /** Functions of which something is kept. */
  functionNames(): Promise<readonly FunctionName[]>;
  /** Resolves when all that was added so far is on disk, or was dropped. */
  flush(): Promise<void>;
}

/** An invocation as it was, secrets and all; only ever in memory. */
export interface TakenInvocation {
  readonly invocationId: InvocationId;
  readonly functionName: FunctionName;
  readonly at: number;
  readonly version: string;
  readonly liveVersion: number | undefined;
  readonly input: RecordedInput;
  readonly clientContext: string | undefined;
  readonly outcome: ComparedOutcome;
  readonly durationMs: number;
  readonly settings: Pick<RecordingSettings, "redact">;
  /** Of the version that ran. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface RecordingQuery {
  readonly limit: number;
  /** `RecordingPage.next` of the page before. */
  readonly before: string | undefined;
  readonly sinceAt: number | undefined;
  /** `$LATEST` or a number; a number also matches what ran while it was live. */
  readonly version: string | undefined;
  readonly outcome: ComparedOutcome["kind"] | undefined;
}

export interface RecordingPage {
  readonly recordings: readonly RecordingFacts[];
  /** Where the next page begins; undefined if there is none. */
  readonly next: string | undefined;
}

export interface RecordingHoldings {
  readonly recordings: number;
  /** On disk. */
  readonly bytes: number;
  readonly oldestAt: number | undefined;
  readonly newestAt: number | undefined;
  /** Of what is known: notes go with the files that they are in. */
  readonly dropped: Dropped;
  /** Entries that cannot be read: cut by a crash, or damaged. */
  readonly damaged: number;
}
