import type { Duplex, Readable, Writable } from "node:stream";
import type { Network } from "../core/function.ts";
import type { SandboxId } from "../core/ids.ts";
import type { SandboxExit } from "../core/invocation.ts";

/**
 * What the platform needs from whatever isolates a function: namespaces, containers, a plain process.
 *
 * Drivers stay dumb. They start and stop one sandbox at a time and know nothing of functions, pools, retries or
 * payloads. What a program says to the daemon goes over Unix sockets in `socketDir`, the Runtime API or its port.
 */
export interface Driver extends AsyncDisposable {
  readonly name: string;
  /** What holds for every sandbox of this driver on this host; found out once, in the background. Never rejects. */
  isolation(): Promise<Isolation>;
  /**
   * Starts one sandbox.
   *
   * @throws PlatformError `SandboxStartFailed` if it could not be started, `IsolationUnavailable` if the host
   * cannot isolate it as the spec demands.
   * @throws `signal.reason` if aborted first; nothing is left running then.
   */
  start(spec: SandboxSpec, options: { readonly signal: AbortSignal }): Promise<Sandbox>;
  /**
   * Starts a sandbox that is given its code when it runs already, behind others that want the CPU. Undefined where this
   * host cannot do that.
   *
   * @throws as `start`
   */
  startReady?(spec: ReadySpec, options: { readonly signal: AbortSignal }): Promise<ReadySandbox | undefined>;
  /** From now on some of its sandboxes take so much of the processor that others wait, or none does any longer. */
  crowded?(isCrowded: boolean): void;
}

/** What a sandbox can be given before it is known whose it will be. */
export type ReadySpec = Omit<SandboxSpec, "image" | "codeDir" | "optDir">;

/** What makes a ready sandbox one version's. */
export type SandboxGift = Pick<SandboxSpec, "codeDir" | "optDir" | "memoryMib" | "cpus" | "hosts">;

/** A sandbox without code: its program runs, and its owner keeps it from looking for code until `specialise` has resolved. */
export interface ReadySandbox {
  readonly sandbox: Sandbox;
  /**
   * Mounts code and layers where the program finds them, and sets the limits. Once, and not before the program has shown
   * that it runs: until then there may be nothing to mount them in.
   *
   * @throws PlatformError `SandboxStartFailed` if it cannot; the sandbox is of no use then.
   */
  specialise(gift: SandboxGift): Promise<void>;
}

export interface Isolation {
  /** False when functions run as plain processes of the daemon's user. */
  readonly isIsolated: boolean;
  /** One sentence per thing that is not isolated or limited, each with its remedy. Empty is best. */
  readonly gaps: readonly string[];
}

/** What a container is made of. */
export interface SandboxImage {
  /** The engine's id of the image: `sha256:` and 64 hex digits, so that no tag can change what runs. */
  readonly id: string;
  /** Absolute; where the program starts, and `places.codeDir`. */
  readonly workingDir: string;
  /** Whom the image runs as, as it says so itself; empty if it names nobody. */
  readonly user: string;
  /** The TCP port that its program listens on; undefined leaves it to the driver. */
  readonly port: number | undefined;
}

export interface SandboxSpec {
  readonly id: SandboxId;
  /** Set for code that is an image: its files are what the program sees, and `codeDir`, `runtimeDir` and `toolDirs` are not used. */
  readonly image?: SandboxImage | undefined;
  /** Unpacked function code on this host; read-only at `places.codeDir`. */
  readonly codeDir: string;
  /** A managed runtime's files on this host; read-only at `places.runtimeDir`. */
  readonly runtimeDir: string | undefined;
  /** Unpacked layers on this host; read-only at `places.optDir`. Without them nothing is there. */
  readonly optDir?: string | undefined;
  /** Folders on this host that appear read-only under the same path (interpreters that are not in /usr). */
  readonly toolDirs: readonly string[];
  readonly memoryMib: number;
  /** Share of CPU time, 1 is one whole CPU. */
  readonly cpus: number;
  readonly pidsMax: number;
  /** Size of `places.tmpDir`. What is in it is held in memory and counts towards `memoryMib`. */
  readonly tmpMib: number;
  readonly network: Network;
  /** Lines for its `/etc/hosts` besides those that all have, where the driver has such a file for each sandbox. */
  readonly hosts?: string | undefined;
  /** Whether the program gets a stdin that can be written; otherwise it is empty. */
  readonly hasInput: boolean;
  /** Whether the program listens on a TCP port of its own (`places.port`). */
  readonly hasPort: boolean;
  /**
   * Set when the program is to find a Runtime API at `places.runtimeApi`: called for each connection that it makes
   * there. Connections of anybody else are dropped by the driver.
   */
  readonly onRuntimeApiConnection: ((socket: Duplex) => void) | undefined;
  /** Program and environment, made once the driver knows where things will appear inside. */
  launch(places: SandboxPlaces): SandboxLaunch;
}

