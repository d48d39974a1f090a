import { readFile } from "node:fs/promises";
import type { Server, Socket } from "node:net";
import { getPriority } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { PlatformError } from "../../core/errors.ts";
import type { SandboxId } from "../../core/ids.ts";
import type { Log } from "../../core/log.ts";
import type {
  Driver,
  Isolation,
  ReadySandbox,
  ReadySpec,
  Sandbox,
  SandboxGift,
  SandboxPlaces,
  SandboxSpec,
} from "../driver.ts";
import { CODE_DIR, RUNTIME_DIR, SOCKET_DIR, SOCKET_FOLDER, TMP_DIR } from "./bubblewrap.ts";
import { LocalSandbox } from "./local-sandbox.ts";
import { type FromSpawner, type HostAbilities, RUNTIME_API_PORT, type Tracks } from "./messages.ts";
import {
  findChildren,
  markedProcesses,
  numbers,
  pidNamespaceOf,
  processesInPidNamespace,
} from "./processes.ts";
import { claimFreePort, openRuntimeApiGate, type RuntimeApiGate } from "./runtime-api-gate.ts";
import { findClient, findListeners, holdsSocket } from "./socket-owner.ts";
import { SpawnerProcess } from "./spawner-process.ts";
import { type AnySpec, demand, makeRequest } from "./start-request.ts";

export interface LocalDriverParts {
  /** A short path that is this daemon's alone, as `/run/lambdad/1a2b3c4d`; made if missing. Unix sockets are made below it. */
  readonly runDir: string;
  /** Names the control groups of this daemon; letters, digits, `-` and `_`. */
  readonly instanceName: string;
  /** Whether plain processes may be used where nothing better is to be had. */
  readonly allowUnsandboxed: boolean;
  readonly log: Log;
  /** Path or name of bubblewrap; `bwrap` if left out. */
  readonly bubblewrap?: string;
}

/** A Unix socket's path may have 107 bytes; the longest below a run folder is `/sb-0123456789abcdef/s/NAME`. */
const RUN_DIR_BYTES_MAX = 70;

/**
 * Opens the driver that starts sandboxes on this host through bubblewrap. Returns at once: the spawner process starts when it is first asked for something, and
 * cleans up after a predecessor, behind it; the first `start` or `isolation` waits for that.
 *
 * @throws PlatformError `ConfigurationInvalid` for a run folder or a name that cannot be used.
 */
export async function openLocalDriver(parts: LocalDriverParts): Promise<Driver> {
  if (Buffer.byteLength(parts.runDir) > RUN_DIR_BYTES_MAX) {
    throw new PlatformError(
      "ConfigurationInvalid",
      `the run folder ${parts.runDir} has a path of more than ${RUN_DIR_BYTES_MAX} bytes: choose a shorter one, Unix sockets are made in it`,
    );
  }
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(parts.instanceName)) {
    throw new PlatformError(
      "ConfigurationInvalid",
      `expected an instance name of 1 to 64 letters, digits, - and _, got ${JSON.stringify(parts.instanceName)}`,
    );
  }
  return new LocalDriver(parts);
}

interface Starting {
  readonly started: (tracks: Tracks, listener: Server | undefined) => void;
  readonly failed: (message: string) => void;
}

interface Connecting {
  readonly id: SandboxId;
  readonly connected: (socket: Socket) => void;
  readonly refused: (message: string) => void;
}

class LocalDriver implements Driver {
  readonly name = "local";
  readonly #parts: LocalDriverParts;
  readonly #spawner: SpawnerProcess;
  readonly #starting = new Map<string, Starting>();
  readonly #finding = new Map<number, (uid: number | null) => void>();
  readonly #specialising = new Map<string, (problem: string | null) => void>();
  readonly #sandboxes = new Map<string, LocalSandbox>();
  readonly #connecting = new Map<number, Connecting>();
  readonly #recentPorts = new Set<number>();
  #calls = 0;

