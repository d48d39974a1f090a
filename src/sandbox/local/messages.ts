/**
 * What driver and spawner say to each other over the child's IPC channel, as JSON. The spawner does everything that
 * touches the kernel; the driver keeps what the rest of the daemon holds in its hands: streams, sockets, promises.
 *
 *   start ──► started (with a listening socket if asked) ──► attached … exited ──► release ──► released
 *                                          specialise ──► specialised
 *         └─► failed                      kill ──► exited
 *   connect ──► connected (with the socket) or refused        find-client ──► found-client
 */
import type { ForkSource } from "../driver.ts";

export interface SpawnerSettings {
  /** Short; sockets are made below it. */
  readonly runDir: string;
  readonly instanceName: string;
  readonly allowUnsandboxed: boolean;
  readonly bubblewrap: string;
  /** The driver's process, so that a successor can tell whether it is still there. */
  readonly ownerPid: number;
  /** That it was started with. */
  readonly ownerNiceness: number;
}

/** How sandboxes are made on this host. */
export type Mode =
  /** bubblewrap as root, one host user per sandbox. */
  | "root"
  /** bubblewrap in a user namespace of the daemon's user. */
  | "user"
  /** Plain processes. */
  | "plain"
  /** Not at all; `reason` says why. */
  | "none";

export interface HostAbilities {
  readonly mode: Mode;
  readonly reason: string;
  /** One sentence per thing that is not isolated or limited. */
  readonly gaps: readonly string[];
  /** Whether sockets can be made inside a sandbox's own network. */
  readonly hasInnerSockets: boolean;
  /** Whether a sandbox that runs can be given its code. */
  readonly canMountLater: boolean;
  /** Whether there is swap that keeps memory compressed in memory: zram, or any behind zswap. */
  readonly hasCompressedSwap: boolean;
}

export interface StartRequest {
  readonly id: string;
  /** Null if code and layers are only known later: `specialise` mounts them. */
  readonly codeDir: string | null;
  readonly runtimeDir: string | null;
  readonly optDir: string | null;
  readonly toolDirs: readonly string[];
  readonly memoryMib: number;
  readonly cpus: number;
  readonly pidsMax: number;
  readonly tmpMib: number;
  readonly isOffline: boolean;
  readonly hasInput: boolean;
  /** Asks for a listening socket at `RUNTIME_API_PORT` of the sandbox's own loopback. */
  readonly wantsListener: boolean;
  readonly command: readonly string[];
  /** A program that can fork into `command`; null if there is none. */
  readonly forkFrom: ForkSource | null;
  readonly environment: Readonly<Record<string, string>>;
  readonly workingDir: string;
  /** Lines for its `/etc/hosts` besides those that all have. */
  readonly hosts: string;
}

export type ToSpawner =
  | { readonly type: "start"; readonly request: StartRequest }
  /** The driver has opened the pipes. */
  | { readonly type: "attached"; readonly id: string }
  /** Once, for a sandbox that was started without code. */
  | { readonly type: "specialise"; readonly id: string; readonly given: Given }
  | { readonly type: "kill"; readonly id: string }
  | { readonly type: "terminate"; readonly id: string }
  /** The driver has read what there was: pipes, groups and folder can go. */
  | { readonly type: "release"; readonly id: string }
  | { readonly type: "connect"; readonly id: string; readonly call: number; readonly port: number }
  /** Asks who has the client's end of a connection over 127.0.0.1. */
  | {
      readonly type: "find-client";
      readonly call: number;
      readonly clientPort: number;
      readonly serverPort: number;
    }
  /** Whether the driver's process comes before the sandboxes on a core that both want. */
  | { readonly type: "put-first"; readonly isFirst: boolean }
  | { readonly type: "close" };

export type FromSpawner =
  | { readonly type: "ready"; readonly host: HostAbilities }
  | { readonly type: "started"; readonly id: string; readonly tracks: Tracks }
  | { readonly type: "failed"; readonly id: string; readonly message: string }
  | {
      readonly type: "exited";
      readonly id: string;
      readonly exitCode: number | null;
      readonly signal: string | null;
      readonly outOfMemory: boolean;
      readonly memoryPeakMib: number;
    }
  /** `problem` says why its code is not there; the sandbox is of no use then. */
  | { readonly type: "specialised"; readonly id: string; readonly problem: string | null }
  | { readonly type: "released"; readonly id: string }
  | { readonly type: "connected"; readonly call: number }
  | { readonly type: "refused"; readonly call: number; readonly message: string }
  /** Null if it cannot be told, or nobody has it any more. */
  | { readonly type: "found-client"; readonly call: number; readonly uid: number | null }
  /** Something that others make up for. */
  | { readonly type: "warned"; readonly message: string }
  | { readonly type: "closed" };

/** What a sandbox gets that was started before it was known whose it would be. */
export interface Given {
  readonly codeDir: string;
  readonly optDir: string | null;
  readonly memoryMib: number;
  readonly cpus: number;
  readonly pidsMax: number;
  readonly hosts: string;
}

/** Where the driver can watch a sandbox from outside. */
export interface Tracks {
  /** Its folder below the run folder. */
  readonly folder: string;
  /** File with the most memory used so far, in bytes. */
  readonly memoryPeakFile: string | null;
  /** What stops all its processes where they stand, and lets them go on. */
  readonly freezer: Freezer | null;
  readonly cpu: CpuFiles | null;
  /** Files that list its processes, one number a line. */
  readonly processesFile: string | null;
  /** The host user that only this sandbox runs as. */
  readonly uid: number | null;
  /** The first process on this host; null where its groups say who is inside. */
  readonly pid: number | null;
}

/** Files of a control group that say what it takes of the processor, and what it gets. */
export interface CpuFiles {
  /** `cpu.stat` of version 2, or `cpuacct.usage`. */
  readonly usage: string;
  /** Null on kernels before 5.15. */
  readonly idle: string | null;
  readonly weight: string;
  /** The lowest that there is. */
  readonly weightMin: string;
}

/** A file of a control group, and what is written to it. */
export interface Freezer {
  readonly file: string;
  readonly frozen: string;
  readonly thawed: string;
  /** Writes that make the kernel page its memory out, in this order, and one that undoes what they have opened. */
  readonly pageOut: readonly FileWrite[];
  readonly pageIn: readonly FileWrite[];
}

export interface FileWrite {
  readonly file: string;
  readonly text: string;
}

/** Where programs find the Runtime API in a network of their own. */
export const RUNTIME_API_PORT = 9001;

/** Marks plain processes, so that whatever they leave behind can be found. */
export const MARKER = "LAMBDAD_SANDBOX";
