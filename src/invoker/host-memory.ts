import { readFile } from "node:fs/promises";

const KIB_PER_MIB = 1_024;
/** Below this share of its memory a host begins to work for its memory instead of for its functions. */
const AVAILABLE_SHARE_MIN = 0.05;

/** How much memory this host is short of, in MiB; 0 where it has enough, or cannot tell. */
export async function memoryShortageMib(file = "/proc/meminfo"): Promise<number> {
  const text = await readFile(file, "utf8").catch(() => "");
  const total = readMib(text, "MemTotal");
  const available = readMib(text, "MemAvailable");
  if (total === undefined || available === undefined) return 0;
  return Math.max(0, Math.ceil(total * AVAILABLE_SHARE_MIN - available));
}

function readMib(text: string, name: string): number | undefined {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text);
  return found ? Number(found[1]) / KIB_PER_MIB : undefined;
}
