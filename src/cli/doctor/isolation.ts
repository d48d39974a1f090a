import { constants } from "node:fs";
import { access, mkdir, readFile, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { isCode, messageOf } from "../settings.ts";
import { type Check, type Ran, runProbe } from "./check.ts";
import { checkHibernation } from "./hibernation.ts";

/**
 * Whether functions can be isolated and limited here, found out by doing it: what is installed says little about what
 * a kernel, a container or a security module permits.
 */
export interface IsolationParts {
  /** For the probes; its PATH decides which bubblewrap is meant. */
  readonly env: NodeJS.ProcessEnv;
  readonly isRoot: boolean;
  readonly signal: AbortSignal;
}

export async function checkIsolation(parts: IsolationParts): Promise<Check[]> {
  if (process.platform !== "linux") {
    const remedy = "run lambdad on Linux, or in a Linux machine or container";
    return [{ name: "Isolation", status: "missing", found: `${process.platform} has no namespaces`, remedy }];
  }
  const bubblewrap = await checkBubblewrap(parts);
  const isHere = bubblewrap.status === "ok";
  return [
    bubblewrap,
    ...(parts.isRoot ? [await checkSetpriv(parts)] : []),
    isHere ? await checkNamespaces(parts) : untried("Namespaces"),
    isHere ? await checkSeccomp(parts) : untried("Seccomp"),
    await checkCgroups(parts.isRoot),
    await checkHibernation(),
  ];
}

async function checkBubblewrap({ env, signal }: IsolationParts): Promise<Check> {
  const name = "Bubblewrap";
  const ran = await runProbe(["bwrap", "--version"], { env, signal });
  if (ran.exitCode === 0) return { name, status: "ok", found: ran.stdout, remedy: undefined };
  const found = ran.failure === "ENOENT" ? "bwrap is not installed" : `bwrap does not run: ${reasonOf(ran)}`;
  return { name, status: "missing", found, remedy: installRemedy("bubblewrap") };
}

/** As root the daemon gives each function a user of its own with it. */
async function checkSetpriv({ env, signal }: IsolationParts): Promise<Check> {
  const name = "Setpriv";
  const ran = await runProbe(["setpriv", "--version"], { env, signal });
  if (ran.exitCode === 0) return { name, status: "ok", found: ran.stdout, remedy: undefined };
  return { name, status: "missing", found: reasonOf(ran), remedy: installRemedy("util-linux") };
}

const SANDBOX = [
  "--unshare-all",
  "--die-with-parent",
  "--ro-bind",
  "/",
  "/",
  "--proc",
  "/proc",
  "--dev",
  "/dev",
];

async function checkNamespaces({ env, isRoot, signal }: IsolationParts): Promise<Check> {
  const name = "Namespaces";
  const ran = await runProbe(["bwrap", ...SANDBOX, "--tmpfs", "/tmp", "true"], { env, signal });
  if (ran.exitCode === 0) {
    return { name, status: "ok", found: "user, pid, network, ipc, uts, cgroup and mount", remedy: undefined };
  }
  return {
    name,
    status: "missing",
    found: reasonOf(ran),
    remedy: await namespaceRemedy(reasonOf(ran), isRoot),
  };
}

/** The kernel refuses for one of four reasons, each with its own switch. */
async function namespaceRemedy(reason: string, isRoot: boolean): Promise<string> {
  const restricted = await readSwitch("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
  if (restricted === "1" && !isRoot) {
    return "AppArmor forbids user namespaces to bwrap: install the package apparmor-profiles and load its profile bwrap-userns-restrict, or run lambdad as root";
  }
  if ((await readSwitch("/proc/sys/kernel/unprivileged_userns_clone")) === "0" && !isRoot) {
    return "sudo sysctl -w kernel.unprivileged_userns_clone=1";
  }
  if ((await readSwitch("/proc/sys/user/max_user_namespaces")) === "0") {
    return "sudo sysctl -w user.max_user_namespaces=15000";
  }
  return /proc|mount|permitted|permission/i.test(reason)
    ? "inside a container, start it with --cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
    : "run lambdad as root, or on a kernel with user namespaces";
}

async function readSwitch(file: string): Promise<string | undefined> {
  return (await readFile(file, "utf8").catch(() => undefined))?.trim();
}

/** One instruction: allow everything. What counts is that a program with a filter starts, and is told so. */
const ALLOW_ALL = Uint8Array.from([0x06, 0, 0, 0, 0, 0, 0xff, 0x7f]);

async function checkSeccomp({ env, signal }: IsolationParts): Promise<Check> {
  const name = "Seccomp";
  // The shell hands the filter on, since a probe has no descriptors of its own to give.
  const bytes = Array.from(ALLOW_ALL, (byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  const script = `printf '${bytes}' | exec bwrap --seccomp 0 "$@"`;
  const probe = [...SANDBOX, "grep", "^Seccomp:", "/proc/self/status"];
  const ran = await runProbe(["sh", "-c", script, "sh", ...probe], { env, signal });
  if (ran.exitCode === 0 && /\b2$/.test(ran.stdout)) {
    return { name, status: "ok", found: "system calls can be filtered", remedy: undefined };
  }
  return {
    name,
    status: "weak",
    found: `a program with a filter does not start: ${reasonOf(ran)}`,
    remedy: "use a kernel with CONFIG_SECCOMP_FILTER (every distribution's has it)",
  };
}

const CONTROLLERS = ["memory", "cpu", "pids"] as const;
const LIMITED = { memory: "memory", cpu: "CPU time", pids: "the number of processes" } as const;

/** Version 2 has one tree, version 1 one for each controller; some systems mount both. */
export async function checkCgroups(
  isRoot: boolean,
  sources: { readonly mountinfo: string; readonly ownGroups: string } = {
    mountinfo: "/proc/self/mountinfo",
    ownGroups: "/proc/self/cgroup",
  },
): Promise<Check> {
  const name = "Cgroups";
  const mounts = parseCgroupMounts(await readFile(sources.mountinfo, "utf8").catch(() => ""));
  const ownGroups = await readFile(sources.ownGroups, "utf8").catch(() => "");
  const usable = new Map<string, string>();
  let problem = "the kernel offers none here";
  for (const mount of mounts) {
    const offered = mount.controllers ?? (await readWords(join(mount.path, "cgroup.controllers")));
    const here = CONTROLLERS.filter((controller) => offered.includes(controller));
    if (here.length === 0) continue;
    // Users are given a part of the tree, if any; root may use all of it.
    const own = /^0::(.*)$/m.exec(ownGroups)?.[1] ?? "/";
    const folder = mount.controllers === undefined && !isRoot ? join(mount.path, own) : mount.path;
    const refusal = await tryGroup(folder);
    if (refusal === undefined) for (const controller of here) usable.set(controller, mount.version);
    else problem = refusal;
  }
  const missing = CONTROLLERS.filter((controller) => !usable.has(controller));
  if (missing.length === 0) {
    const version = [...new Set(usable.values())].join(" and ");
    return {
      name,
      status: "ok",
      found: `${version}: memory, CPU time and processes can be limited, and functions that take much CPU stand back behind others`,
      remedy: undefined,
    };
  }
  return {
    name,
    status: "weak",
    found: `${missing.map((controller) => LIMITED[controller]).join(", ")} cannot be limited${missing.includes("cpu") ? ", and functions that take much CPU keep others waiting" : ""}: ${problem}`,
    remedy: isRoot
      ? "make /sys/fs/cgroup writable and enable its controllers memory, cpu and pids (in a container: --cgroupns private, read-write)"
      : "run lambdad as a systemd service with Delegate=yes (deploy/lambdad.service), or as root",
  };
}

interface CgroupMount {
  readonly version: "v1" | "v2";
  readonly path: string;
  /** Undefined for version 2, which says them in a file. */
  readonly controllers: readonly string[] | undefined;
}

function parseCgroupMounts(mountinfo: string): CgroupMount[] {
  return mountinfo.split("\n").flatMap((line): CgroupMount[] => {
    const [before = "", after = ""] = line.split(" - ");
    const path = before.split(" ")[4] ?? "";
    const [type, , options = ""] = after.split(" ");
    if (type === "cgroup2") return [{ version: "v2", path, controllers: undefined }];
    return type === "cgroup" ? [{ version: "v1", path, controllers: options.split(",") }] : [];
  });
}

/** Makes a group and removes it. Undefined if that went well, else why not. */
async function tryGroup(folder: string): Promise<string | undefined> {
  const group = join(folder, `lambdad-doctor-${process.pid}`);
  try {
    await access(folder, constants.W_OK);
    await mkdir(group);
    await rmdir(group);
    return undefined;
  } catch (error) {
    return isCode(error, "EACCES") || isCode(error, "EROFS")
      ? `${folder} may not be written${isCode(error, "EROFS") ? " (read-only)" : ""}`
      : messageOf(error);
  }
}

async function readWords(file: string): Promise<readonly string[]> {
  return (await readFile(file, "utf8").catch(() => "")).trim().split(/\s+/);
}

function untried(name: string): Check {
  return { name, status: "missing", found: "not tried: it takes bubblewrap", remedy: undefined };
}

function reasonOf(ran: Ran): string {
  return (
    ran.stderr.split("\n").at(-1) || ran.failure || `exit status ${ran.exitCode ?? "none, it took too long"}`
  );
}

function installRemedy(packageName: string): string {
  return `sudo apt-get install ${packageName}   (dnf, pacman and apk call it the same)`;
}
