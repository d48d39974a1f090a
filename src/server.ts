import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CodeDepot, openDepot } from "./code/depot.ts";
import type { ImageEngine } from "./code/image.ts";
import { ImageKeeper, type ImageTags } from "./code/image-keeper.ts";
import type { Config } from "./config.ts";
import { systemClock } from "./core/clock.ts";
import { isPlatformError, PlatformError } from "./core/errors.ts";
import { type FunctionConfig, type FunctionRecord, IMAGE_RUNTIME } from "./core/function.ts";
import type { FunctionName } from "./core/ids.ts";
import type { Log } from "./core/log.ts";
import { inBackground, Scope } from "./core/scope.ts";
import { sourceUrl } from "./core/source-url.ts";
import { runLogRetention } from "./events/log-retention.ts";
import { startEvents } from "./events/start-events.ts";
import { openControl } from "./http/control/control.ts";
import { newGrants } from "./http/control/grants.ts";
import { openKeyRing } from "./http/control/keys.ts";
import type { PrepareCode } from "./http/control/parts.ts";
import { newUrlSignatureCheck } from "./http/control/url-signatures.ts";
import { newEventIntake } from "./http/event-intake.ts";
import { openGateway } from "./http/gateway/gateway.ts";
import { Invoker } from "./invoker/invoker.ts";
import { openProvisioned } from "./invoker/provisioned.ts";
import type { ProtocolAdapter } from "./protocol/protocol.ts";
import { Runtimes } from "./protocol/runtimes.ts";
import { openRecords } from "./records/file-records.ts";
import { openFunctions } from "./registry/function-registry.ts";
import type { Functions } from "./registry/functions.ts";
import type { Driver } from "./sandbox/driver.ts";
import { openLocalDriver } from "./sandbox/local/driver.ts";
import { RoutedDriver } from "./sandbox/routed.ts";
import { openSqliteStore } from "./store/sqlite/sqlite-store.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface Server extends AsyncDisposable {
  readonly gatewayUrl: string;
  readonly controlUrl: string;
  /** Rejects when a part has died that the daemon cannot do without. */
  readonly failed: Promise<never>;
}

