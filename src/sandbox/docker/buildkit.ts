/**
 * Builds by Docker's own command, for Dockerfiles that take BuildKit: the engine has it, but what it speaks to its client
 * (gRPC over an upgraded connection, with a session back) is the command's business. The engine's classic builder stays the
 * rule, since nothing but the engine is needed for it.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { constants } from "node:fs";
import { access, type FileHandle, mkdtemp, open, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import type { BuildInputs } from "../../core/build-inputs.ts";
import { PlatformError } from "../../core/errors.ts";
import type { EngineEnvironment } from "./engine-address.ts";
import { LineKeeper } from "./progress.ts";

export interface BuildKitOrder {
  readonly tag: string;
  /** A tar with the Dockerfile in it. */
  readonly context: Readable;
  readonly dockerfile: string;
  /** Docker's configuration with the credentials of registries; undefined uses the one of the daemon's user. */
  readonly auths: Readonly<Record<string, object>> | undefined;
  readonly inputs: BuildInputs;
  /** A control group that its steps are put into. */
  readonly cgroupParent: string | undefined;
}

/** What the command may see: where it finds itself and its plugins, and the way out. */
const HANDED_ON = /^(?:PATH|HOME|LANG|LC_ALL|TZ|(?:https?|no|all)_proxy|SSL_CERT_(?:FILE|DIR))$/i;
/** From here on the command needs the plugin buildx for it. */
const FIRST_WITHOUT = 23;
const PROBE_MS_MAX = 10_000;
const GRACE_MS = 5_000;

/** A command that builds with BuildKit on one engine. */
export interface BuildCommand {
  /** The program, and the words before the flags. */
  readonly words: readonly [program: string, ...words: string[]];
  readonly env: NodeJS.ProcessEnv;
  /** Whether it tells the engine of a control group for its steps. */
  readonly knowsGroups: boolean;
}

/** @throws PlatformError `BuildFailed` where there is none, with what `beyondClassic` needs it for. */
export async function findBuildCommand(
  environment: EngineEnvironment,
  { socketPath, beyondClassic }: { readonly socketPath: string; readonly beyondClassic: string },
  { signal }: { readonly signal: AbortSignal },
): Promise<BuildCommand> {
  const env = { ...commandEnvironment(environment), DOCKER_HOST: `unix://${socketPath}` };
  const command = await findCommand(env, signal);
  if (command) return command;
  throw new PlatformError(
    "BuildFailed",
    `the Dockerfile needs BuildKit (${beyondClassic}), and no docker command with it is on lambdad's PATH: install Docker's plugin buildx on the server (apt install docker-buildx-plugin, or docker-buildx), or write that line without it`,
  );
}

/**
 * Builds and names the image; gives what went wrong with the last lines before it, undefined if nothing did. The command is
 * ended when the signal aborts, and the engine gives the build up with it.
 */
export async function buildWithCommand(
  environment: EngineEnvironment,
  command: BuildCommand,
  order: BuildKitOrder,
  { signal, output }: { readonly signal: AbortSignal; readonly output: (text: string) => void },
): Promise<string | undefined> {
  const { env } = command;
  const settings = order.auths && (await writeAuths(order.auths, environment));
  const secrets = await openSecrets(order.inputs);
  try {
    const own = settings === undefined ? env : { ...env, DOCKER_CONFIG: settings };
    return await run({ ...command, env: own }, order, secrets, { signal, output });
  } finally {
    for (const { handle } of secrets) await handle.close();
    if (settings !== undefined) await rm(settings, { recursive: true, force: true });
  }
}

