/**
 * Engines besides a dockerd of root: Podman behind its compatible socket, and either of the two as an ordinary user. Each has
 * its own data, settings and socket in a temporary folder; a rootless one has a user of its own as well.
 */
import { execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleepFor } from "node:timers/promises";
import { promisify } from "node:util";
import { answers, dockerAt, mountsBelow, type TestEngine, unmountBelow } from "./engine.ts";

const ROOT = join(import.meta.dirname, "../..");
const START_MS_MAX = 60_000;
const run = promisify(execFile);

export type OtherEngineKind = "podman" | "rootless podman" | "rootless docker";

export interface OtherEngine extends TestEngine {
  readonly kind: OtherEngineKind;
  /** Who runs it; undefined is root. */
  readonly user: TestUser | undefined;
}

/** An ordinary user with a range of others to lend, as distributions make them. */
export interface TestUser {
  readonly name: string;
  readonly uid: number;
  readonly home: string;
  /** `XDG_RUNTIME_DIR` */
  readonly runtimeDir: string;
  /** This repository where the user can read it, wherever it is. */
  readonly repository: string;
  /** The words that a command of this user begins with. */
  readonly become: readonly string[];
}

const TOOLS: Readonly<Record<OtherEngineKind, readonly string[]>> = {
  podman: ["podman", "runc", "docker"],
  "rootless podman": ["podman", "runc", "docker", "newuidmap", "slirp4netns", "nsenter"],
  "rootless docker": ["dockerd", "docker", "rootlesskit", "newuidmap", "slirp4netns", "nsenter"],
};
const ROOTLESS_DOCKER = "/usr/share/docker.io/contrib/dockerd-rootless.sh";

/** Why that engine cannot be started here; undefined if it can, or if it must. */
export async function withoutOtherEngine(kind: OtherEngineKind): Promise<string | undefined> {
  if (process.env.REQUIRE_ALL === "1") return undefined;
  for (const tool of TOOLS[kind])
    if (spawnSync("which", [tool]).status !== 0) return `${tool} is not installed`;
  if (kind === "podman") return undefined;
  const device = await stat("/dev/net/tun").catch(() => undefined);
  if (device === undefined || (device.mode & 0o006) !== 0o006)
    return "ordinary users may not use /dev/net/tun";
  return undefined;
}