/** Functions may run for 15 minutes, and those that run may end. */
const DRAIN_MS = 900_000 + 5_000;
const AFTER_START_MS = 5;
/** What makes first calls faster must not make the start slower. */
const PREPARE_AFTER_MS = 250;
const PACKAGE_ROOT = fileURLToPath(sourceUrl("../"));

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
    const store = scope.own(await openSqliteStore({ dir: config.dataDir, log, clock, fault: config.fault }));
    // Its files are written and synced while the rest opens.
    const openingKeys = openKeyRing({ dir: config.dataDir, keys: store.keys, clock });
    openingKeys.catch(() => undefined);
    const controlUrl = Promise.withResolvers<string>();
    const records = scope.own(openRecords({ dir: join(config.dataDir, "logs"), clock, log }));
    const depot = await openDepot({ dir: join(config.dataDir, "code"), log, clock });
    const runtimes = new Runtimes({
      packageRoot: PACKAGE_ROOT,
      path: environment.PATH ?? "/usr/local/bin:/usr/bin:/bin",
      install: { dir: join(config.dataDir, "runtimes"), environment },
    });
    const name = instanceName(config.dataDir);
    const local = await openLocalDriver({
      runDir: join(runRoot(environment), name),
      instanceName: name,
      allowUnsandboxed: config.allowUnsandboxed,
      log,
    });
    const containers = containerParts(environment, name, log);
    const driver = scope.own(new RoutedDriver(local, containers.openDriver));
    const identity = { accountId: config.accountId, region: config.region };
    const invoker = scope.own(
      new Invoker({
        driver,
        depot,
        records,
        identity,
        clock,
        log,
        readyMibMax: config.readyMibMax,
        resolveRuntime: async (config) =>
          config.runtime === IMAGE_RUNTIME
            ? { interpreter: undefined, runtimeDir: undefined, toolDirs: [] }
            : await runtimes.resolve(config.runtime, config.entry.kind),
        adapterOf: adapters(config.accountId, log),
        grants: newGrants({ keys: openingKeys, controlUrl: controlUrl.promise }),
        policy: {
          instancesMax: config.instancesMax,
          idleMsMax: config.idleMsMax,
          idleMibMax: config.idleMibMax,
          freezeAfterMs: config.freezeAfterMs,
          concurrencyMax: config.concurrencyMax,
        },
      }),
    );
    const functions = openFunctions({
      registry: store.registry,
      clock,
      changed: (name) => void tellOfChange([invoker, provisioned, imageKeeper], functions, name, log),
    });
    const provisioned = scope.own(openProvisioned({ functions, invoker, clock, log }));
    const retention = scope.own(
      inBackground((signal) => runLogRetention({ functions, records, clock }, { signal })),
    );
    const imageKeeper = scope.own(
      new ImageKeeper({
        tags: containers.images,
        functions,
        foundImages: async () => void (await driver.forImages()).isolation(),
        clock,
        log,
      }),
    );

    const events = newEventIntake(store.events);
    const eventWork = scope.own(
      startEvents({ config, store, functions, invocations: invoker, identity, clock, log }),
    );

    const gateway = scope.own(
      await openGateway({
        ...config.gateway,
        setting: "--gateway or LAMBDAD_GATEWAY",
        domains: config.domains,
        drainMs: DRAIN_MS,
        functions,
        invocations: invoker,
        showFunctionErrors: config.showFunctionErrors,
        events,
        verifySignature: newUrlSignatureCheck({
          keys: { findUsable: async (id) => (await openingKeys).findUsable(id) },
          account: config.accountId,
          urlPermissions: config.urlPermissions,
          clock,
        }),
        urlPermissions: config.urlPermissions,
        log,
      }),
    );
    const urls = functionUrls(config, gateway.address.port);
    const status = async () => ({
      version: version(),
      nodeVersion: process.version,
      startedAt,
      gateway: gateway.address.url,
      control: control.address.url,
      dataDir: config.dataDir,
      functions: await store.registry.countFunctions(),
      instances: invoker.counts(),
      isolation: await driver.isolation(),
    });
    const keys = await openingKeys;
    const control = scope.own(
      await openControl({
        ...config.control,
        hostNames: config.controlHosts,
        account: config.accountId,
        region: config.region,
        uploadDir: join(config.dataDir, "uploads"),
        drainMs: DRAIN_MS,
        functions,
        invocations: invoker,
        depot,
        records,
        layers: store.layers,
        schedules: store.schedules,
        rules: store.rules,
        keys,
        runtimes: {
          resolve: (runtime) => runtimes.resolve(runtime, "handler"),
          list: () => runtimes.list(),
          install: (runtime) => runtimes.install(runtime),
        },
        prepare: codePreparation(config, environment, { depot, runtimes, images: containers.images }),
        prepareImage: async (reference, settings, options) =>
          (await import("./code/prepare.ts")).prepareImage(containers.images, reference, settings, options),
        warm: (target, options) => invoker.warm(target, options),
        events,
        ledger: store.events,
        architecture: process.arch === "arm64" ? "arm64" : "x86_64",
        status,
        instances: (name) => invoker.counts(name),
        provisioned: (name, qualifier) => provisioned.progress(name, qualifier),
        quotas: {
          concurrencyMax: config.concurrencyMax,
          unreservedMin: config.unreservedMin,
          requestsPerSecondMax: config.requestsPerSecondMax,
        },
        urls,
        clock,
        log,
      }),
    );
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
        invoker.failed,
        provisioned.failed,
        retention.failed,
      ]),
      [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
    };
  } catch (error) {
    await scope[Symbol.asyncDispose]();
    throw error;
  }
}

/** The version of this package. */
export function version(): string {
  return JSON.parse(readFileSync(join(PACKAGE_ROOT, "package.json"), "utf8")).version;
}

/**
 * One adapter per protocol; handlers of runtimes that are ours are spoken to by frames, all others by the Runtime API.
 * Each is loaded when the first function needs it: the daemon's start is waited for, HTTP clients take their time to load.
 */
