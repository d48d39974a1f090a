/** What this host has for isolating functions, piece by piece, for people: `Driver.isolation` is what decides. */
import { execFile } from "node:child_process";
import { access, constants, readFile } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { type CgroupMount, parseMounts } from "./cgroups.ts";
import { findTool } from "./host-world.ts";
import { filterMachine } from "./seccomp.ts";

export interface HostFinding {
  readonly topic:
    | "bubblewrap"
    | "setpriv"
    | "namespaces"
    | "memory limit"
    | "cpu limit"
    | "process limit"
    | "system-call filter"
    | "network none";
  readonly isFine: boolean;
  /** What was found. */
  readonly detail: string;
  /** What to do about it; undefined if it is fine. */
  readonly remedy: string | undefined;
}

export type HostFindings = readonly HostFinding[];

const run = promisify(execFile);
const PROBE_MS_MAX = 5_000;

/** Looks at the host anew each time. Never rejects. */
export async function probeHost(options: { readonly bubblewrap?: string } = {}): Promise<HostFindings> {
  const bubblewrap = findTool(options.bubblewrap ?? "bwrap");
  return [
    await probeBubblewrap(bubblewrap),
    probeSetpriv(),
    await probeNamespaces(bubblewrap),
    ...(await probeLimits()),
    probeFilter(),
    probeInnerSockets(),
  ];
}

async function probeBubblewrap(path: string | undefined): Promise<HostFinding> {
  if (path === undefined) {
    return bad(
      "bubblewrap",
      "not found",
      "install the package bubblewrap; until then functions are not isolated",
    );
  }
  const version = await run(path, ["--version"], { timeout: PROBE_MS_MAX }).catch(() => undefined);
  if (!version) return bad("bubblewrap", `${path} cannot be run`, "reinstall the package bubblewrap");
  return fine("bubblewrap", `${version.stdout.trim()} at ${path}`);
}

function probeSetpriv(): HostFinding {
  const path = findTool("setpriv");
  if (path !== undefined) return fine("setpriv", path);
  if (!isRoot()) return fine("setpriv", "not found, and only needed by root");
  return bad("setpriv", "not found", "install the package util-linux");
}

async function probeNamespaces(bubblewrap: string | undefined): Promise<HostFinding> {
  if (bubblewrap === undefined)
    return bad("namespaces", "not tried without bubblewrap", "install the package bubblewrap");
  const kinds = ["pid", "ipc", "uts", "net", ...(isRoot() ? [] : ["user"])];
  const options = ["--ro-bind", "/", "/", "--proc", "/proc", ...kinds.map((kind) => `--unshare-${kind}`)];
  try {
    await run(bubblewrap, [...options, findTool("true") ?? "/bin/true"], { timeout: PROBE_MS_MAX });
    return fine("namespaces", `${kinds.join(", ")} and mount work`);
  } catch (error) {
    const said = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : String(error);
    const remedy = isRoot()
      ? "in a container, start it with the capability SYS_ADMIN and without a seccomp profile that forbids mounts"
      : "allow user namespaces (user.max_user_namespaces, kernel.unprivileged_userns_clone, on Ubuntu an AppArmor profile for bwrap), or run lambdad as root";
    return bad("namespaces", said.split("\n")[0] ?? "bubblewrap failed", remedy);
  }
}

async function probeLimits(): Promise<HostFindings> {
  const [mountinfo, groups] = await Promise.all([
    readFile("/proc/self/mountinfo", "utf8").catch(() => ""),
    readFile("/proc/self/cgroup", "utf8").catch(() => ""),
  ]);
  const mounts = parseMounts(mountinfo);
  const topics = { memory: "memory limit", cpu: "cpu limit", pids: "process limit" } as const;
  return Promise.all(
    (["memory", "cpu", "pids"] as const).map(async (controller) => {
      const topic = topics[controller];
      const mount = mounts.find(({ controllers }) => controllers.includes(controller));
      if (!mount) {
        return bad(
          topic,
          `no control groups with ${controller}`,
          `boot with cgroup v2 and the controller ${controller}`,
        );
      }
      const folder = groupFolder(mount, groups);
      const isWritable = await access(folder, constants.W_OK).then(
        () => true,
        () => false,
      );
      const detail = `cgroup v${mount.version} at ${folder}`;
      if (isWritable) return fine(topic, detail);
      return bad(
        topic,
        `${detail} cannot be written`,
        "run lambdad as root, or as a systemd service with Delegate=yes",
      );
    }),
  );
}

/** Where our groups would be made. */
function groupFolder(mount: CgroupMount, ownGroups: string): string {
  if (isRoot() || mount.version === 1) return mount.path;
  return join(mount.path, /^0::(.*)$/m.exec(ownGroups)?.[1] ?? "");
}

function probeFilter(): HostFinding {
  const machine = filterMachine(process.arch);
  if (machine !== undefined && process.platform === "linux")
    return fine("system-call filter", `for ${machine}`);
  return bad(
    "system-call filter",
    `none for ${process.platform} on ${process.arch}`,
    "use Linux on x64 or arm64",
  );
}

/** Whether this Node, which is as new as the spawner's or older, can enter networks. */
function probeInnerSockets(): HostFinding {
  if (isBuiltin("node:ffi") && isRoot()) return fine("network none", "with ports and a Runtime API");
  return bad(
    "network none",
    "only for functions without a port or a Runtime API",
    "run lambdad as root, with the Node 26 that comes with it",
  );
}

function fine(topic: HostFinding["topic"], detail: string): HostFinding {
  return { topic, isFine: true, detail, remedy: undefined };
}

function bad(topic: HostFinding["topic"], detail: string, remedy: string): HostFinding {
  return { topic, isFine: false, detail, remedy };
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
