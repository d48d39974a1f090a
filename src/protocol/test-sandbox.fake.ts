import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Duplex, Readable, type Writable } from "node:stream";
import { freePort } from "../core/free-port.fake.ts";
import { type Entry, type FunctionConfig, TEXT_LOGGING, type Version } from "../core/function.ts";
import { newSandboxId, parseFunctionName } from "../core/ids.ts";
import type { SandboxExit } from "../core/invocation.ts";
import type { Sandbox, SandboxLaunch, SandboxPlaces } from "../sandbox/driver.ts";
import type { Channel } from "./protocol.ts";

/** Where a test's function is, and what the platform would set for it. */
export interface TestSandboxSpec {
  readonly codeDir: string;
  /** Undefined where there is no managed runtime. */
  readonly runtimeDir?: string;
  /** Where layers are. */
  readonly optDir?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** A sandbox that isolates nothing: a plain child process with a folder of its own, for tests of protocols. */
export async function startTestSandbox(
  channel: Pick<Channel, "onRuntimeApiConnection" | "hasInput" | "hasPort" | "launch">,
  spec: TestSandboxSpec,
): Promise<Sandbox> {
  const folder = await mkdtemp(join(tmpdir(), "lambdad-sandbox-"));
  const socketDir = join(folder, "s");
  const tmpDir = join(folder, "tmp");
  await Promise.all([mkdir(socketDir), mkdir(tmpDir)]);
  const api = channel.onRuntimeApiConnection && (await listen(channel.onRuntimeApiConnection));
  const places: SandboxPlaces = {
    codeDir: spec.codeDir,
    runtimeDir: spec.runtimeDir ?? "",
    socketDir,
    tmpDir,
    ...(spec.optDir !== undefined && { optDir: spec.optDir }),
    runtimeApi: api && `127.0.0.1:${portOf(api)}`,
    port: channel.hasPort ? await freePort() : undefined,
  };
  try {
    const launch = channel.launch(places, { PATH: "/usr/local/bin:/usr/bin:/bin", ...spec.environment });
    return startProcess(launch, places, { hasInput: channel.hasInput, folder, api });
  } catch (error) {
    api?.close();
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

function startProcess(
  launch: SandboxLaunch,
  places: SandboxPlaces,
  own: { readonly hasInput: boolean; readonly folder: string; readonly api: Server | undefined },
): Sandbox {
  const [program, ...args] = launch.command;
  const child = spawn(program, args, {
    cwd: launch.workingDir,
    env: launch.environment,
    stdio: [own.hasInput ? "pipe" : "ignore", "pipe", "pipe", "pipe"],
    detached: true,
  });
  const exited = new Promise<SandboxExit>((resolve) => {
    child.once("exit", (exitCode, signal) => {
      killGroup(child.pid);
      resolve({ exitCode, signal, outOfMemory: false });
    });
    child.once("error", () => resolve({ exitCode: 127, signal: null, outOfMemory: false }));
  });
  const [, stdout, stderr, telemetry] = child.stdio;
  return {
    id: newSandboxId(),
    places,
    socketDir: places.socketDir,
    stdout: readable(stdout),
    stderr: readable(stderr),
    telemetry: readable(telemetry),
    stdin: child.stdin ?? undefined,
    exited,
    memoryPeakMib: () => 0,
    memoryUsedMib: () => 0,
    async connect(port = places.port ?? 0): Promise<Duplex> {
      const socket = connect({ host: "127.0.0.1", port });
      await once(socket, "connect");
      return socket;
    },
    terminate: () => void child.kill("SIGTERM"),
    async [Symbol.asyncDispose]() {
      killGroup(child.pid);
      own.api?.close();
      await exited;
      await rm(own.folder, { recursive: true, force: true });
    },
  };
}

/** The process id's own group: the children of a program go with it. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Nothing of the group is left.
  }
}

function readable(stream: Readable | Writable | null | undefined): Readable {
  if (!(stream instanceof Readable)) throw new Error("a child without its pipes");
  return stream;
}

async function listen(onConnection: (socket: Duplex) => void): Promise<Server> {
  const server = createServer(onConnection);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not a TCP listener");
  return address.port;
}

/** A version with everything at its default but what a test cares for. */
export function testVersion(entry: Entry, config: Partial<FunctionConfig> = {}): Version {
  const functionName = parseFunctionName("greet");
  if (functionName === undefined) throw new Error("not a name");
  return {
    functionName,
    label: "$LATEST",
    revisionId: "00000000-0000-4000-8000-000000000000",
    code: { treeId: "0".repeat(64), archiveSha256: "", archiveBytes: 0, treeBytes: 0 },
    config: {
      runtime: "provided.al2023",
      entry,
      description: "",
      memoryMib: 128,
      timeoutMs: 3_000,
      tmpMib: 512,
      environment: {},
      network: "host",
      slotsPerInstance: 1,
      architecture: process.arch === "arm64" ? "arm64" : "x86_64",
      role: "arn:aws:iam::000000000000:role/none",
      layers: [],
      optTreeId: undefined,
      logging: TEXT_LOGGING,
      ...config,
    },
    modifiedAt: 0,
  };
}
