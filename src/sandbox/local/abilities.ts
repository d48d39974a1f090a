/** Finds out how sandboxes can be made on this host by making one: what is installed says little about what is permitted. */
import { createHash } from "node:crypto";
import { closeSync, constants, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Jail } from "./box.ts";
import { readAvailable } from "./box-pipes.ts";
import type { BoxUser } from "./bubblewrap.ts";
import type { CgroupLayout } from "./cgroups.ts";
import { hasCompressedSwap } from "./compressed-swap.ts";
import { findHostWorld, findTool } from "./host-world.ts";
import type { HostAbilities, SpawnerSettings, StartRequest } from "./messages.ts";
import { encodeFilter, filterMachine, filterProgram } from "./seccomp.ts";
import { startBox } from "./start-box.ts";
import type { Syscalls } from "./syscalls.ts";

export interface FoundHost {
  readonly abilities: HostAbilities;
  /** Undefined where there is no isolation; the user is chosen for each sandbox. */
  readonly jail: Omit<Jail, "user"> | undefined;
}

export interface Prober {
  readonly settings: SpawnerSettings;
  readonly layout: CgroupLayout;
  readonly syscalls: Syscalls | undefined;
}

/** Who the daemon's user is inside a user namespace. */
export const INNER_UID = 993;

/** Host users of sandboxes: a range that no distribution, container tool or service manager gives out. */
const UID_LOWEST = 1_879_048_192;
export const UIDS_PER_INSTANCE = 10_000;
const UID_RANGES = 26_000;

/** The first of an instance's host users; instances rarely share a range. */
export function firstUid(instanceName: string): number {
  const hash = createHash("sha256").update(instanceName).digest().readUInt32BE(0);
  return UID_LOWEST + (hash % UID_RANGES) * UIDS_PER_INSTANCE;
}

export async function findAbilities(prober: Prober): Promise<FoundHost> {
  const { settings, layout, syscalls } = prober;
  const found = await findJail(prober);
  if (typeof found !== "string") {
    const mode = isRoot() ? "root" : "user";
    const hasInnerSockets = isRoot() && syscalls !== undefined;
    const gaps = [...filterGaps(found), ...limitGaps(layout), ...(hasInnerSockets ? [] : [offlineGap()])];
    return {
      jail: found,
      abilities: {
        mode,
        reason: "",
        gaps,
        hasInnerSockets,
        canMountLater: hasInnerSockets,
        hasCompressedSwap: hasCompressedSwap(),
      },
    };
  }
  if (!settings.allowUnsandboxed) {
    const gaps = [`functions cannot run, since this host cannot isolate them: ${found}`];
    return {
      jail: undefined,
      abilities: {
        mode: "none",
        reason: found,
        gaps,
        hasInnerSockets: false,
        canMountLater: false,
        hasCompressedSwap: false,
      },
    };
  }
  const gaps = [
    `functions are not isolated; they run as plain processes with the rights of the daemon's user: ${found}`,
    ...limitGaps(layout),
  ];
  return {
    jail: undefined,
    abilities: {
      mode: "plain",
      reason: found,
      gaps,
      hasInnerSockets: false,
      canMountLater: false,
      hasCompressedSwap: false,
    },
  };
}

/** What makes sandboxes here, or the sentence that says why nothing does and what would. */
async function findJail(prober: Prober): Promise<Omit<Jail, "user"> | string> {
  if (process.platform !== "linux")
    return "bubblewrap needs Linux: run lambdad in a Linux machine or container";
  const bubblewrap = findTool(prober.settings.bubblewrap);
  if (bubblewrap === undefined) {
    return `${prober.settings.bubblewrap} was not found: install the package bubblewrap`;
  }
  const world = findHostWorld(bubblewrap, join(prober.settings.runDir, "etc"));
  if (isRoot() && world.setpriv === undefined) {
    return "setpriv was not found: install the package util-linux";
  }
  const jail = { world, filterFile: writeFilter(prober.settings.runDir) };
  const problem = await tryJail(prober, jail);
  if (problem === undefined) return jail;
  // Before 0.8.0 bubblewrap has no such option.
  const older = { ...jail, world: { ...world, canDisableUserNamespaces: false } };
  if (!isRoot() && (await tryJail(prober, older)) === undefined) return older;
  return explain(problem);
}