function adapters(accountId: string, log: Log): (config: FunctionConfig) => Promise<ProtocolAdapter> {
  const managed = once(async () =>
    (await import("./protocol/lambda/managed.ts")).managedAdapter({ log, accountId }),
  );
  const runtimeApi = once(async () =>
    (await import("./protocol/lambda/runtime-api.ts")).runtimeApiAdapter({ accountId }),
  );
  const http = once(async () => (await import("./protocol/http/adapter.ts")).httpAdapter());
  const stdio = once(async () => (await import("./protocol/stdio/adapter.ts")).stdioAdapter());
  return ({ entry, runtime }) => {
    switch (entry.kind) {
      case "handler":
        return /^(nodejs|python)/.test(runtime) ? managed() : runtimeApi();
      case "lifecycle":
      case "server":
        return http();
      case "filter":
        return stdio();
    }
  };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** Detection and builds, loaded with the first deploy. */
function codePreparation(
  config: Config,
  environment: Environment,
  parts: { readonly depot: CodeDepot; readonly runtimes: Runtimes; readonly images: ImageEngine },
): PrepareCode {
  return async (upload, settings, options) => {
    const [{ prepareCode }, { BUILD_MS_MAX, buildEnvironment }] = await Promise.all([
      import("./code/prepare.ts"),
      import("./code/build/tool.ts"),
    ]);
    const build = {
      // Below the depot, which clears it at its start.
      stagingDir: join(config.dataDir, "code", "staging"),
      cacheDir: join(config.dataDir, "cache"),
      environment: buildEnvironment(environment),
      nodeBinDir: bundled(`node-${process.platform}-${process.arch}/bin`),
      esbuild: bundled(`@esbuild/${process.platform}-${process.arch}/bin/esbuild`),
      timeLimitMs: BUILD_MS_MAX,
    };
    return await prepareCode({ ...parts, build }, upload, settings, options);
  };
}

/** All that has to do with the container engine, loaded when the first image is met: most daemons never have one. */
function containerParts(
  environment: Environment,
  instanceName: string,
  log: Log,
): { readonly openDriver: () => Promise<Driver>; readonly images: ImageEngine & ImageTags } {
  const address = once(() => import("./sandbox/docker/engine-address.ts"));
  const images = once(async () => {
    const [{ DockerImages }, { findEngineSocket }] = await Promise.all([
      import("./sandbox/docker/images.ts"),
      address(),
    ]);
    return new DockerImages({
      findSocket: () => findEngineSocket(environment),
      instanceName,
      environment,
      log,
    });
  });
  return {
    openDriver: async () => {
      const [{ openDockerDriver }, { findEngineSocket }] = await Promise.all([
        import("./sandbox/docker/driver.ts"),
        address(),
      ]);
      return openDockerDriver({
        findSocket: () => findEngineSocket(environment),
        runDir: join(runRoot(environment), `${instanceName}-c`),
        instanceName,
        log,
      });
    },
    images: {
      find: async (reference, work) => (await images()).find(reference, work),
      look: async (reference, options) => (await images()).look(reference, options),
      build: async (order, work) => (await images()).build(order, work),
      reconcile: async (name, versions, options) => (await images()).reconcile(name, versions, options),
      collect: async (names, options) => (await images()).collect(names, options),
    },
  };
}

/** Parts that look after what belongs to a function. `undefined`: it was deleted. */
interface ChangeListener {
  functionChanged(name: FunctionName, record: FunctionRecord | undefined): void;
}

async function tellOfChange(
  listeners: readonly ChangeListener[],
  functions: Functions,
  name: FunctionName,
  log: Log,
): Promise<void> {
  try {
    const record = await functions.get(name);
    for (const listener of listeners) listener.functionChanged(name, record);
  } catch (error) {
    if (isPlatformError(error, "FunctionNotFound"))
      for (const listener of listeners) listener.functionChanged(name, undefined);
    else
      log.error("a changed function cannot be read; its old instances stay until they are idle", {
        name,
        error,
      });
  }
}

function functionUrls(config: Config, gatewayPort: number) {
  const domain = config.domains[0] ?? "localhost";
  const port = gatewayPort === 80 ? "" : `:${gatewayPort}`;
  return {
    ofFunction: (name: FunctionName) => `http://${name}.${domain}${port}`,
    ofUrlId: (urlId: string) => `http://${urlId}.lambda-url.${config.region}.${domain}${port}/`,
  };
}

/** @throws PlatformError `ConfigurationInvalid` */
function makeDataDir(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new PlatformError(
      "ConfigurationInvalid",
      `cannot make the data folder "${dir}": choose another with --data`,
      {
        cause,
      },
    );
  }
}

/** Short, since Unix sockets are made below it, and the same for the same data folder, so that a successor finds what was left. */
function instanceName(dataDir: string): string {
  return createHash("sha256").update(dataDir).digest("hex").slice(0, 12);
}

/** Where sockets and pipes of running sandboxes are. */
function runRoot(environment: Environment): string {
  const uid = process.getuid?.() ?? 0;
  if (uid === 0 && existsSync("/run")) return "/run/lambdad";
  return join(environment.XDG_RUNTIME_DIR ?? tmpdir(), `lambdad-${uid}`);
}

/** A file that a dependency brings for this platform, wherever npm has put it. */
function bundled(path: string): string | undefined {
  const file = join(PACKAGE_ROOT, "node_modules", path);
  return existsSync(file) ? file : undefined;
}

/** Loudly, since nobody asks for what they do not know to be missing. */
async function sayWhatIsNotIsolated(driver: Driver, log: Log): Promise<void> {
  const { isIsolated, gaps } = await driver.isolation();
  if (!isIsolated) log.warn("functions are not isolated on this host");
  for (const gap of gaps) log.warn("isolation gap", { gap });
}
