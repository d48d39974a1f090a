import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { newSandboxId } from "../../core/ids.ts";
import type { SandboxExit } from "../../core/invocation.ts";
import type { Sandbox, SandboxPlaces } from "../../sandbox/driver.ts";
import type { Channel, ResolvedRuntime } from "../protocol.ts";

export interface TestSandbox extends Sandbox {
  /** All that was written so far. */
  readonly output: { stdout: string; stderr: string; telemetry: string };
}

/** A plain process of this user's, without isolation: enough of a sandbox for channels. Attaches the channel. */
export async function startTestSandbox(
  channel: Channel,
  options: {
    readonly codeDir: string;
    readonly runtime: ResolvedRuntime;
    readonly environment?: Readonly<Record<string, string>>;
    /** Leaves stdout to the channel, as a filter needs it. */
    readonly keepsStdout?: boolean;
  },
): Promise<TestSandbox> {
  const socketDir = await mkdtemp(join(tmpdir(), "ld-"));
  const api = channel.onRuntimeApiConnection && (await listen(channel.onRuntimeApiConnection));
  const places: SandboxPlaces = {
    codeDir: options.codeDir,
    runtimeDir: options.runtime.runtimeDir ?? "/nonexistent",
    socketDir,
    tmpDir: tmpdir(),
    runtimeApi: api && `127.0.0.1:${portOf(api)}`,
    port: channel.hasPort ? await freePort() : undefined,
  };
  const launch = channel.launch(places, { PATH: "/usr/local/bin:/usr/bin:/bin", ...options.environment });
  const [program, ...args] = launch.command;
  const child = spawn(program, args, {
    cwd: launch.workingDir,
    env: { ...launch.environment },
    stdio: [channel.hasInput ? "pipe" : "ignore", "pipe", "pipe", "pipe"],
    detached: true,
  });
  await once(child, "spawn");
  const exited = exitOf(child);
  const telemetry = child.stdio[3];
  if (!child.stdout || !child.stderr || !(telemetry instanceof Readable)) throw new Error("no pipes");
  const output = { stdout: "", stderr: "", telemetry: "" };
  if (!options.keepsStdout) child.stdout.on("data", (chunk) => (output.stdout += chunk));
  child.stderr.on("data", (chunk) => (output.stderr += chunk));
  telemetry.on("data", (chunk) => (output.telemetry += chunk));
  const sandbox: TestSandbox = {
    id: newSandboxId(),
    places,
    socketDir,
    stdout: child.stdout,
    stderr: child.stderr,
    telemetry,
    stdin: child.stdin ?? undefined,
    exited,
    output,
    memoryPeakMib: () => 0,
    async connect() {
      const socket = connect({ host: "127.0.0.1", port: places.port ?? 0 });
      await once(socket, "connect");
      return socket;
    },
    async [Symbol.asyncDispose]() {
      killGroup(child);
      await exited;
      api?.close();
      await rm(socketDir, { recursive: true, force: true });
    },
  };
  channel.attach(sandbox);
  return sandbox;
}

async function exitOf(child: ChildProcess): Promise<SandboxExit> {
  const [exitCode, signal] = await once(child, "exit");
  // Children that it left behind are part of the sandbox.
  killGroup(child);
  return { exitCode, signal, outOfMemory: false };
}

function killGroup(child: ChildProcess): void {
  try {
    if (child.pid) process.kill(-child.pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}

async function listen(onConnection: (socket: import("node:stream").Duplex) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, onConnection).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function portOf(server: Server): number {
  const address = server.address() as AddressInfo;
  return address.port;
}

async function freePort(): Promise<number> {
  const server = await listen((socket) => socket.destroy());
  const port = portOf(server);
  server.close();
  await once(server, "close");
  return port;
}