  constructor(parts: LocalDriverParts) {
    this.#parts = parts;
    const settings = {
      runDir: parts.runDir,
      instanceName: parts.instanceName,
      allowUnsandboxed: parts.allowUnsandboxed,
      bubblewrap: parts.bubblewrap ?? "bwrap",
      ownerPid: process.pid,
      ownerNiceness: getPriority(),
    };
    this.#spawner = new SpawnerProcess(settings, parts.log, {
      heard: (message, handle) => this.#hear(message, handle),
      died: () => void this.#spawnerDied(),
    });
  }

  async isolation(): Promise<Isolation> {
    try {
      const { mode, gaps } = await this.#spawner.ready();
      return { isIsolated: mode === "root" || mode === "user", gaps };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return { isIsolated: false, gaps: [`no sandbox can be started: ${why}`] };
    }
  }

  async start(spec: SandboxSpec, { signal }: { readonly signal: AbortSignal }): Promise<Sandbox> {
    return await this.#startOn(await this.#host(signal), spec, signal);
  }

  async startReady(
    spec: ReadySpec,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<ReadySandbox | undefined> {
    const host = await this.#host(signal);
    if (!host.canMountLater) return undefined;
    const sandbox = await this.#startOn(host, spec, signal);
    return { sandbox, specialise: (gift) => this.#specialise(spec, gift) };
  }

  /** Then the daemon comes first: every call of every function passes it. */
  crowded(isCrowded: boolean): void {
    this.#spawner.send({ type: "put-first", isFirst: isCrowded });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#sandboxes.values()].map((sandbox) => sandbox[Symbol.asyncDispose]()));
    await this.#spawner[Symbol.asyncDispose]();
    for (const starting of this.#starting.values()) starting.failed("the driver was closed");
  }

  async #host(signal: AbortSignal): Promise<HostAbilities> {
    signal.throwIfAborted();
    const host = await this.#spawner.ready();
    signal.throwIfAborted();
    return host;
  }

  async #startOn(host: HostAbilities, spec: AnySpec, signal: AbortSignal): Promise<LocalSandbox> {
    demand(host, spec);
    const sandbox = await this.#start(host, spec, signal);
    if (signal.aborted) {
      await sandbox[Symbol.asyncDispose]();
      throw signal.reason;
    }
    return sandbox;
  }

  async #specialise({ id, pidsMax }: ReadySpec, gift: SandboxGift): Promise<void> {
    const { codeDir, optDir = null, memoryMib, cpus, hosts = "" } = gift;
    const problem = await new Promise<string | null>((resolve) => {
      this.#specialising.set(id, resolve);
      const given = { codeDir, optDir, memoryMib, cpus, pidsMax, hosts };
      if (!this.#spawner.send({ type: "specialise", id, given })) {
        this.#take(this.#specialising, id)?.(SPAWNER_DIED);
      }
    });
    if (problem !== null) {
      throw new PlatformError("SandboxStartFailed", `cannot put code into a ready sandbox: ${problem}`);
    }
  }

  async #start(host: HostAbilities, spec: AnySpec, signal: AbortSignal): Promise<LocalSandbox> {
    const tracks = Promise.withResolvers<Tracks>();
    const gate = await this.#openGate(host, spec, tracks.promise);
    try {
      const folder = join(this.#parts.runDir, spec.id);
      const places = await this.#places(host, spec, { folder, gate });
      const request = await makeRequest(spec, places, host);
      signal.throwIfAborted();
      return await new Promise<LocalSandbox>((resolve, reject) => {
        this.#starting.set(spec.id, {
          started: (found, listener) => {
            try {
              resolve(this.#attach(host, spec, { places, tracks: found, listener, gate }));
              tracks.resolve(found);
            } catch (cause) {
              listener?.close();
              this.#spawner.send({ type: "kill", id: spec.id });
              this.#spawner.send({ type: "release", id: spec.id });
              reject(new PlatformError("SandboxStartFailed", "cannot open the sandbox's pipes", { cause }));
            }
          },
          failed: (message) => {
            reject(new PlatformError("SandboxStartFailed", `cannot start ${request.command[0]}: ${message}`));
          },
        });
        if (!this.#spawner.send({ type: "start", request })) {
          this.#take(this.#starting, spec.id)?.failed(SPAWNER_DIED);
        }
      });
    } catch (error) {
      await gate?.[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** In one synchronous step with the message that it was started: the next one may be that it has exited. */
  #attach(
    host: HostAbilities,
    spec: AnySpec,
    made: {
      readonly places: SandboxPlaces;
      readonly tracks: Tracks;
      readonly listener: Server | undefined;
      readonly gate: RuntimeApiGate | undefined;
    },
  ): LocalSandbox {
    const { id, onRuntimeApiConnection } = spec;
    if (onRuntimeApiConnection) made.listener?.on("connection", onRuntimeApiConnection);
    const hasOwnNetwork = spec.network === "none" && host.hasInnerSockets;
    const sandbox = new LocalSandbox({
      ...made,
      id,
      hasInput: spec.hasInput,
      hasCompressedSwap: host.hasCompressedSwap,
      kill: () => this.#spawner.send({ type: "kill", id }),
      terminate: () => this.#spawner.send({ type: "terminate", id }),
      release: () => this.#spawner.send({ type: "release", id }),
      listensOn: (port) => this.#listensOn(host, id, port, made.tracks),
      connectInside: hasOwnNetwork ? (port) => this.#connectInside(id, port) : undefined,
    });
    this.#sandboxes.set(id, sandbox);
    this.#spawner.send({ type: "attached", id });
    return sandbox;
  }

  async #places(
    host: HostAbilities,
    spec: AnySpec,
    own: { readonly folder: string; readonly gate: RuntimeApiGate | undefined },
  ): Promise<SandboxPlaces> {
    const isOffline = spec.network === "none";
    const innerApi = isOffline && spec.onRuntimeApiConnection ? `127.0.0.1:${RUNTIME_API_PORT}` : undefined;
    const addresses = {
      runtimeApi: own.gate?.address ?? innerApi,
      port: await this.#port(spec, isOffline),
    };
    if (host.mode === "plain") {
      return {
        codeDir: spec.codeDir ?? "",
        runtimeDir: spec.runtimeDir ?? "",
        socketDir: join(own.folder, SOCKET_FOLDER),
        tmpDir: join(own.folder, "tmp"),
        ...(spec.optDir !== undefined && { optDir: spec.optDir }),
        ...addresses,
      };
    }
    return {
      codeDir: CODE_DIR,
      runtimeDir: RUNTIME_DIR,
      socketDir: SOCKET_DIR,
      tmpDir: TMP_DIR,
      ...addresses,
    };
  }

  async #port(spec: AnySpec, isOffline: boolean): Promise<number | undefined> {
    if (!spec.hasPort) return undefined;
    // Nobody else listens in a network of its own.
    return isOffline ? INNER_PORT : claimFreePort(this.#recentPorts);
  }

  /** On the host's loopback everybody can connect, so each connection is asked whose it is. */
  async #openGate(
    host: HostAbilities,
    spec: AnySpec,
    tracks: Promise<Tracks>,
  ): Promise<RuntimeApiGate | undefined> {
    if (spec.network !== "host" || !spec.onRuntimeApiConnection) return undefined;
    return openRuntimeApiGate({
      onConnection: spec.onRuntimeApiConnection,
      isOurs: async (clientPort, serverPort) => {
        // Without /proc there is nobody to ask; such a host isolates nothing either, and has said so.
        if (process.platform !== "linux") return true;
        const { uid, pid, processesFile } = await tracks;
        // The kernel finds one connection in microseconds; listing them all takes it milliseconds.
        if (uid !== null && (await this.#findClientUid(clientPort, serverPort)) === uid) return true;
        const client = await findClient(clientPort, serverPort);
        if (!client) return false;
        if (uid !== null) return client.uid === uid;
        return holdsSocket(await processesOf(host, spec.id, pid, processesFile), client.inode);
      },
    });
  }

  /** Whether it is this sandbox that listens on a port of the loopback it shares. */
  async #listensOn(host: HostAbilities, id: SandboxId, port: number, tracks: Tracks): Promise<boolean> {
    // Without /proc there is nobody to ask; such a host isolates nothing either, and has said so.
    if (process.platform !== "linux") return true;
    const listeners = await findListeners(port);
    if (listeners.length === 0) return false;
    if (tracks.uid !== null) return listeners.every(({ uid }) => uid === tracks.uid);
    const pids = await processesOf(host, id, tracks.pid, tracks.processesFile);
    const owned = await Promise.all(listeners.map(({ inode }) => holdsSocket(pids, inode)));
    return owned.every(Boolean);
  }

  #findClientUid(clientPort: number, serverPort: number): Promise<number | null> {
    this.#calls += 1;
    const call = this.#calls;
    return new Promise((resolve) => {
      this.#finding.set(call, resolve);
      if (!this.#spawner.send({ type: "find-client", call, clientPort, serverPort })) {
        this.#take(this.#finding, call)?.(null);
      }
    });
  }

  async #connectInside(id: SandboxId, port: number): Promise<Duplex> {
    this.#calls += 1;
    const call = this.#calls;
    return new Promise<Duplex>((resolve, reject) => {
      this.#connecting.set(call, {
        id,
        connected: resolve,
        refused: (message) => reject(new Error(`sandbox ${id} does not listen on port ${port}: ${message}`)),
      });
      if (!this.#spawner.send({ type: "connect", id, call, port })) {
        this.#take(this.#connecting, call)?.refused(SPAWNER_DIED);
      }
    });
  }

  #hear(message: FromSpawner, handle: Socket | Server | undefined): void {
    switch (message.type) {
      case "ready":
        this.#announce(message.host);
        break;
      case "started":
        this.#take(this.#starting, message.id)?.started(message.tracks, serverOf(handle));
        break;
      case "failed":
        this.#take(this.#starting, message.id)?.failed(message.message);
        break;
      case "found-client":
        this.#take(this.#finding, message.call)?.(message.uid);
        break;
      case "specialised":
        this.#take(this.#specialising, message.id)?.(message.problem);
        break;
      case "exited":
        this.#sandboxes.get(message.id)?.ended(message);
        break;
      case "released":
        void this.#take(this.#sandboxes, message.id)?.released();
        break;
      case "connected":
        this.#connected(message.call, handle);
        break;
      case "refused":
        this.#take(this.#connecting, message.call)?.refused(message.message);
        break;
      case "warned":
        this.#parts.log.warn(message.message);
        break;
      case "closed":
        break;
    }
  }

  #connected(call: number, handle: Socket | Server | undefined): void {
    const connecting = this.#take(this.#connecting, call);
    if (handle && "write" in handle) connecting?.connected(handle);
    else connecting?.refused("the connection was lost on its way");
  }

  #announce(host: HostAbilities): void {
    const { log } = this.#parts;
    if (host.mode === "root" || host.mode === "user") log.debug("sandboxes ready", { mode: host.mode });
    for (const gap of host.gaps) log.warn("isolation gap", { gap });
  }

  /** Its sandboxes die with it. The next spawner makes sure of that before it takes orders. */
  async #spawnerDied(): Promise<void> {
    for (const [id, starting] of this.#starting) {
      this.#starting.delete(id);
      starting.failed(SPAWNER_DIED);
    }
    for (const [call, connecting] of this.#connecting) {
      this.#connecting.delete(call);
      connecting.refused(SPAWNER_DIED);
    }
    for (const [call, found] of this.#finding) {
      this.#finding.delete(call);
      found(null);
    }
    for (const [id, specialised] of this.#specialising) {
      this.#specialising.delete(id);
      specialised(SPAWNER_DIED);
    }
    const lost = [...this.#sandboxes.values()];
    await this.#spawner.ready().catch(() => undefined);
    for (const sandbox of lost) {
      this.#sandboxes.delete(sandbox.id);
      sandbox.ended({ exitCode: null, signal: "SIGKILL", outOfMemory: false, memoryPeakMib: 0 });
      void sandbox.released();
    }
  }

  #take<K, V>(map: Map<K, V>, key: K): V | undefined {
    const value = map.get(key);
    map.delete(key);
    return value;
  }
}

const SPAWNER_DIED = "the spawner process died";

/** What programs with a network of their own are told to listen on. */
const INNER_PORT = 8080;

async function processesOf(
  host: HostAbilities,
  id: SandboxId,
  pid: number | null,
  processesFile: string | null,
): Promise<readonly number[]> {
  if (host.mode === "plain") return [...(pid === null ? [] : [pid]), ...markedProcesses(new Set([id]))];
  if (processesFile !== null) return numbers(await readFile(processesFile, "utf8"));
  // bubblewrap's only child is the first process of the sandbox's own namespace.
  const namespace = (pid === null ? [] : findChildren(pid)).map(pidNamespaceOf)[0];
  return namespace === undefined ? [] : processesInPidNamespace(namespace);
}

function serverOf(handle: Socket | Server | undefined): Server | undefined {
  return handle && "listening" in handle ? handle : undefined;
}
