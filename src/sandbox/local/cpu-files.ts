/**
 * What a sandbox takes of the processor, and how it is put behind others, by the files of its control groups: `cpu.idle`
 * (Linux 5.15, both versions) lets a group run only when no other beside it wants to; where that is missing, the lowest weight
 * comes near to it.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SandboxCpu } from "../driver.ts";
import type { CpuFiles } from "./messages.ts";

interface Hierarchy {
  readonly version: 1 | 2;
  readonly controllers: readonly string[];
}

/** `folders` in the order of the hierarchies. Undefined where either cannot be done. */
export function findCpuFiles(
  hierarchies: readonly Hierarchy[],
  folders: readonly string[],
): CpuFiles | undefined {
  const usage = findUsage(hierarchies, folders);
  const at = hierarchies.findIndex(({ controllers }) => controllers.includes("cpu"));
  const folder = folders[at];
  if (usage === undefined || folder === undefined) return undefined;
  const idle = join(folder, "cpu.idle");
  const isUnified = hierarchies[at]?.version === 2;
  return {
    usage,
    idle: existsSync(idle) ? idle : null,
    weight: join(folder, isUnified ? "cpu.weight" : "cpu.shares"),
    weightMin: isUnified ? "1" : "2",
  };
}

/** Version 2 counts without a controller, too. */
function findUsage(hierarchies: readonly Hierarchy[], folders: readonly string[]): string | undefined {
  const unified = folders[hierarchies.findIndex(({ version }) => version === 2)];
  if (unified !== undefined) return join(unified, "cpu.stat");
  return folders.map((folder) => join(folder, "cpuacct.usage")).find((file) => existsSync(file));
}

/** Each call some 10 to 20 microseconds. */
export function cpuOf(files: CpuFiles): SandboxCpu {
  let weight: string | undefined;
  return {
    usedMs: () => parseUsage(tryRead(files.usage)),
    standBack() {
      weight ??= tryRead(files.weight).trim();
      if (files.idle === null) tryWrite(files.weight, files.weightMin);
      else tryWrite(files.idle, "1");
    },
    stepForward() {
      if (files.idle !== null) tryWrite(files.idle, "0");
      // The kernel has forgotten it.
      if (weight) tryWrite(files.weight, weight);
      weight = undefined;
    },
  };
}

/** Microseconds behind a name, or nothing but nanoseconds. */
function parseUsage(text: string): number {
  const micros = /^usage_usec (\d+)$/m.exec(text)?.[1];
  return micros === undefined ? Number(text) / 1_000_000 : Number(micros) / 1_000;
}

/** Empty if the group is gone with its sandbox. */
function tryRead(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}

function tryWrite(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: "r+" });
  } catch {
    // The group is gone with its sandbox.
  }
}
