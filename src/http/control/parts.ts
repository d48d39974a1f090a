/** What the control API needs of the rest of the house. */
import type { CodeDepot } from "../../code/depot.ts";
import type { ImageEngine } from "../../code/image.ts";
import type { ImageRefresh } from "../../code/image-refresh.ts";
import type { CodeSettings, PreparedCode, PrepareOptions } from "../../code/prepare.ts";
import type { Clock } from "../../core/clock.ts";
import type { EndReason } from "../../core/event.ts";
import type { Architecture } from "../../core/function.ts";
import type { FunctionName, HookId, SourceId } from "../../core/ids.ts";
import type { Log } from "../../core/log.ts";
import type { ReleaseRef } from "../../core/project.ts";
import type { Recording } from "../../core/recording.ts";
import type { OriginFacts, Source, SourceStatus } from "../../core/source.ts";
import type { PathPattern } from "../../core/value-path.ts";
import type { Invocations } from "../../invoker/invocations.ts";
import type { Replayed } from "../../invoker/replay.ts";
import type { HostLoad } from "../../records/host-load.ts";
import type { MetricReader } from "../../records/metrics/metrics.ts";
import type { Recordings } from "../../records/recordings/recordings.ts";
import type { Records } from "../../records/records.ts";
import type { ShadowReports } from "../../records/shadow-reports.ts";
import type { CanaryKeeper } from "../../registry/canary-keeper.ts";
import type { Functions } from "../../registry/functions.ts";
import type { ProjectBook } from "../../registry/projects.ts";
import type { RouteBook } from "../../registry/route-book.ts";
import type { Target } from "../../registry/target.ts";
import type { Turns } from "../../registry/turns.ts";
import type { EventLedger } from "../../store/event-queue.ts";
import type { Hooks } from "../../store/hooks.ts";
import type { Rules, Schedules } from "../../store/schedules.ts";
import type { Sources } from "../../store/sources.ts";
import type { Layers, Registry } from "../../store/store.ts";
import type { EventIntake } from "../event-intake.ts";
import type { KeyRing } from "./keys.ts";

export interface ControlParts {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  /** `NAME` or `NAME:PORT` by which control may be called besides loopback, lower case. */
  readonly hostNames: readonly string[];
  /** Twelve digits. */
  readonly account: string;
  readonly region: string;
  /** Uploads stay here while they are being taken in; made if missing. */
  readonly uploadDir: string;
  /** How long running requests may go on once the listener is disposed. */
  readonly drainMs: number;
  readonly functions: Functions;
  readonly invocations: Pick<Invocations, "invoke">;
  readonly depot: Pick<CodeDepot, "takeIn" | "findArchive" | "merge">;
  readonly records: Pick<Records, "read" | "forget">;
  readonly recordings: Pick<Recordings, "list" | "find" | "search" | "remove" | "forget" | "holdings">;
  /** Runs a recording again; that is not recorded. @throws PlatformError `RecordingUnsuitable`, and what calls throw. */
  replay(
    recording: Recording,
    target: Target,
    options: { readonly ignored: readonly PathPattern[]; readonly signal: AbortSignal },
  ): Promise<Replayed>;
  readonly metrics: MetricReader;
  readonly canaries: Pick<CanaryKeeper, "figuresOf" | "figuresOfRelease">;
  readonly shadows: Pick<ShadowReports, "find" | "forget">;
  readonly hostLoad: HostLoad;
  readonly layers: Layers;
  readonly projects: {
    /** Whoever changes projects shares one book: the same one each time. */
    openBook(): Promise<ProjectBook>;
    readonly registry: Pick<Registry, "findFunction" | "findVersion">;
  };
  readonly schedules: Schedules;
  readonly rules: Rules;
  readonly hooks: Hooks;
  /** Changes of hooks, by id, one after the other: releases make some too. */
  readonly hookTurns: Turns;
  /** Told when there is something to deploy. */
  deploymentWaits(): void;
  readonly routeBook: RouteBook;
  /** Encrypts the secret that tokens of an issuer are signed with. */
  readonly sealTokenSecret: (issuer: string, secret: string) => Promise<string>;
  /** Base domains below which each function has a host of its own. */
  readonly domains: readonly string[];
  readonly sources: Sources;
  readonly sourceWork: SourceWork;
  readonly keys: KeyRing;
  readonly runtimes: Runtimes;
  readonly prepare: PrepareCode;
  /** The same for an image that the container engine has or can pull; undefined where there are none. */
  readonly prepareImage?: PrepareImage | undefined;
  /**
   * Starts an instance of the target, or has as many up as `instances`. Resolves with the ms it took; rejects with why
   * it cannot start.
   */
  warm(
    target: Target,
    options: { readonly signal: AbortSignal; readonly instances?: number },
  ): Promise<number>;
  /** The images of functions, and their bases; undefined where there are none. */
  readonly images?: ControlImages | undefined;
  /** The durable queue; without it `Event` invocations are refused. */
  readonly events: EventIntake | undefined;
  /** What became of events. */
  readonly ledger: EventLedger;
  /** What this host's programs are built for. */
  readonly architecture: Architecture;
  /** Facts of the running daemon, as `GET /v1/status` shows them. */
  status(): Promise<DaemonStatus>;
  instances(name: FunctionName): InstanceCounts;
  /** How far it is with the instances that are to be kept started of a qualifier. */
  provisioned(name: FunctionName, qualifier: string): ProvisionedProgress;
  readonly quotas: Quotas;
  readonly urls: FunctionUrls;
  readonly clock: Clock;
  readonly log: Log;
}

