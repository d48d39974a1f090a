import { readFile } from "node:fs/promises";
import type { Check } from "./check.ts";

/** Where the kernel says what it swaps to, and whether it compresses that. */
export interface SwapFiles {
  readonly swaps: string;
  readonly zswap: string;
}

const FILES: SwapFiles = { swaps: "/proc/swaps", zswap: "/sys/module/zswap/parameters/enabled" };

/** Idle functions stand still; whether their memory goes, too, depends on a place where it is kept compressed. */
export async function checkHibernation(files: SwapFiles = FILES): Promise<Check> {
  const name = "Hibernation";
  const swaps = (await read(files.swaps)).split(/\s+/).filter((word) => word.startsWith("/"));
  const isZswapOn = (await read(files.zswap)).startsWith("Y");
  const remedy = "modprobe zram; zramctl --find --size 4G; mkswap /dev/zram0; swapon -p 100 /dev/zram0";
  if (swaps.length === 0) {
    const found = "idle functions are frozen and keep their memory: there is no swap";
    return { name, status: "absent", found, remedy };
  }
  if (isZswapOn || swaps.every((file) => /\/zram\d+$/.test(file))) {
    const found = `memory of idle functions is paged out, compressed: ${isZswapOn ? "zswap" : swaps.join(", ")}`;
    return { name, status: "ok", found, remedy: undefined };
  }
  const found = `idle functions are frozen and keep their memory: swap on a disk is too slow for it (${swaps.join(", ")})`;
  return { name, status: "absent", found, remedy: "echo Y > /sys/module/zswap/parameters/enabled" };
}

/** Empty on kernels without. */
async function read(file: string): Promise<string> {
  return await readFile(file, "utf8").catch(() => "");
}
