/**
 * Builds by Docker's own command, for Dockerfiles that take BuildKit: the engine has it, but what it speaks to its client
 * (gRPC over an upgraded connection, with a session back) is the command's business. The engine's classic builder stays the
 * rule, since nothing but the engine is needed for it.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { constants } from "node:fs";
import { access, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { PlatformError } from "../../core/errors.ts";
import type { EngineEnvironment } from "./engine-address.ts";
import { LineKeeper } from "./progress.ts";

export interface BuildKitOrder {
  readonly socketPath: string;
  readonly tag: string;
  /** A tar with the Dockerfile in it. */
  readonly context: Readable;
  readonly dockerfile: string;
  /** Docker's configuration with the credentials of registries; undefined uses the one of the daemon's user. */
  readonly auths: Readonly<Record<string, object>> | undefined;
}

/** What the command may see: where it finds itself and its plugins, and the way out. */
const HANDED_ON = /^(?:PATH|HOME|LANG|LC_ALL|TZ|(?:https?|no|all)_proxy|SSL_CERT_(?:FILE|DIR))$/i;
/** From here on the command needs the plugin buildx for it. */
const FIRST_WITHOUT = 23;
const PROBE_MS_MAX = 10_000;
const GRACE_MS = 5_000;

/** A command that builds with BuildKit: its program and the words before the flags. */
type BuildCommand = readonly [program: string, ...words: string[]];

/**
 * Builds and names the image; gives what went wrong with the last lines before it, undefined if nothing did. The command is
 * ended when the signal aborts, and the engine gives the build up with it.
 *
 * @throws PlatformError `BuildFailed` where there is no such command, with what `beyondClassic` needs it for.
 */
export async function buildWithCommand(
  environment: EngineEnvironment,
  order: BuildKitOrder & { readonly beyondClassic: string },
  { signal, output }: { readonly signal: AbortSignal; readonly output: (text: string) => void },
): Promise<string | undefined> {
  const env = { ...commandEnvironment(environment), DOCKER_HOST: `unix://${order.socketPath}` };
  const command = await findCommand(env, signal);
  if (!command) {
    throw new PlatformError(
      "BuildFailed",
      `the Dockerfile needs BuildKit (${order.beyondClassic}), and no docker command with it is on lambdad's PATH: install Docker's plugin buildx on the server (apt install docker-buildx-plugin, or docker-buildx), or write that line without it`,
    );
  }
  const settings = order.auths && (await writeAuths(order.auths, environment));
  try {
    return await run(command, order, settings === undefined ? env : { ...env, DOCKER_CONFIG: settings }, {
      signal,
      output,
    });
  } finally {
    if (settings !== undefined) await rm(settings, { recursive: true, force: true });
  }
}

async function run(
  [program, ...words]: BuildCommand,
  { tag, dockerfile, context }: BuildKitOrder,
  env: NodeJS.ProcessEnv,
  { signal, output }: { readonly signal: AbortSignal; readonly output: (text: string) => void },
): Promise<string | undefined> {
  signal.throwIfAborted();
  const flags = ["--progress", "plain", "--file", dockerfile, "--tag", tag, "-"];
  const child = spawn(program, [...words, ...flags], { stdio: ["pipe", "pipe", "pipe"], env });
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  const stop = () => void end(child, exited);
  signal.addEventListener("abort", stop, { once: true });
  const lines = new LineKeeper(output);
  // What it prints besides progress is the image's id.
  child.stdout.resume();
  child.stderr.setEncoding("utf8").on("data", (text: string) => lines.add(text));
  try {
    // One that gives up early does not read the rest; its exit says why.
    const [code] = await Promise.all([exited, pipeline(context, child.stdin).catch(() => undefined)]);
    lines.end();
    signal.throwIfAborted();
    // What it says at the end is the reason; before that, how far it came.
    return code === 0 ? undefined : [lines.last.at(-1), ...lines.last.slice(0, -1)].join("\n");
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

async function end(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), GRACE_MS);
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
      return [program, "buildx", "build", "--builder", "default", "--load"];
    const version = await says([program, "version", "--format", "{{.Client.Version}}"], env, signal);
    if (version !== undefined && Number.parseInt(version, 10) < FIRST_WITHOUT) return [program, "build"];
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