/** Starts `true` in a sandbox; undefined if that went well, else what was said. */
async function tryJail(prober: Prober, jail: Omit<Jail, "user">): Promise<string | undefined> {
  const { settings, layout, syscalls } = prober;
  const uid = firstUid(settings.instanceName) + UIDS_PER_INSTANCE - 1;
  const user: BoxUser = isRoot() ? { kind: "host", uid } : { kind: "namespace", uid: INNER_UID };
  try {
    const parts = { runDir: settings.runDir, layout, syscalls, jail: { ...jail, user } };
    const request = probeRequest(settings.runDir);
    const box = await startBox(parts, request);
    const said = openSync(join(box.tracks.folder, "stderr"), constants.O_RDWR | constants.O_NONBLOCK);
    try {
      const exit = await box.exited;
      if (exit.exitCode === 0) return undefined;
      return readAvailable(said).trim() || `it ended with ${exit.signal ?? exit.exitCode}`;
    } finally {
      closeSync(said);
      await box.release();
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function probeRequest(runDir: string): StartRequest {
  return {
    id: "probe",
    codeDir: join(runDir, "etc"),
    runtimeDir: null,
    optDir: null,
    toolDirs: [],
    memoryMib: 128,
    cpus: 1,
    pidsMax: 16,
    tmpMib: 1,
    isOffline: true,
    hasInput: false,
    wantsListener: false,
    command: [findTool("true") ?? "/usr/bin/true"],
    forkFrom: null,
    environment: {},
    workingDir: "/",
    hosts: "",
  };
}

function explain(problem: string): string {
  const remedy = REMEDIES.find(([pattern]) => pattern.test(problem))?.[1];
  return `bubblewrap cannot make a sandbox (${problem.split("\n")[0]})${remedy ? `: ${remedy}` : ""}`;
}

const REMEDIES: readonly (readonly [RegExp, string])[] = [
  [
    /uid map|user namespace|RTM_NEWADDR|Creating new namespace|No permissions|setting up/i,
    "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces, on Ubuntu an AppArmor profile for bwrap) or run lambdad as root",
  ],
  [
    /mount|pivot|Operation not permitted/i,
    "in a container, start it with the capability SYS_ADMIN and without a seccomp profile that forbids mounts",
  ],
];

function writeFilter(runDir: string): string | undefined {
  const machine = filterMachine(process.arch);
  if (machine === undefined) return undefined;
  const file = join(runDir, "filter.bpf");
  writeFileSync(file, encodeFilter(filterProgram(machine)), { mode: 0o600 });
  return file;
}

function filterGaps(jail: Omit<Jail, "user">): readonly string[] {
  if (jail.filterFile !== undefined) return [];
  return [`system calls are not filtered: there is no filter for ${process.arch} yet, use x64 or arm64`];
}

const LIMITED = { memory: "memory", cpu: "CPU time", pids: "the number of processes", freezer: "" } as const;

function limitGaps(layout: CgroupLayout): readonly string[] {
  if (layout.missing.length === 0) return [];
  const what = layout.missing.map(({ controller }) => LIMITED[controller]).join(", ");
  const remedy = isRoot()
    ? "make /sys/fs/cgroup writable for lambdad and enable the controllers memory, cpu and pids"
    : "run lambdad as root, or as a systemd service with Delegate=yes";
  return [`${what} of functions cannot be limited (${layout.missing[0]?.why}): ${remedy}`];
}

function offlineGap(): string {
  return "functions with network none cannot have a port or a Runtime API: run lambdad as root on Node 26";
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
