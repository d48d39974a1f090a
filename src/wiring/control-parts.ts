import { join } from "node:path";
import type { CodeDepot } from "../code/depot.ts";
import type { Config } from "../config/config.ts";
import type { ControlParts } from "../http/control/parts.ts";
import type { Invoker } from "../invoker/invoker.ts";
import type { ProvisionedInstances } from "../invoker/provisioned.ts";
import { replay } from "../invoker/replay.ts";
import type { Runtimes } from "../protocol/runtimes.ts";
import { newHostLoad } from "../records/host-load.ts";
import type { Records } from "../records/records.ts";
import type { Driver } from "../sandbox/driver.ts";
import type { Store } from "../store/store.ts";
import { codePreparation } from "./code-preparation.ts";
import type { containerParts } from "./containers.ts";
import { functionUrls } from "./function-urls.ts";
import { DRAIN_MS, type Environment, version } from "./host.ts";
import type { startImageUpkeep } from "./images.ts";
import type { Routing } from "./routes.ts";
import type { OpenSources } from "./sources.ts";

/** What is handed on to the control API as it is. */
type HandedOn =
  | "canaries"
  | "clock"
  | "events"
  | "functions"
  | "hookTurns"
  | "invocations"
  | "keys"
  | "log"
  | "metrics"
  | "recordings"
  | "shadows";

interface Opened extends Pick<ControlParts, HandedOn> {
  readonly config: Config;
  readonly environment: Environment;
  readonly startedAt: number;
  /** Known once it listens. */
  readonly controlUrl: () => string;
  readonly gateway: { readonly port: number; readonly url: string };
  readonly store: Store;
  readonly driver: Pick<Driver, "isolation">;
  readonly depot: CodeDepot;
  readonly records: Records;
  readonly runtimes: Runtimes;
  readonly containers: ReturnType<typeof containerParts>;
  readonly images: ReturnType<typeof startImageUpkeep>;
  readonly invoker: Invoker;
  readonly provisioned: Pick<ProvisionedInstances, "progress">;
  readonly openProjects: ControlParts["projects"]["openBook"];
  readonly routing: Routing;
  readonly deployments: { waits(): void };
  readonly sources: OpenSources;
}

/** What the control API is given of all that is open. */
export function partsOfControl(opened: Opened): ControlParts {
  const { config, environment, store, invoker, runtimes, routing, records, recordings } = opened;
  const { containers, images, depot } = opened;
  return {
    ...config.control,
    canaries: opened.canaries,
    clock: opened.clock,
    events: opened.events,
    functions: opened.functions,
    hookTurns: opened.hookTurns,
    invocations: opened.invocations,
    keys: opened.keys,
    log: opened.log,
    metrics: opened.metrics,
    shadows: opened.shadows,
    recordings,
    hostNames: config.controlHosts,
    account: config.accountId,
    region: config.region,
    domains: config.domains,
    uploadDir: join(config.dataDir, "uploads"),
    drainMs: DRAIN_MS,
    depot,
    records: {
      read: (query, options) => records.read(query, options),
      async forget(name) {
        await records.forget(name);
        await recordings.forget(name);
      },
    },
    replay: (recording, target, options) =>
      replay({ invocations: invoker, records }, recording, target, options),
    hostLoad: newHostLoad(),
    layers: store.layers,
    schedules: store.schedules,
    rules: store.rules,
    hooks: store.hooks,
    deploymentWaits: opened.deployments.waits,
    routeBook: routing.book,
    sealTokenSecret: routing.seal,
    sources: store.sources,
    sourceWork: opened.sources,
    runtimes: {
      resolve: (runtime) => runtimes.resolve(runtime, "handler"),
      list: () => runtimes.list(),
      install: (runtime) => runtimes.install(runtime),
    },
    prepare: codePreparation(config, environment, { depot, runtimes, images: containers.images }),
    prepareImage: async (reference, settings, options) =>
      (await import("../code/prepare.ts")).prepareImage(containers.images, reference, settings, options),
    images: {
      engine: containers.images,
      refresh: images.refresh,
      goesLive: config.imageRefreshGoesLive,
    },
    warm: (target, options) => invoker.warm(target, options),
    projects: { openBook: opened.openProjects, registry: store.registry },
    ledger: store.events,
    architecture: process.arch === "arm64" ? "arm64" : "x86_64",
    status: statusOf(opened),
    instances: (name) => invoker.counts(name),
    provisioned: (name, qualifier) => opened.provisioned.progress(name, qualifier),
    quotas: {
      concurrencyMax: config.concurrencyMax,
      unreservedMin: config.unreservedMin,
      requestsPerSecondMax: config.requestsPerSecondMax,
    },
    urls: functionUrls(config, opened.gateway.port),
  };
}

function statusOf({
  config,
  startedAt,
  gateway,
  controlUrl,
  store,
  invoker,
  driver,
}: Opened): ControlParts["status"] {
  return async () => ({
    version: version(),
    nodeVersion: process.version,
    startedAt,
    gateway: gateway.url,
    control: controlUrl(),
    dataDir: config.dataDir,
    functions: await store.registry.countFunctions(),
    instances: invoker.counts(),
    isolation: await driver.isolation(),
  });
}
