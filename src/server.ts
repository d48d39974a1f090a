import { join } from "node:path";
import { openDepot } from "./code/depot.ts";
import { PackStore } from "./code/pack-store.ts";
import type { Config } from "./config/config.ts";
import { systemClock } from "./core/clock.ts";
import { type Fault, newTimeOuts } from "./core/fault.ts";
import { type FunctionConfig, IMAGE_RUNTIME } from "./core/function.ts";
import type { Log } from "./core/log.ts";
import { inBackground, Scope } from "./core/scope.ts";
import { runLogRetention } from "./events/log-retention.ts";
import { runRecordingUpkeep } from "./events/recording-upkeep.ts";
import { startEvents } from "./events/start-events.ts";
import { openControl } from "./http/control/control.ts";
import { newGrants } from "./http/control/grants.ts";
import { type Master, openMaster } from "./http/control/key-files.ts";
import { openKeyRing } from "./http/control/keys.ts";
import type { ControlParts } from "./http/control/parts.ts";
import { newUrlSignatureCheck } from "./http/control/url-signatures.ts";
import { newEventIntake } from "./http/event-intake.ts";
import { openGateway } from "./http/gateway/gateway.ts";
import { Invoker } from "./invoker/invoker.ts";
import { Packs } from "./invoker/packs.ts";
import { openProvisioned } from "./invoker/provisioned.ts";
import { recordedInvocations } from "./invoker/recorded-invocations.ts";
import { newShadowing } from "./invoker/shadowing.ts";
import { Runtimes } from "./protocol/runtimes.ts";
import { openRecords } from "./records/file-records.ts";
import { openMetrics } from "./records/metrics/file-metrics.ts";
import type { Metrics } from "./records/metrics/metrics.ts";
import { openRecordings } from "./records/recordings/file-recordings.ts";
import { openShadowReports } from "./records/shadow-reports.ts";
import { openCanaries } from "./registry/canary-keeper.ts";
import { openFunctions } from "./registry/function-registry.ts";
import { Turns } from "./registry/turns.ts";
import type { Driver } from "./sandbox/driver.ts";
import { openLocalDriver } from "./sandbox/local/driver.ts";
import { RoutedDriver } from "./sandbox/routed.ts";
import { openSqliteStore, type SqliteStore } from "./store/sqlite/sqlite-store.ts";
import { tellOfChange } from "./wiring/change-listeners.ts";
import { containerParts } from "./wiring/containers.ts";
import { partsOfControl } from "./wiring/control-parts.ts";
import { startHookDeployments } from "./wiring/hook-deployments.ts";
import { hookReceiver } from "./wiring/hooks.ts";
import { DRAIN_MS, type Environment, instanceName, makeDataDir, PACKAGE_ROOT } from "./wiring/host.ts";
import { startImageUpkeep } from "./wiring/images.ts";
import { once } from "./wiring/once.ts";
import { protocolAdapters } from "./wiring/protocols.ts";
import { wireReleases } from "./wiring/releases.ts";
import { openRouting } from "./wiring/routes.ts";
import { sandboxRoot } from "./wiring/run-root.ts";
import { deliverToNats, openSources } from "./wiring/sources.ts";

export interface Server extends AsyncDisposable {
  readonly gatewayUrl: string;
  readonly controlUrl: string;
  /** Rejects when a part has died that the daemon cannot do without. */
  readonly failed: Promise<never>;
}

const AFTER_START_MS = 5;
/** What makes first calls faster must not make the start slower. */
const PREPARE_AFTER_MS = 250;

