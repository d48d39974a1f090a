/**
 * A container engine of its own for tests: dockerd with its own data, socket and process file in a temporary folder, and images
 * that need no registry. One at a time, since engines share the host's network rules.
 */
import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleepFor } from "node:timers/promises";
import { promisify } from "node:util";

const START_MS_MAX = 60_000;
const run = promisify(execFile);

export interface TestEngine extends AsyncDisposable {
  readonly socketPath: string;
  readonly folder: string;
  readonly pid: number;
  /** Docker's own command against this engine; its stdout. */
  docker(...args: readonly string[]): Promise<string>;
  /** Imports a folder as an image. `changes` are lines of a Dockerfile. */
  importFolder(folder: string, name: string, changes?: readonly string[]): Promise<void>;
  /** Stops the engine and everything in it. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** The same engine again, after `stop`. */
  start(): Promise<void>;
}

/** Why no engine can be started here; undefined if one can, or if it must. */
export function withoutEngine(): string | undefined {
  if (process.env.REQUIRE_ALL === "1") return undefined;
  if (process.getuid?.() !== 0) return "a container engine of its own needs root";
  for (const tool of ["dockerd", "docker", "busybox", "iptables"]) {
    if (spawnSync("which", [tool]).status !== 0) return `${tool} is not installed`;
  }
  if (existsSync("/var/run/docker.pid")) return "another container engine runs on this host";
  return undefined;
}

/** Removes the containers that there are behind everybody's back, also those that somebody is just removing. */
export async function removeContainers({ docker }: Pick<TestEngine, "docker">): Promise<void> {
  const there = async () => (await docker("ps", "-aq")).split("\n").filter((id) => id !== "");
  const ids = await there();
  const giveUpAt = performance.now() + 60_000;
  for (let left = ids; left.length > 0; ) {
    // Fails for one whose removal is under way; that it goes is seen below.
    const problem = await docker("rm", "-f", ...left).catch((error: unknown) => error);
    if (performance.now() > giveUpAt)
      throw new Error(`containers stay: ${left.join(" ")}`, { cause: problem });
    await sleepFor(100);
    const now = await there();
    left = ids.filter((id) => now.includes(id));
  }
}

/**
 * With `diskMib` all that it stores is on a disk of that size; with `hasBridge` it has a network of its own that leads nowhere,
 * for steps of BuildKit.
 */
export async function startEngine(
  options: { readonly diskMib?: number; readonly hasBridge?: boolean } = {},
): Promise<TestEngine> {
  // Short: containerd makes Unix sockets deep below it.
  const folder = await mkdtemp(join(tmpdir(), "eng-"));
  if (options.diskMib !== undefined) {
    await mkdir(join(folder, "data"));
    await run("mount", ["-t", "tmpfs", "-o", `size=${options.diskMib}m`, "tmpfs", join(folder, "data")]);
  }
  const socketPath = join(folder, "docker.sock");
  const bridge = options.hasBridge ? await addBridge() : undefined;
  let child = await launch(folder, socketPath, bridge);
  const docker = dockerAt(socketPath);
  const engine: TestEngine = {
    socketPath,
    folder,
    get pid() {
      return child.pid ?? 0;
    },
    docker,
    async importFolder(from, name, changes = []) {
      const archive = join(folder, "import.tar");
      await run("tar", ["-C", from, "-cf", archive, "."]);
      await docker("import", ...changes.flatMap((line) => ["-c", line]), archive, name);
      await rm(archive);
    },
    async stop(signal = "SIGTERM") {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      await once(child, "exit");
      // One whose dockerd was killed does not serve the next; nor do programs whose supervisor lost it.
      await stopContainerd(folder);
      for (const shim of await shims(folder)) {
        for (const program of await childrenOf(shim)) kill(program);
        kill(shim);
      }
      // As after a power failure, when /run is empty: its containerd waits for ever for what is in there.
      if (signal === "SIGKILL") {
        await unmountBelow(join(folder, "exec"));
        await rm(join(folder, "exec"), { recursive: true, force: true, maxRetries: 5 });
      }
    },
    async start() {
      child = await launch(folder, socketPath, bridge);
    },
    async [Symbol.asyncDispose]() {
      await engine.stop();
      await stopContainerd(folder);
      await unmountBelow(folder);
      if (bridge !== undefined) await run("ip", ["link", "delete", bridge]);
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  return engine;
}

/** One that no other test has, with an address that nothing is routed to. */
async function addBridge(): Promise<string> {
  const name = `lbt${process.pid.toString(36)}`;
  await run("ip", ["link", "add", name, "type", "bridge"]);
  await run("ip", ["address", "add", `10.231.${process.pid % 256}.1/24`, "dev", name]);
  await run("ip", ["link", "set", name, "up"]);
  return name;
}

/** Docker's own command against the engine of that socket. */
export function dockerAt(socketPath: string): TestEngine["docker"] {
  return async (...args) =>
    (await run("docker", ["-H", `unix://${socketPath}`, ...args], { maxBuffer: 64 * 1024 * 1024 })).stdout;
}

async function launch(folder: string, socketPath: string, bridge = "none") {
  const said: string[] = [];
  const child = spawn(
    "dockerd",
    [
      "--data-root",
      join(folder, "data"),
      "--exec-root",
      join(folder, "exec"),
      "-H",
      `unix://${socketPath}`,
      "--pidfile",
      join(folder, "docker.pid"),
      "--bridge",
      bridge,
      ...(bridge === "none" ? [] : ["--iptables=false", "--ip-masq=false"]),
      "--group",
      "root",
      "--shutdown-timeout",
      "5",
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said.push(text);
    if (said.length > 200) said.shift();
  });
  const giveUpAt = performance.now() + START_MS_MAX;
  while (!(await answers(socketPath))) {
    if (child.exitCode !== null || performance.now() > giveUpAt) {
      child.kill("SIGKILL");
      throw new Error(`dockerd did not start:\n${said.join("").slice(-4_000)}`);
    }
    await sleepFor(50);
  }
  return child;
}

export function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ socketPath, path: "/_ping", agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.on("error", () => resolve(false));
    asked.end();
  });
}

