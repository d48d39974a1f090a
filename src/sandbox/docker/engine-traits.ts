import { type Engine, type EngineVersion, objectOf, textsOf } from "./engine.ts";

/** In what engines that speak the same API differ. */
export interface EngineTraits {
  readonly isPodman: boolean;
  /** It runs as an ordinary user, in namespaces of that user. */
  readonly isRootless: boolean;
  /** What it can limit on this host; what it cannot must not even be asked of it. */
  readonly limits: { readonly memory: boolean; readonly cpu: boolean; readonly pids: boolean };
  /** `cgroupfs`, `systemd` or `none`; empty if it does not say. */
  readonly cgroupDriver: string;
  /** What it does not do on this host, one sentence each with the remedy. */
  readonly gaps: readonly string[];
}

/** runc before these lets a container out (CVE-2025-31133 and its kin). */
const RUNC_MIN: readonly (readonly [number, number, number])[] = [
  [1, 2, 8],
  [1, 3, 3],
];

export async function findTraits(engine: Engine, version: EngineVersion): Promise<EngineTraits> {
  return traitsOf(objectOf(await engine.json("GET", "/info")), version);
}

/** `info` is the answer to `GET /info`. */
export function traitsOf(info: Readonly<Record<string, unknown>>, version: EngineVersion): EngineTraits {
  const options = textsOf(info.SecurityOptions);
  const isRootless = info.Rootless === true || options.includes("name=rootless");
  // Podman says that it limits what it then does not: version 1 has no groups for ordinary users.
  const hasGroups = !(isRootless && String(info.CgroupVersion) === "1") && info.CgroupDriver !== "none";
  const limits = {
    memory: hasGroups && info.MemoryLimit !== false,
    cpu: hasGroups && info.CpuCfsQuota !== false,
    pids: hasGroups && info.PidsLimit !== false,
  };
  const gaps: string[] = [];
  if (!options.some((option) => option.startsWith("name=seccomp")))
    gaps.push("containers run without a system call filter: use an engine built with seccomp");
  const unlimited = [
    ...(limits.memory ? [] : ["memory"]),
    ...(limits.cpu ? [] : ["CPU time"]),
    ...(limits.pids ? [] : ["processes"]),
  ];
  if (unlimited.length > 0) gaps.push(unlimitedGap(unlimited, isRootless));
  if (version.runc !== undefined && isOlderRunc(version.runc))
    gaps.push(`runc ${version.runc} has known holes (CVE-2025-31133): update it to 1.2.8, 1.3.3 or later`);
  return {
    isPodman: version.isPodman,
    isRootless,
    limits,
    cgroupDriver: String(info.CgroupDriver ?? ""),
    gaps,
  };
}

function unlimitedGap(what: readonly string[], isRootless: boolean): string {
  const last = what.at(-1) ?? "";
  const all = what.length > 1 ? `${what.slice(0, -1).join(", ")} or ${last}` : last;
  const why = isRootless
    ? "a rootless engine needs control groups of version 2, delegated to its user (systemd: Delegate=cpu cpuset io memory pids)"
    : "this host's control groups lack it";
  return `containers have no limit of ${all}: ${why}`;
}

function isOlderRunc(text: string): boolean {
  const [major = 0, minor = 0, patch = 0] = (/^\d+(\.\d+)*/.exec(text)?.[0] ?? "").split(".").map(Number);
  if (major !== 1) return major < 1;
  const least = RUNC_MIN.find(([, itsMinor]) => itsMinor === minor);
  return least ? patch < least[2] : minor < 2;
}