/** Paths and addresses as the program inside sees them. */
export interface SandboxPlaces {
  readonly codeDir: string;
  readonly runtimeDir: string;
  /** Where `SandboxSpec.optDir` appears, if not at `/opt`. */
  readonly optDir?: string | undefined;
  /** `Sandbox.socketDir` as seen from inside. */
  readonly socketDir: string;
  readonly tmpDir: string;
  /** `HOST:PORT`; undefined without `onRuntimeApiConnection`. */
  readonly runtimeApi: string | undefined;
  /** Undefined without `hasPort`. */
  readonly port: number | undefined;
  /** Where to listen on that port, if not on the loopback. */
  readonly listenHost?: string | undefined;
}

export interface SandboxLaunch {
  /** Program and arguments; the program is an absolute path inside, or a name looked up on the PATH of `environment`. */
  readonly command: readonly [string, ...string[]];
  /** The whole environment: nothing is inherited. */
  readonly environment: Readonly<Record<string, string>>;
  /** Absolute, as seen from inside. */
  readonly workingDir: string;
  /**
   * A program that has loaded what `command` would load and can fork into it: a driver that knows how keeps one running
   * for many sandboxes. The same for all of them, so nothing in it may be a function's.
   */
  readonly forkFrom?: ForkSource | undefined;
}

export interface ForkSource {
  /** The program is an absolute path inside. */
  readonly command: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
  /** What serves where this one is not to be had, or not yet: it has loaded less. */
  readonly otherwise?: ForkSource;
}

export interface SandboxFreezer {
  /** Nothing inside takes CPU from now on. Neither call waits, and neither does harm twice. */
  freeze(): void;
  thaw(): void;
  /** Gives its memory away to where it is kept compressed, in the background. Undefined where this host has no such place. */
  readonly pageOut?: (() => void) | undefined;
}

/** What a sandbox takes of the processor. The calls do not wait, and do no harm twice or when it is gone. */
export interface SandboxCpu {
  /** CPU time of all that ran inside so far. */
  usedMs(): number;
  /** It gets the processor only when no other sandbox wants it. */
  standBack(): void;
  /** It has its share again. */
  stepForward(): void;
}

export interface Sandbox extends AsyncDisposable {
  readonly id: SandboxId;
  readonly places: SandboxPlaces;
  /**
   * Folder on this host in which sockets can be made that the program inside can reach; gone with the sandbox. Make them
   * writable for all (`listen({ path, writableAll: true })`): the program is another user, and nobody else gets there.
   */
  readonly socketDir: string;
  /** What the program writes. Each ends when the sandbox is gone and all was read; must be consumed. */
  readonly stdout: Readable;
  readonly stderr: Readable;
  /**
   * Framed log records (`_LAMBDA_TELEMETRY_LOG_FD`, descriptor 3 inside): 4 bytes type, 4 bytes length, 8 bytes
   * microseconds since epoch, all big-endian, then the message.
   */
  readonly telemetry: Readable;
  /** Undefined without `hasInput`. */
  readonly stdin: Writable | undefined;
  /** Resolves once, when the program and all its children are gone, whatever the reason. Never rejects. */
  readonly exited: Promise<SandboxExit>;
  /** Stops the program where it stands, until it is let go on. Undefined where the host cannot. */
  readonly freezer?: SandboxFreezer | undefined;
  /** Undefined where the host can neither tell nor change it. */
  readonly cpu?: SandboxCpu | undefined;
  /**
   * The most memory that counted towards its limit so far, as far as known; 0 where the host cannot tell. What it shares with
   * others may count for one of them. It may be a second old unless it is asked for as of `now`, which costs system calls
   * each time.
   */
  memoryPeakMib(of?: "now"): number;
  /** The same, or the most that its program has held with what others hold as well (an interpreter), if that is more. */
  memoryUsedMib(of?: "now"): number;
  /**
   * Connects to the program's port, or to another one on which something inside listens. Rejects while nothing does, and
   * where what listens on a shared loopback is not of this sandbox.
   */
  connect(port?: number): Promise<Duplex>;
  /** Asks the program to end (SIGTERM), it alone and not its children. Whether and when it does is its business. */
  terminate?(): void;
  /** Kills whatever runs inside and frees all it held; resolves when it is gone. Safe to call twice and after exit. */
  [Symbol.asyncDispose](): Promise<void>;
}
