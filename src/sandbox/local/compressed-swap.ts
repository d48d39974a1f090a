import { readFileSync } from "node:fs";

/** Paging out to a disk would make a call that wakes an instance wait for it. */
export function hasCompressedSwap(): boolean {
  const swaps = readWords("/proc/swaps").filter((word) => word.startsWith("/"));
  if (swaps.length === 0) return false;
  const isZswapOn = readWords("/sys/module/zswap/parameters/enabled")[0] === "Y";
  return isZswapOn || swaps.every((file) => /\/zram\d+$/.test(file));
}

function readWords(file: string): readonly string[] {
  try {
    return readFileSync(file, "utf8").split(/\s+/);
  } catch {
    // Another kernel.
    return [];
  }
}