async function run(
  { words: [program, ...words], env }: BuildCommand,
  order: BuildKitOrder,
  secrets: readonly OpenSecret[],
  { signal, output }: { readonly signal: AbortSignal; readonly output: (text: string) => void },
): Promise<string | undefined> {
  signal.throwIfAborted();
  const child = spawn(program, [...words, ...flagsOf(order, secrets), "-"], {
    stdio: ["pipe", "pipe", "pipe", ...secrets.map(({ handle }) => handle.fd)],
    env,
    // A group of its own: the plugin is the command's child, and both are to be ended.
    detached: true,
  });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const stop = () => void end(child, exited);
  signal.addEventListener("abort", stop, { once: true });
  const lines = new LineKeeper(output);
  // What it prints besides progress is the image's id.
  const [stdin, stdout, stderr] = [child.stdin, child.stdout, child.stderr];
  stdout?.resume();
  stderr?.setEncoding("utf8").on("data", (text: string) => lines.add(text));
  try {
    const sent = stdin && pipeline(order.context, stdin).catch(() => undefined);
    // One that gives up early does not read the rest; its exit says why.
    const [code] = await Promise.all([exited, sent]);
    lines.end();
    signal.throwIfAborted();
    // What it says at the end is the reason; before that, how far it came.
    return code === 0 ? undefined : [lines.last.at(-1), ...lines.last.slice(0, -1)].join("\n");
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

const FIRST_SECRET_FD = 3;

function flagsOf(
  { tag, dockerfile, inputs, cgroupParent }: BuildKitOrder,
  secrets: readonly OpenSecret[],
): readonly string[] {
  return [
    ...["--progress", "plain", "--file", dockerfile, "--tag", tag],
    ...Object.entries(inputs.args).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]),
    ...secrets.flatMap(({ id }, index) => [
      "--secret",
      `id=${id},src=/proc/self/fd/${FIRST_SECRET_FD + index}`,
    ]),
    ...(cgroupParent === undefined ? [] : ["--cgroup-parent", cgroupParent]),
  ];
}

interface OpenSecret {
  readonly id: string;
  readonly handle: FileHandle;
}

const IN_MEMORY = "/dev/shm";

/**
 * Secrets as files without a name: the command reads them by their descriptor as often as steps ask for them, and whatever is
 * killed, nothing of them stays.
 */
async function openSecrets({ secrets }: BuildInputs): Promise<readonly OpenSecret[]> {
  const opened: OpenSecret[] = [];
  if (secrets.size === 0) return opened;
  const place = await access(IN_MEMORY, constants.W_OK).then(
    () => IN_MEMORY,
    () => tmpdir(),
  );
  const folder = await mkdtemp(join(place, "lambdad-build-"));
  try {
    for (const [id, value] of secrets) {
      const file = join(folder, String(opened.length));
      await writeFile(file, value, { mode: 0o600 });
      opened.push({ id, handle: await open(file) });
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return opened;
}

async function end(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  const kill = (signal: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch {
      // All of it has ended.
    }
  };
  kill("SIGTERM");
  const late = setTimeout(() => kill("SIGKILL"), GRACE_MS);
  await exited.catch(() => undefined);
  clearTimeout(late);
}

/** The first on the PATH that can: there may be several, with and without the plugin. */
async function findCommand(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<BuildCommand | undefined> {
  for (const folder of (env.PATH ?? "").split(delimiter)) {
    const program = join(folder, "docker");
    if (folder === "" || !(await isProgram(program))) continue;
    // The engine itself as its builder, so that the image is there and not in a store of its own.
    if (await says([program, "buildx", "version"], env, signal))
      return {
        words: [program, "buildx", "build", "--builder", "default", "--load"],
        env,
        knowsGroups: true,
      };
    const version = await says([program, "version", "--format", "{{.Client.Version}}"], env, signal);
    if (version !== undefined && Number.parseInt(version, 10) < FIRST_WITHOUT)
      return { words: [program, "build"], env, knowsGroups: false };
  }
  return undefined;
}

async function isProgram(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function says(
  [program = "", ...args]: readonly string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(program, args, { env, signal, timeout: PROBE_MS_MAX });
    return stdout;
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

function commandEnvironment(environment: EngineEnvironment): NodeJS.ProcessEnv {
  const handedOn = Object.entries(environment).filter(([name]) => HANDED_ON.test(name));
  const { DOCKER_CONFIG } = environment;
  return { ...Object.fromEntries(handedOn), ...(DOCKER_CONFIG && { DOCKER_CONFIG }), DOCKER_BUILDKIT: "1" };
}

/** For the one build, in a folder that only this user may read. */
async function writeAuths(
  auths: Readonly<Record<string, object>>,
  { DOCKER_CONFIG, HOME }: EngineEnvironment,
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lambdad-build-"));
  await writeFile(join(folder, "config.json"), JSON.stringify({ auths }), { mode: 0o600 });
  const plugins = join(DOCKER_CONFIG ?? join(HOME ?? "/", ".docker"), "cli-plugins");
  // The user's own plugins are looked for beside the configuration.
  const hasPlugins = await readdir(plugins).catch(() => undefined);
  if (hasPlugins) await symlink(plugins, join(folder, "cli-plugins"));
  return folder;
}
