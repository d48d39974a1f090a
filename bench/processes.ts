import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export const ROOT = join(import.meta.dirname, "..");

/** A process that prints a first line when it is ready; killed when disposed. */
export async function startProcess(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<AsyncDisposable & { readonly firstLine: string; readonly process: ChildProcess }> {
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "ignore"],
    env: { ...process.env, ...env },
  });
  const exited = once(child, "exit");
  const firstLine = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", resolve);
    child.once("error", reject);
    child.once("exit", (code) =>
      reject(new Error(`${command} ${args.join(" ")} left with ${code} before it was ready`)),
    );
  });
  return {
    firstLine,
    process: child,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

/** A reverse proxy with undici in front of the handler on node:http, each a process of its own. */
export async function startPlainProxy(): Promise<AsyncDisposable & { readonly port: number }> {
  const program = join(import.meta.dirname, "proxy.ts");
  const upstream = await startProcess(process.execPath, [program, "upstream"]);
  const proxy = await startProcess(process.execPath, [program, "proxy", upstream.firstLine]);
  return {
    port: Number(proxy.firstLine),
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

/** Runs to its end; wall time in ms. */
export async function timeProcess(command: string, args: readonly string[]): Promise<number> {
  const startedAt = performance.now();
  const child = spawn(command, args, { stdio: "ignore" });
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} left with ${code}`);
  return performance.now() - startedAt;
}

export interface Daemon extends AsyncDisposable {
  readonly gatewayPort: number;
  readonly controlUrl: string;
  readonly key: string;
  readonly pid: number;
  /** From spawn to the line that says it serves. */
  readonly startMs: number;
  readonly dataDir: string;
}

/** A daemon of its own on ephemeral ports; with `dataDir` on a folder that is kept. */
export async function startDaemon(dataDir?: string, options: readonly string[] = []): Promise<Daemon> {
  const dir = dataDir ?? mkdtempSync(join(tmpdir(), "lambdad-bench-"));
  const startedAt = performance.now();
  const args = [
    "--data",
    dir,
    "--gateway",
    "127.0.0.1:0",
    "--control",
    "127.0.0.1:0",
    "--allow-unsandboxed",
    ...options,
  ];
  const daemon = await startProcess(join(ROOT, "bin/lambdad"), args);
  const startMs = performance.now() - startedAt;
  const ports = /gateway=http:\/\/[^:]+:(\d+) control=(\S+)/.exec(daemon.firstLine);
  if (!ports?.[1] || !ports[2]) throw new Error(`unexpected first line: ${daemon.firstLine}`);
  return {
    gatewayPort: Number(ports[1]),
    controlUrl: ports[2],
    key: readFileSync(join(dir, "admin.key"), "utf8").trim(),
    pid: daemon.process.pid ?? 0,
    startMs,
    dataDir: dir,
    async [Symbol.asyncDispose]() {
      await daemon[Symbol.asyncDispose]();
      if (!dataDir) rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Resident memory in MiB. */
export function residentMib(pid: number): number {
  const kib = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kib ?? 0) / 1_024;
}

/** Runtimes of functions that were started for a daemon, by their command line. */
export function runtimeProcesses(daemonPid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = parentOf(Number(name));
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const below = (pid: number): number[] =>
    (children.get(pid) ?? []).flatMap((child) => [child, ...below(child)]);
  return below(daemonPid).filter((pid) => {
    const [program = "", ...rest] = readText(`/proc/${pid}/cmdline`).split("\0");
    return !program.endsWith("bwrap") && rest.some((word) => word.startsWith("/var/runtime/main."));
  });
}

/** What a process holds that no other does, in MiB; nothing if it lives in the memory of its parent. */
export function privateMib(pid: number): number {
  if (sharesMemory(pid, parentOf(pid))) return 0;
  const lines = readText(`/proc/${pid}/smaps_rollup`).matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm);
  return [...lines].reduce((sum, [, kib]) => sum + Number(kib), 0) / 1_024;
}

/** Only of one memory can the kernel say the same in every detail: a copy begins to differ with the first instruction. */
function sharesMemory(pid: number, other: number): boolean {
  const maps = readText(`/proc/${pid}/smaps`);
  return maps !== "" && maps === readText(`/proc/${other}/smaps`);
}

/** The same of whole sandboxes. */
export function privateMibBySandbox(daemonPid: number): number[] {
  const sums = new Map<string, number>();
  for (const pid of runtimeProcesses(daemonPid)) {
    const sandbox = pidNamespaceOf(pid) ?? String(pid);
    sums.set(sandbox, (sums.get(sandbox) ?? 0) + privateMib(pid));
  }
  return [...sums.values()];
}

function parentOf(pid: number): number {
  return Number(readText(`/proc/${pid}/stat`).split(") ").at(-1)?.split(" ")[1]);
}

/** Undefined for others' processes. */
function pidNamespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}

/** Empty if it is gone. */
function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** User and system CPU time of a process so far, ms. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
