import { mkdir, readFile, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { isPlatformError, PlatformError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { inBackground } from "../../core/scope.ts";
import type {
  Driver,
  Isolation,
  Sandbox,
  SandboxImage,
  SandboxLaunch,
  SandboxPlaces,
  SandboxSpec,
} from "../driver.ts";
import { containerBody } from "./container-spec.ts";
import { type ContainerStreams, openContainerStreams } from "./container-streams.ts";
import { removeContainer } from "./containers.ts";
import { DockerSandbox } from "./docker-sandbox.ts";
import { type Engine, objectOf } from "./engine.ts";
import { EngineHost } from "./engine-host.ts";
import { EngineRefusal, isRefusal, slowEngine } from "./engine-problem.ts";
import { type FirstProcess, FirstProcesses, startProblem } from "./first-process.ts";
import { PROBE, PROBE_MS_MAX } from "./image-extensions.ts";
import { labelFilter } from "./labels.ts";
import type { ContainerNetwork } from "./network.ts";
import { RUNTIME_API_PORT } from "./runtime-api-listener.ts";
import { wrongMachine } from "./wrong-machine.ts";

export interface DockerDriverParts {
  /** The engine's Unix socket, asked for anew whenever the engine has to be found. */
  readonly findSocket: () => string;
  /** A folder that is this driver's alone; made if missing, removed at the end. Unix sockets are made below it. */
  readonly runDir: string;
  /** Another, of which programs may be run if they may not in `runDir`; made if missing, removed at the end. */
  readonly programDir: string;
  /** Names this daemon on its engine: 1 to 64 letters, digits, `-` and `_`. */
  readonly instanceName: string;
  /** Containers without our label that are ours all the same: builds' that the engine broke off. What was removed leaves it. */
  readonly strays?: Set<string>;
  /** Gets an image back that the engine has lost; false if it cannot be had. */
  readonly restoreImage?: (id: string, options: { readonly signal: AbortSignal }) => Promise<boolean>;
  readonly log: Log;
}

const PING_MS_MAX = 3_000;
const CREATE_MS_MAX = 20_000;
const START_MS_MAX = 30_000;
const SWEEP_EVERY_MS = 3 * 60_000;
/** How often an engine is asked whether it lives, while input and output go through it, and how long it has to say so. */
const WATCH_EVERY_MS = 5_000;
const WATCH_MS_MAX = 10_000;
/** Where sockets appear inside. */
const SOCKET_DIR = "/run/lambdad";
const FIRST_UID = 1_200_000;
/** A rootless engine's containers have the users that its own was lent, 65,536 of them as a rule. */
const FIRST_UID_ROOTLESS = 20_000;
const PORT_DEFAULT = 8080;

/**
 * Opens the driver that runs images in containers of an engine on this host. Returns at once; the engine is found by the
 * first start, and again after it was gone: nothing of it is remembered across a failure.
 */
export function openDockerDriver(parts: DockerDriverParts): DockerDriver {
  return new DockerDriver(parts);
}

class DockerDriver implements Driver {
  readonly name = "docker";
  readonly #parts: DockerDriverParts;
  readonly #host: EngineHost;
  readonly #firsts: FirstProcesses;
  readonly #sandboxes = new Map<string, DockerSandbox>();
  /** Ids of containers that are being made: they are not leftovers yet. */
  readonly #starting = new Set<string>();
  /** Starts that have not ended. */
  readonly #underWay = new Set<Promise<Sandbox>>();
  readonly #sweeping: AsyncDisposable;
  readonly #watching: AsyncDisposable;
  #isClosed = false;

  constructor(parts: DockerDriverParts) {
    this.#parts = parts;
    this.#firsts = new FirstProcesses({ folders: [parts.runDir, parts.programDir], log: parts.log });
    this.#host = new EngineHost({ ...parts, opened: (engine) => this.#sweepQuietly(engine) });
    this.#sweeping = inBackground(async (signal) => {
      while (!signal.aborted) {
        await pause(SWEEP_EVERY_MS, signal);
        const engine = this.#host.current;
        if (engine && !signal.aborted) await this.#sweepQuietly(engine);
      }
    });
    this.#watching = inBackground(async (signal) => {
      while (!signal.aborted) {
        await pause(WATCH_EVERY_MS, signal);
        if (!signal.aborted) await this.#watchEngine(signal);
      }
    });
  }

  /** The engine's gaps; one sentence that there is none if it cannot be used. */
  async isolation(): Promise<Isolation> {
    try {
      return { isIsolated: true, gaps: (await this.#host.open()).gaps };
    } catch (error) {
      return { isIsolated: true, gaps: [error instanceof Error ? error.message : String(error)] };
    }
  }

  async start(spec: SandboxSpec, { signal }: { readonly signal: AbortSignal }): Promise<Sandbox> {
    signal.throwIfAborted();
    if (this.#isClosed) throw new PlatformError("ShuttingDown", "the driver is closed");
    const { image } = spec;
    if (!image)
      throw new PlatformError(
        "SandboxStartFailed",
        "containers are made of images, and the function has none",
      );
    const starting = this.#startOrRestore(spec, image, signal);
    this.#underWay.add(starting);
    try {
      return await starting;
    } catch (error) {
      if (isPlatformError(error, "EngineUnavailable")) this.#host.forget();
      if (error instanceof EngineRefusal) throw startRefused(spec, image, error);
      throw error;
    } finally {
      this.#underWay.delete(starting);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#watching[Symbol.asyncDispose]();
    await this.#sweeping[Symbol.asyncDispose]();
    await Promise.all([...this.#sandboxes.values()].map((sandbox) => sandbox[Symbol.asyncDispose]()));
    // A network goes only when no container is on it, not even one that is just being made.
    await Promise.allSettled(this.#underWay);
    await this.#host[Symbol.asyncDispose]();
    for (const folder of [this.#parts.runDir, this.#parts.programDir])
      await rm(folder, { recursive: true, force: true });
  }

  async #startOrRestore(spec: SandboxSpec, image: SandboxImage, signal: AbortSignal): Promise<DockerSandbox> {
    const first = spec.hasInput ? await this.#firsts.next() : undefined;
    try {
      return await this.#start(spec, image, signal, first);
    } catch (error) {
      if (first && error instanceof EngineRefusal && this.#firsts.isRefusedBy(error.message, first))
        return await this.#start(spec, image, signal);
      if (!isLostImage(error) || !(await this.#parts.restoreImage?.(image.id, { signal }))) throw error;
      return await this.#start(spec, image, signal, first);
    }
  }

  async #start(
    spec: SandboxSpec,
    image: SandboxImage,
    signal: AbortSignal,
    first?: FirstProcess,
  ): Promise<DockerSandbox> {
    const host = await this.#host.open();
    signal.throwIfAborted();
    const { engine, listener, traits } = host;
    // One that hangs is found out before anything is asked of it that may take its time.
    await engine.json("GET", "/_ping", { withinMs: PING_MS_MAX });
    signal.throwIfAborted();
    const network = networkOf(spec, host.networks);
    const claimed = network?.addresses.claim();
    const folder = join(this.#parts.runDir, spec.id);
    const name = `lambdad-${this.#parts.instanceName}-${spec.id}`;
    const waiting = new AbortController();
    const remove = async () => {
      if (claimed) listener.unregister(claimed.address);
      try {
        await removeContainer(engine, name);
        if (claimed) network?.addresses.release(claimed.index);
      } catch (error) {
        // It stays what it is until the engine can be asked again; its address stays taken as well.
        this.#parts.log.warn("a container could not be removed; it will be when the engine answers", {
          sandboxId: spec.id,
          error,
        });
        this.#host.forget();
      }
      waiting.abort();
      this.#sandboxes.delete(spec.id);
      this.#starting.delete(spec.id);
      await rm(folder, { recursive: true, force: true });
    };
    this.#starting.add(spec.id);
    let streams: ContainerStreams | undefined;
    try {
      const places = placesOf(spec, image, network);
      const launch = spec.launch(places);
      const socketDir = join(folder, "s");
      await mkdir(socketDir, { recursive: true, mode: 0o711 });
      const body = containerBody({
        spec,
        image,
        launch,
        instanceName: this.#parts.instanceName,
        socketDir: { host: socketDir, inside: SOCKET_DIR },
        attachment: network && claimed && { network: network.name, address: claimed.address },
        first,
        traits,
        uid: (traits.isRootless ? FIRST_UID_ROOTLESS : FIRST_UID) + (claimed?.index ?? 0),
        cpusMax: availableParallelism(),
      });
      const made = objectOf(
        await engine.json("POST", "/containers/create", { query: { name }, body, withinMs: CREATE_MS_MAX }),
      );
      signal.throwIfAborted();
      if (claimed && spec.onRuntimeApiConnection)
        listener.register(claimed.address, spec.onRuntimeApiConnection);
      const containerId = String(made.Id);
      const connection = await engine.hijack(`/containers/${containerId}/attach`, {
        query: { stream: "1", stdout: "1", stderr: "1", ...(spec.hasInput && { stdin: "1" }) },
      });
      streams = openContainerStreams(connection, first?.token);
      const waited = engine.json("POST", `/containers/${containerId}/wait`, {
        query: { condition: "next-exit" },
        withinMs: 0,
        signal: waiting.signal,
      });
      waited.catch(() => undefined);
      await engine.json("POST", `/containers/${containerId}/start`, { withinMs: START_MS_MAX });
      if (first) await isStarted({ spec, launch, streams, waited, socketPath: engine.socketPath });
      const sandbox = new DockerSandbox({
        id: spec.id,
        containerId,
        engine,
        places,
        socketDir,
        streams,
        hasInput: spec.hasInput,
        address: claimed?.address,
        side: listener.side,
        memoryPeakFile: traits.limits.memory
          ? findMemoryPeakFile(engine, containerId)
          : Promise.resolve(undefined),
        waited,
        remove,
      });
      this.#sandboxes.set(spec.id, sandbox);
      this.#starting.delete(spec.id);
      if (signal.aborted || this.#isClosed) {
        await sandbox[Symbol.asyncDispose]();
        signal.throwIfAborted();
        throw new PlatformError("ShuttingDown", "the driver is closed");
      }
      return sandbox;
    } catch (error) {
      // The engine does not end what is attached to a container that never ran.
      streams?.finish();
      if (!this.#sandboxes.has(spec.id)) await remove();
      throw error;
    }
  }

  /** Calls whose input and output go through an engine that hangs would hang with it; all others do not notice. */
  async #watchEngine(signal: AbortSignal): Promise<void> {
    const attached = [...this.#sandboxes.values()].filter(({ stdin }) => stdin !== undefined);
    const engine = this.#host.current;
    if (!engine || attached.length === 0) return;
    try {
      await engine.json("GET", "/_ping", { withinMs: WATCH_MS_MAX, signal });
    } catch (error) {
      if (signal.aborted) return;
      this.#parts.log.warn("the container engine does not answer; the calls that go through it fail", {
        error,
      });
      this.#host.forget();
      for (const sandbox of attached) sandbox.lose();
    }
  }

  /** Removes whatever carries our label and belongs to no sandbox, running or not. */
  async #sweepQuietly(engine: Engine): Promise<void> {
    const { instanceName, log, strays = new Set() } = this.#parts;
    try {
      const found = await engine.json("GET", "/containers/json", {
        query: { all: "1", filters: labelFilter(instanceName) },
      });
      const leftovers = (Array.isArray(found) ? found : []).map(objectOf).filter(({ Names, Created }) => {
        const [name = ""] = Array.isArray(Names) ? Names.map(String) : [];
        if (name.includes(PROBE) && Date.now() - Number(Created) * 1_000 < PROBE_MS_MAX) return false;
        if (this.#host.keeps(name.replace(/^\//, ""))) return false;
        const id = name.replace(`/lambdad-${instanceName}-`, "");
        return !this.#sandboxes.has(id) && !this.#starting.has(id);
      });
      await Promise.all(leftovers.map(({ Id }) => removeContainer(engine, String(Id))));
      for (const id of strays) {
        await removeContainer(engine, id);
        strays.delete(id);
      }
      if (leftovers.length > 0) log.info("removed containers that nobody owned", { count: leftovers.length });
    } catch (error) {
      log.warn("cannot look for containers that nobody owns", { error });
      if (isPlatformError(error, "EngineUnavailable")) this.#host.forget();
    }
  }
}

/**
 * Waits until the first process has started the program, or has left without a word, which is then told like any other exit.
 *
 * @throws PlatformError `SandboxStartFailed` with why the program cannot be started.
 */
async function isStarted(start: {
  readonly spec: SandboxSpec;
  readonly launch: SandboxLaunch;
  readonly streams: ContainerStreams;
  readonly waited: Promise<unknown>;
  readonly socketPath: string;
}): Promise<void> {
  const { spec, launch, streams, waited, socketPath } = start;
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(slowEngine(socketPath, "what a program prints", START_MS_MAX)),
    START_MS_MAX,
  );
  const gone = waited.then(
    () => undefined,
    () => undefined,
  );
  const note = await Promise.race([streams.started, gone, late.promise]).finally(() => clearTimeout(timer));
  if (note?.kind !== "failed") return;
  const why = startProblem(launch.command[0], note.value);
  throw new PlatformError("SandboxStartFailed", `cannot start a container for ${spec.id}: ${why}`);
}

/** What needs no connection at all gets none. */
function networkOf(
  spec: SandboxSpec,
  networks: { readonly public: ContainerNetwork; readonly inner: ContainerNetwork },
): ContainerNetwork | undefined {
  if (spec.network !== "none") return networks.public;
  return spec.hasPort || spec.onRuntimeApiConnection ? networks.inner : undefined;
}

function placesOf(
  spec: SandboxSpec,
  image: SandboxImage,
  network: ContainerNetwork | undefined,
): SandboxPlaces {
  return {
    codeDir: image.workingDir,
    runtimeDir: "",
    socketDir: SOCKET_DIR,
    tmpDir: "/tmp",
    runtimeApi: spec.onRuntimeApiConnection && network ? `${network.gateway}:${RUNTIME_API_PORT}` : undefined,
    port: spec.hasPort ? (image.port ?? PORT_DEFAULT) : undefined,
    listenHost: "0.0.0.0",
  };
}

/** Undefined where control groups cannot be read, or the program has left already. */
async function findMemoryPeakFile(engine: Engine, containerId: string): Promise<string | undefined> {
  try {
    const facts = objectOf(await engine.json("GET", `/containers/${containerId}/json`));
    const groups = await readFile(`/proc/${String(objectOf(facts.State).Pid)}/cgroup`, "utf8");
    const memory = /^\d+:memory:(.+)$/m.exec(groups)?.[1];
    if (memory !== undefined) return join("/sys/fs/cgroup/memory", memory, "memory.max_usage_in_bytes");
    const unified = /^0::(.+)$/m.exec(groups)?.[1];
    return unified === undefined ? undefined : join("/sys/fs/cgroup", unified, "memory.peak");
  } catch {
    return undefined;
  }
}

function isLostImage(error: unknown): boolean {
  return isRefusal(error, 404) && /no such image/i.test(error.message);
}

/** The engine's long sentence begins with its own parts; what the user needs stands at the end. */
function startRefused(spec: SandboxSpec, image: SandboxImage, refusal: EngineRefusal): PlatformError {
  if (isLostImage(refusal)) {
    return new PlatformError(
      "SandboxStartFailed",
      `image ${image.id.slice(0, 19)} is no longer on the engine: deploy the function again`,
      { cause: refusal },
    );
  }
  const why = refusal.message.replace(/^.*?(?=exec: )/s, "").replace(/: unknown\.?$/, "");
  const machine = wrongMachine(why);
  return new PlatformError(
    "SandboxStartFailed",
    `cannot start a container for ${spec.id}: ${why}${machine ? ` (${machine})` : ""}`,
    { cause: refusal },
  );
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    timer.unref();
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