/** A dockerd that was killed leaves its containerd behind. */
async function stopContainerd(folder: string): Promise<void> {
  const file = join(folder, "exec/containerd/containerd.pid");
  const pid = Number(await readFile(file, "utf8").catch(() => ""));
  if (!(pid > 1) || !(await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).includes(folder))
    return;
  process.kill(pid, "SIGKILL");
  while (existsSync(`/proc/${pid}`)) await sleepFor(20);
  for (const name of ["containerd.pid", "containerd.sock", "containerd.sock.ttrpc", "containerd-debug.sock"])
    await rm(join(folder, "exec/containerd", name), { force: true });
}

export async function unmountBelow(folder: string): Promise<void> {
  for (const point of mountsBelow(folder).reverse())
    await run("umount", ["-l", point]).catch(() => undefined);
}

export function mountsBelow(folder: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point.startsWith(`${folder}/`));
}

/** What there is of containers, networks of ours, images of ours, mounts, rules and processes of containers. */
export async function census(engine: TestEngine): Promise<Readonly<Record<string, readonly string[]>>> {
  const lines = async (...args: readonly string[]) =>
    (await engine.docker(...args)).split("\n").filter((line) => line !== "");
  const rules = (await run("iptables-save").catch(() => ({ stdout: "" }))).stdout;
  return {
    containers: await lines("ps", "-aq"),
    networks: await lines("network", "ls", "--filter", "name=lambdad", "--format", "{{.Name}}"),
    // What a failed build has left is the next one's cache for a day.
    images: (
      await lines("images", "--filter", "reference=lambdad-*/*", "--format", "{{.Repository}}:{{.Tag}}")
    ).filter((name) => !name.includes(":failed-")),
    mounts: mountsBelow(join(engine.folder, "data")).filter((point) => point.includes("overlay2")),
    rules: rules.split("\n").filter((line) => line.includes("LDB")),
    processes: await shims(engine.folder),
  };
}

async function shims(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (command.includes("containerd-shim") && command.includes(folder)) found.push(pid);
  }
  return found;
}

async function childrenOf(pid: string): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return text.split(" ").filter((child) => child !== "");
}

function kill(pid: string): void {
  try {
    process.kill(Number(pid), "SIGKILL");
  } catch {
    // It has gone by itself.
  }
}

/** A folder with busybox and all its commands, to be imported as an image. */
export async function busyboxRoot(folder: string): Promise<string> {
  await mkdir(join(folder, "bin"), { recursive: true });
  for (const name of ["tmp", "etc", "var", "usr", "dev", "proc", "sys", "run/lambdad"])
    await mkdir(join(folder, name), { recursive: true });
  await cp("/bin/busybox", join(folder, "bin/busybox")).catch(() =>
    cp("/usr/bin/busybox", join(folder, "bin/busybox")),
  );
  const { stdout } = await run(join(folder, "bin/busybox"), ["--list"]);
  for (const name of stdout.split("\n").filter((line) => line !== "" && line !== "busybox"))
    await symlink("busybox", join(folder, "bin", name));
  await writeFile(join(folder, "etc/passwd"), "root:x:0:0:root:/:/bin/sh\n");
  return folder;
}

/** Copies a program of this host to `at`, and the shared libraries it needs, under their own paths. */
export async function addProgram(root: string, program: string, at = program): Promise<void> {
  const { stdout } = await run("ldd", [program]);
  const libraries = [...stdout.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] ?? "");
  for (const [from, to] of [[program, at] as const, ...libraries.map((file) => [file, file] as const)]) {
    await mkdir(dirname(join(root, to)), { recursive: true });
    await cp(from, join(root, to), { dereference: true });
  }
}