/** The pollers of sources, as far as the API has to do with them. */
export interface SourceWork {
  /** Connects to the queue and looks at it. @throws PlatformError `SourceUnavailable`, `InvalidRequest`. */
  inspect(source: Pick<Source, "id" | "origin" | "createdAt">): Promise<OriginFacts>;
  /** Encrypts what may lie in the store. */
  seal(id: SourceId, secret: string): Promise<string>;
  /** Undefined if it was not sealed here for that id. */
  unseal(id: SourceId, sealed: string): Promise<string | undefined>;
  /** Undefined if it is not polled. */
  status(id: SourceId): SourceStatus | undefined;
  /** Tells that the source was created, changed or removed. */
  changed(id: SourceId): void;
}

/** Why the events of a function that is deleted end. */
export const FUNCTION_DELETED: EndReason = {
  condition: "FunctionDeleted",
  message: "the function was deleted",
};

export interface Runtimes {
  /** @throws PlatformError `RuntimeUnavailable` with the remedy; at once, or as a rejection. */
  resolve(runtime: string): unknown;
  list(): Promise<readonly RuntimeFacts[]>;
  /** @throws PlatformError `InvalidRequest`, `RuntimeUnavailable`. */
  install(runtime: string): Promise<RuntimeFacts>;
}

export interface RuntimeFacts {
  readonly name: string;
  readonly isHere: boolean;
  readonly path: string | undefined;
  readonly version: string | undefined;
  /** What to install; undefined when it is here. */
  readonly remedy: string | undefined;
}

/**
 * Takes in an upload, finds out how it runs, and builds it if it has to be.
 *
 * @throws PlatformError `InvalidArchive`, `InvalidHandler`, `BuildFailed`, `RuntimeUnavailable`, `StorageFull`.
 */
export type PrepareCode = (
  upload: {
    readonly file: string;
    readonly name: string | undefined;
    /** Whose images are built. */
    readonly functionName: FunctionName;
    /** The number that it is expected to get. */
    readonly version?: number | undefined;
  },
  settings: CodeSettings,
  options: PrepareOptions,
) => Promise<PreparedCode>;

/** @throws PlatformError `ImageUnavailable`, `InvalidHandler`, `EngineUnavailable`. */
export type PrepareImage = (
  reference: string,
  settings: CodeSettings,
  options: PrepareOptions,
) => Promise<PreparedCode>;

export interface ControlImages {
  readonly engine: Pick<ImageEngine, "inventory" | "look" | "abandon">;
  readonly refresh: Pick<ImageRefresh, "refresh">;
  /** Whether what a refresh has built goes live unless somebody says otherwise. */
  readonly goesLive: boolean;
}

export interface DaemonStatus {
  readonly version: string;
  readonly nodeVersion: string;
  /** ms since epoch. */
  readonly startedAt: number;
  /** URL. */
  readonly gateway: string;
  /** URL. */
  readonly control: string;
  readonly dataDir: string;
  /** How many there are. */
  readonly functions: number;
  /** Over all functions. */
  readonly instances: InstanceCounts;
  readonly isolation: { readonly isIsolated: boolean; readonly gaps: readonly string[] };
}

/** Limits of the account; what is undefined has none. */
export interface Quotas {
  /** Calls at once over all functions. */
  readonly concurrencyMax: number | undefined;
  /** So much of that stays for functions without a reservation. */
  readonly unreservedMin: number;
  /** Requests to AWS's operations but those that invoke. */
  readonly requestsPerSecondMax: number | undefined;
}

export interface ProvisionedProgress {
  /** Instances that are up. */
  readonly available: number;
  /** Why the last attempt to start more has failed. */
  readonly problem: string | undefined;
}

export interface InstanceCounts {
  readonly idle: number;
  readonly busy: number;
  readonly starting: number;
}

export interface FunctionUrls {
  /** What a route's path is put behind: `http://api.localhost:8080`; undefined stands for every host. */
  ofHost(host: string | undefined): string;
  /** Where a function is called: `http://greet.localhost:8080`. */
  ofFunction(name: FunctionName): string;
  /** Where a release of a project is called, functions by their path. */
  ofRelease(release: ReleaseRef): string;
  /** Where a function URL is called, with a slash at the end. */
  ofUrlId(urlId: string): string;
  /** Where a hook is sent to: `http://localhost:8080/_hooks/hk_…`. */
  ofHook(id: HookId): string;
}