export async function startOtherEngine(kind: OtherEngineKind): Promise<OtherEngine> {
  const folder = await mkdtemp(join(tmpdir(), "oe-"));
  await chmod(folder, 0o755);
  const user = kind === "podman" ? undefined : await makeUser(folder);
  const socketPath = join(user?.runtimeDir ?? folder, "engine.sock");
  const settings = await writeSettings(folder);
  const command = commandOf(kind, { folder, socketPath, settings, user });
  let child = await launch(command, folder, socketPath);
  const docker = dockerAt(socketPath);
  const engine: OtherEngine = {
    kind,
    user,
    socketPath,
    folder,
    get pid() {
      return child.pid ?? 0;
    },
    docker,
    async importFolder(from, name, changes = []) {
      const archive = join(folder, "import.tar");
      // Some storage drivers take the folder's mode for that of the image's root.
      await chmod(from, 0o755);
      await run("tar", ["-C", from, "-cf", archive, "."]);
      await docker("import", ...changes.flatMap((line) => ["-c", line]), archive, name);
      await rm(archive);
    },
    async stop(signal = "SIGTERM") {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      await once(child, "exit");
    },
    async start() {
      child = await launch(command, folder, socketPath);
    },
    async [Symbol.asyncDispose]() {
      if (kind !== "rootless docker") await removeAll(docker);
      await engine.stop();
      if (user) await removeUser(user);
      await unmountBelow(folder);
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  return engine;
}

/** Podman asks for limits that root may not set where it lacks CAP_SYS_RESOURCE, as in some virtual machines. */
const RUNTIME = `#!/bin/sh
before=
for word in "$@"; do
  case "$before" in --bundle|-b) sed -i -E 's/("type":"RLIMIT_N[A-Z]*","hard":)[0-9]{5,}(,"soft":)[0-9]+/\\14096\\24096/g' "$word/config.json" ;; esac
  before=$word
done
exec runc "$@"
`;

async function writeSettings(folder: string): Promise<string> {
  const file = join(folder, "containers.conf");
  const runtime = join(folder, "limited");
  await writeFile(runtime, RUNTIME);
  await chmod(runtime, 0o755);
  // crun wants control groups of one version.
  await writeFile(
    file,
    `[engine]\nruntime = "limited"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n[engine.runtimes]\nlimited = ["${runtime}"]\n`,
  );
  await chmod(file, 0o644);
  return file;
}

function commandOf(
  kind: OtherEngineKind,
  made: {
    readonly folder: string;
    readonly socketPath: string;
    readonly settings: string;
    readonly user: TestUser | undefined;
  },
): readonly string[] {
  const { folder, socketPath, settings, user } = made;
  const podman = ["env", `CONTAINERS_CONF=${settings}`, "podman"];
  const service = ["system", "service", "-t", "0", `unix://${socketPath}`];
  switch (kind) {
    case "podman":
      return [
        ...podman,
        "--root",
        join(folder, "data"),
        "--runroot",
        join(folder, "run"),
        "--network-config-dir",
        join(folder, "networks"),
        ...service,
      ];
    case "rootless podman":
      return [...(user?.become ?? []), ...podman, ...service];
    case "rootless docker": {
      const data = join(user?.home ?? folder, "data");
      const flags = ["--data-root", data, "-H", `unix://${socketPath}`, "--bridge", "none"];
      return [...(user?.become ?? []), "sh", ROOTLESS_DOCKER, ...flags, "--shutdown-timeout", "5"];
    }
  }
}

async function launch([program = "", ...args]: readonly string[], folder: string, socketPath: string) {
  await rm(socketPath, { force: true });
  // A file, since a pipe would be open for as long as anything that the engine has left behind.
  const log = await open(join(folder, "engine.log"), "w");
  const child = spawn(program, args, { stdio: ["ignore", log.fd, log.fd], cwd: "/" });
  await log.close();
  const giveUpAt = performance.now() + START_MS_MAX;
  while (!(await answers(socketPath))) {
    if (child.exitCode !== null || performance.now() > giveUpAt) {
      child.kill("SIGKILL");
      const said = await readFile(join(folder, "engine.log"), "utf8");
      throw new Error(`${program} ${args.join(" ")} did not start:\n${said.slice(-4_000)}`);
    }
    await sleepFor(50);
  }
  return child;
}

/** Podman's containers live without the service; what still runs would hold the folder. */
async function removeAll(docker: TestEngine["docker"]): Promise<void> {
  const ids = (await docker("ps", "-aq").catch(() => "")).split("\n").filter((id) => id !== "");
  if (ids.length > 0) await docker("rm", "-f", ...ids).catch(() => undefined);
}

async function makeUser(folder: string): Promise<TestUser> {
  const name = `lambdad-t${process.pid}`;
  const home = join(folder, "home");
  await run("useradd", ["--create-home", "--home-dir", home, "--shell", "/bin/sh", name]);
  const uid = Number((await run("id", ["-u", name])).stdout);
  const runtimeDir = join(folder, "xdg");
  await mkdir(runtimeDir, { mode: 0o700 });
  await chown(runtimeDir, uid, uid);
  const repository = join(folder, "repository");
  await mkdir(repository);
  await run("mount", ["--bind", "-o", "ro", ROOT, repository]);
  const become = [
    ...["setpriv", "--reuid", name, "--regid", name, "--init-groups", "env", "-i"],
    ...[`HOME=${home}`, `XDG_RUNTIME_DIR=${runtimeDir}`, "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
  ];
  return { name, uid, home, runtimeDir, repository, become };
}

/** With all its processes, of which Podman leaves some and a killed rootlesskit as well. */
async function removeUser({ name, uid }: TestUser): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    const left = await processesOf(uid);
    if (left.length === 0) break;
    for (const pid of left) kill(pid);
    await sleepFor(50);
  }
  await run("userdel", [name]);
}

/** That user's own processes, and those of the users that it was lent. */
async function processesOf(uid: number): Promise<string[]> {
  const ranges = (await readFile("/etc/subuid", "utf8")).split("\n").map((line) => line.split(":"));
  const { stdout } = await run("id", ["-nu", String(uid)]);
  const range = ranges.find(([name]) => name === stdout.trim());
  const [first, count] = [Number(range?.[1]), Number(range?.[2])];
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry))) {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    if (/^State:\tZ/m.test(status)) continue;
    const owner = Number(/^Uid:\t(\d+)/m.exec(status)?.[1] ?? "-1");
    if (owner === uid || (owner >= first && owner < first + count)) found.push(pid);
  }
  return found;
}

function kill(pid: string): void {
  try {
    process.kill(Number(pid), "SIGKILL");
  } catch {
    // It has gone by itself.
  }
}

/** Of what is ours on such an engine; images by name, since some engines keep what has none. */
export async function otherCensus(engine: OtherEngine): Promise<Readonly<Record<string, readonly string[]>>> {
  const lines = async (...args: readonly string[]) =>
    (await engine.docker(...args)).split("\n").filter((line) => line !== "");
  const images = await listed(() => lines("images", "--format", "{{.Repository}}:{{.Tag}}"));
  return {
    containers: await lines("ps", "-aq"),
    networks: await lines("network", "ls", "--filter", "name=lambdad", "--format", "{{.Name}}"),
    images: images.filter((name) => name.includes("lambdad-") && !name.includes(":failed-")),
    mounts: mountsBelow(join(engine.folder, "data")),
    rules: (await run("iptables-save").catch(() => ({ stdout: "" }))).stdout
      .split("\n")
      .filter((line) => line.includes("LDB")),
  };
}

/** Podman's list fails over an image that is removed while it is made. */
async function listed(list: () => Promise<string[]>): Promise<string[]> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await list();
    } catch (error) {
      if (tries === 20 || !String(error).includes("image not known")) throw error;
      await sleepFor(250);
    }
  }
}