/** The composition root: opens all parts in order, and owns them. It alone names adapters. */
export async function startServer(parts: {
  readonly config: Config;
  /** The daemon's own, for what build tools need of it (registries, proxies). */
  readonly environment: Environment;
  readonly log: Log;
}): Promise<Server> {
  const { config, environment, log } = parts;
  const clock = systemClock;
  const startedAt = clock.now();
  const scope = new Scope();
  try {
    makeDataDir(config.dataDir);
    let master: Promise<Master> | undefined;
    const openStore = openSqliteStore({
      dir: config.dataDir,
      // A new one is synced while the database and the rest open.
      claimed: () => {
        master = openMaster(config.dataDir);
        master.catch(() => undefined);
      },
      log,
      clock,
      fault: config.fault,
    });
    const store = await inDoubt(scope.own(await openStore), config.fault);
    const openingKeys = openKeyRing({ dir: config.dataDir, master, keys: store.keys, clock });
    openingKeys.catch(() => undefined);
    const controlUrl = Promise.withResolvers<string>();
    const records = scope.own(openRecords({ dir: join(config.dataDir, "logs"), clock, log }));
    const recordings = scope.own(openRecordings({ dir: join(config.dataDir, "recordings"), clock, log }));
    const metrics: Metrics = scope.own(
      openMetrics({
        dir: join(config.dataDir, "metrics"),
        usageOf: (name) => invoker.usage(name),
        clock,
        log,
      }),
    );
    const shadows = scope.own(openShadowReports({ dir: join(config.dataDir, "shadows"), log }));
    const depot = await openDepot({ dir: join(config.dataDir, "code"), log, clock });
    const runtimes = new Runtimes({
      packageRoot: PACKAGE_ROOT,
      path: environment.PATH ?? "/usr/local/bin:/usr/bin:/bin",
      install: { dir: join(config.dataDir, "runtimes"), environment },
    });
    const name = instanceName(config.dataDir);
    const local = await openLocalDriver({
      runDir: join(sandboxRoot(environment), name),
      instanceName: name,
      allowUnsandboxed: config.allowUnsandboxed,
      log,
    });
    const containers = containerParts({
      config,
      environment,
      instanceName: name,
      restoreImage: (id, options) => images.keeper.restore(id, options),
      log,
    });
    const driver = scope.own(new RoutedDriver(local, containers.openDriver));
    const identity = { accountId: config.accountId, region: config.region };
    const resolveRuntime = async (config: FunctionConfig) =>
      config.runtime === IMAGE_RUNTIME
        ? { interpreter: undefined, runtimeDir: undefined, toolDirs: [] }
        : await runtimes.resolve(config.runtime, config.entry.kind);
    const adapterOf = protocolAdapters({ ...config, log });
    const packStore = new PackStore(join(config.dataDir, "packs"));
    const packs = scope.own(
      new Packs({ driver, depot, store: packStore, resolveRuntime, adapterOf, clock, log }),
    );
    const releases = wireReleases({
      projects: store.projects,
      domains: config.domains,
      gateway: () => gateway,
      instances: () => invoker,
    });
    const invoker = scope.own(
      new Invoker({
        driver,
        depot,
        packs,
        records,
        meters: metrics.calls,
        identity,
        clock,
        log,
        readyMibMax: config.readyMibMax,
        streamBytesMax: config.streamBytesMax,
        resolveRuntime,
        adapterOf,
        grants: newGrants({
          keys: openingKeys,
          controlUrl: controlUrl.promise,
          releases: releases.doors,
        }),
        releaseUnused: releases.unused,
        policy: {
          instancesMax: config.instancesMax,
          idleMsMax: config.idleMsMax,
          idleMibMax: config.idleMibMax,
          freezeAfterMs: config.freezeAfterMs,
          concurrencyMax: config.concurrencyMax,
        },
      }),
    );
    const recorded = recordedInvocations({ invocations: invoker, recordings, clock });
    const invocations = newShadowing({ invocations: recorded, copies: invoker, reports: shadows, clock });
    const functions = openFunctions({
      registry: store.registry,
      releases: store.projects,
      clock,
      removed: (name) => routing.book.functionRemoved(name),
      changed: (name) =>
        void tellOfChange(
          [invoker, packs, provisioned, canaries, shadows, images.keeper, sources],
          functions,
          name,
          log,
        ),
    });
    const routing = await openRouting({ config, store, keys: openingKeys, functions, clock });
    const hookTurns = new Turns();
    const openProjects = once(async () =>
      (await import("./registry/project-book.ts")).openProjectBook({
        ...(await (
          await import("./wiring/release-triggers.ts")
        ).openReleaseTriggers({
          ...{ store, keys: openingKeys, hookTurns, sourceWork: sources, clock },
        })),
        projects: store.projects,
        registry: store.registry,
        schedules: store.schedules,
        functions,
        routes: routing.book,
        listener: releases.listener,
        clock,
      }),
    );
    const provisioned = scope.own(openProvisioned({ functions, invoker, clock, log }));
    const canaries = scope.own(openCanaries({ functions, openProjects, metrics, shadows, clock, log }));
    const retention = scope.own(
      inBackground((signal) => runLogRetention({ functions, records, clock, log }, { signal })),
    );
    const recordingUpkeep = scope.own(
      inBackground((signal) => runRecordingUpkeep({ functions, recordings, clock, log }, { signal })),
    );
    const images = startImageUpkeep(scope, {
      config,
      containers,
      driver,
      functions,
      warm: (target, options) => invoker.warm(target, options),
      records,
      depot,
      clock,
      log,
    });

    const events = newEventIntake(store.events);
    const eventWork = scope.own(
      startEvents({
        config,
        store,
        functions,
        invocations: recorded,
        identity,
        meters: metrics.events,
        deliverToNats,
        clock,
        log,
      }),
    );

    const sources = scope.own(
      openSources({
        config,
        store,
        keys: openingKeys,
        functions,
        invocations: recorded,
        identity,
        clock,
        log,
      }),
    );

    const openedControl = Promise.withResolvers<ControlParts>();
    const deployments = startHookDeployments({
      dataDir: config.dataDir,
      environment,
      deployments: store.deployments,
      control: openedControl.promise,
    });
    const gateway = scope.own(
      await openGateway({
        ...config.gateway,
        setting: "--gateway or LAMBDAD_GATEWAY",
        domains: config.domains,
        drainMs: DRAIN_MS,
        functions,
        invocations,
        showFunctionErrors: config.showFunctionErrors,
        events,
        verifySignature: newUrlSignatureCheck({
          keys: { findUsable: async (id) => (await openingKeys).findUsable(id) },
          account: config.accountId,
          urlPermissions: config.urlPermissions,
          clock,
        }),
        urlPermissions: config.urlPermissions,
        receiveHook: hookReceiver({
          hooks: store.hooks,
          functions,
          keys: openingKeys,
          deploymentWaits: deployments.waits,
          clock,
          log,
        }),
        routes: routing.served,
        findRelease: releases.find,
        log,
      }),
    );
    const controlParts = partsOfControl({
      config,
      environment,
      startedAt,
      controlUrl: () => control.address.url,
      gateway: gateway.address,
      keys: await openingKeys,
      store,
      driver,
      depot,
      runtimes,
      containers,
      images,
      invoker,
      functions,
      invocations,
      provisioned,
      canaries,
      shadows,
      openProjects,
      routing,
      hookTurns,
      deployments,
      sources,
      events,
      records,
      recordings,
      metrics,
      clock,
      log,
    });
    const control = scope.own(await openControl(controlParts));
    openedControl.resolve(controlParts);
    scope.own(deployments);
    // Asking starts the spawner, and forking blocks for a moment that whoever waits for the start should not wait.
    const asking = setTimeout(() => void sayWhatIsNotIsolated(driver, log), AFTER_START_MS);
    scope.defer(() => clearTimeout(asking));
    controlUrl.resolve(`http://127.0.0.1:${control.address.port}`);
    const preparing = setTimeout(() => void invoker.prepareFor(functions), PREPARE_AFTER_MS);
    scope.defer(() => clearTimeout(preparing));
    return {
      gatewayUrl: gateway.address.url,
      controlUrl: control.address.url,
      failed: Promise.race([
        store.failed,
        eventWork.failed,
        sources.failed,
        invoker.failed,
        provisioned.failed,
        canaries.failed,
        retention.failed,
        recordings.failed,
        recordingUpkeep.failed,
        deployments.failed,
      ]),
      [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
    };
  } catch (error) {
    await scope[Symbol.asyncDispose]();
    throw error;
  }
}

/** A test may want a store that works and says that it did not. */
async function inDoubt(store: SqliteStore, fault: Fault | undefined): Promise<SqliteStore> {
  const timesOut = newTimeOuts(fault);
  if (!timesOut) return store;
  const { doubtful } = await import("./store/doubtful-store.ts");
  return doubtful(store, timesOut);
}

/** Loudly, since nobody asks for what they do not know to be missing. */
async function sayWhatIsNotIsolated(driver: Driver, log: Log): Promise<void> {
  const { isIsolated, gaps } = await driver.isolation();
  if (!isIsolated) log.warn("functions are not isolated on this host");
  for (const gap of gaps) log.warn("isolation gap", { gap });
}
