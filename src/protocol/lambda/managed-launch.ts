import { assert } from "../../core/assert.ts";
import type { FunctionConfig, Version } from "../../core/function.ts";
import { MEMORY_MIB_PER_CPU, RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import type { ForkSource, SandboxLaunch, SandboxPlaces } from "../../sandbox/driver.ts";
import type { Packer, ResolvedRuntime } from "../protocol.ts";
import type { Specialisation } from "./frames.ts";
import { libraryPath, programPath } from "./search-paths.ts";

/** In `Sandbox.socketDir`; short, since a Unix socket's whole path may have 107 bytes. */
export const SOCKET_NAME = "runtime";

/** What the loader or the interpreter reads before our first line runs; all else comes with the specialisation. */
const READ_AT_START =
  /^(PATH|HOME|TMPDIR|TZ|TZDIR|LANG|LANGUAGE|LC_.*|LD_.*|GLIBC_TUNABLES|MALLOC_.*|NODE_.*|UV_.*|PYTHON.*|RUBY(?!LIB).*|SSL_CERT_.*|OPENSSL_.*)$/;

/** Those of them that the runtime can renew while it runs, or that are only read when they are needed. */
const RENEWABLE = /^(PATH|HOME|TMPDIR|TZ|NODE_PATH|NODE_ENV)$/;

/** Without a specialisation the runtime waits for one. */
export type ManagedStart = (
  places: SandboxPlaces,
  environment: Readonly<Record<string, string>>,
) => { readonly launch: SandboxLaunch; readonly specialisation: Specialisation | undefined };

/** How a managed runtime is started, and what makes it one function's. */
export function managedLaunch(
  version: Version,
  runtime: ResolvedRuntime,
  places: SandboxPlaces,
  own: { readonly environment: Readonly<Record<string, string>>; readonly imports?: Imports },
): { readonly launch: SandboxLaunch; readonly specialisation: Specialisation } {
  const specialisation = specialisationOf(version, places, own.environment);
  if (needsApi(version)) return launchBesideOthers(version, runtime, places, specialisation);
  const [atStart, later] = split(specialisation.environment);
  // As Lambda shows it; the interpreter itself must not look there, where our own modules are.
  if (isPython(version.config)) later.PYTHONPATH = atStart.PYTHONPATH ?? places.runtimeDir;
  // Whatever of it matters before the first line runs is what all have who are like this one.
  const forkFrom = canBecomeLater(version)
    ? forkSource(version.config, runtime, places, own.imports)
    : undefined;
  return {
    launch: { ...launchOf(version.config, runtime, places, atStart), workingDir: places.codeDir, forkFrom },
    specialisation: { ...specialisation, environment: later },
  };
}

/** A program that is run with the runtime's command as its arguments. */
const EXEC_WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER";

/** Layers bring extensions, and a wrapper may be anything: those speak to the Runtime API. Code alone finds our runtime. */
export function needsApi({ config }: Version): boolean {
  return config.layers.length > 0 || Object.hasOwn(config.environment, EXEC_WRAPPER);
}

/** What else is started reads its environment itself, and a wrapper may change it: nothing is left for later. */
function launchBesideOthers(
  version: Version,
  runtime: ResolvedRuntime,
  places: SandboxPlaces,
  specialisation: Specialisation,
): { readonly launch: SandboxLaunch; readonly specialisation: Specialisation } {
  const environment = {
    ...specialisation.environment,
    ...(places.runtimeApi !== undefined && { AWS_LAMBDA_RUNTIME_API: places.runtimeApi }),
  };
  const launch = { ...launchOf(version.config, runtime, places, environment), workingDir: places.codeDir };
  const wrapper = version.config.environment[EXEC_WRAPPER] ?? "";
  return {
    launch: wrapper === "" ? launch : { ...launch, command: wrapped(wrapper, launch.command) },
    specialisation: { ...specialisation, environment: {} },
  };
}

/** By a shell, so that a wrapper that is not there ends with 127, as on Lambda. */
function wrapped(wrapper: string, command: readonly [string, ...string[]]): [string, ...string[]] {
  return ["/bin/sh", "-c", 'exec "$0" "$@"', wrapper, ...command];
}

/** What a process has to be started with, and cannot be given later. */
export type ManagedKind = Pick<FunctionConfig, "runtime" | "memoryMib">;

/** Modules of the interpreter that a version imports; undefined if none are loaded ahead. */
export type Imports = readonly string[] | undefined;

/** How a managed runtime is started before it is known for whom. Its code is not there yet, so it must not stand in it. */
export function readyLaunch(
  kind: ManagedKind,
  runtime: ResolvedRuntime,
  places: SandboxPlaces,
  environment: Readonly<Record<string, string>>,
  imports?: Imports,
): SandboxLaunch {
  const defaults = {
    LD_LIBRARY_PATH: libraryPath(places),
    ...(isPython(kind) && PYTHON_DEFAULTS),
    // What it has already need not be set when it becomes a function's.
    ...(isNode(kind) && {
      SHLVL: "0",
      LAMBDA_TASK_ROOT: places.codeDir,
      LAMBDA_RUNTIME_DIR: places.runtimeDir,
      ...nodeDefaults(kind.runtime, places),
    }),
  };
  const atStart = { ...defaults, ...environment };
  const forkFrom = forkSource(kind, runtime, places, imports);
  return { ...launchOf(kind, runtime, places, atStart), workingDir: "/", forkFrom };
}

/** Python starts once for many functions; nothing of one can be in what the others are forked from. */
function forkSource(
  kind: ManagedKind,
  runtime: ResolvedRuntime,
  places: SandboxPlaces,
  imports?: Imports,
): ForkSource | undefined {
  if (!isPython(kind)) return undefined;
  const plain: ForkSource = {
    command: commandOf(kind, runtime, places),
    environment: { ...PYTHON_DEFAULTS, LD_LIBRARY_PATH: libraryPath(places) },
  };
  return imports ? { ...plain, command: [...plain.command, imports.join(",")], otherwise: plain } : plain;
}

/** Whether the version asks for nothing that a process must have from its first moment on. */
export function canBecomeLater(version: Version): boolean {
  if (needsApi(version)) return false;
  const names = Object.keys(version.config.environment);
  return names.every((name) => !READ_AT_START.test(name) || RENEWABLE.test(name));
}

/** Everything a version has of its own, whatever its process was started with. */
export function specialisationOf(
  version: Version,
  places: SandboxPlaces,
  environment: Readonly<Record<string, string>>,
): Specialisation {
  const { config } = version;
  assert(config.entry.kind === "handler", "only handlers run in a managed runtime");
  return {
    handler: config.entry.handler,
    taskRoot: places.codeDir,
    optDir: places.optDir ?? "/opt",
    runtime: config.runtime,
    environment: {
      SHLVL: "0",
      LD_LIBRARY_PATH: libraryPath(places),
      ...defaultsOf(config.runtime, places),
      ...environment,
      ...(environment.PATH !== undefined && { PATH: programPath(environment.PATH, places) }),
      LAMBDA_TASK_ROOT: places.codeDir,
      LAMBDA_RUNTIME_DIR: places.runtimeDir,
      _HANDLER: config.entry.handler,
      PWD: places.codeDir,
    },
    responseBytesMax: RESPONSE_BYTES_MAX,
    awaitsCode: false,
    awaitsPack: false,
  };
}

/** Programs of the runtimes that compile code and run none of it. */
export function findPacker({ config }: Version, { interpreter }: ResolvedRuntime): Packer | undefined {
  if (config.entry.kind !== "handler" || interpreter === undefined || isRuby(config)) return undefined;
  const { handler } = config.entry;
  return {
    key: JSON.stringify([PACK_FORMAT, interpreter, isPython(config) ? "" : handler]),
    launch: (places, environment) => ({
      command: isPython(config)
        ? [interpreter, ...PYTHON_FLAGS, `${places.runtimeDir}/pack.py`, places.codeDir]
        : [interpreter, ...NODE_PACK_FLAGS, `${places.runtimeDir}/pack.cjs`, places.codeDir, handler],
      environment,
      workingDir: "/",
    }),
  };
}

/** Goes up when what is in a pack changes. An interpreter refuses what another one has made by itself. */
const PACK_FORMAT = 2;

/** It asks where imports of others lead. */
const NODE_PACK_FLAGS = ["--experimental-import-meta-resolve"];

export function isPython({ runtime }: Pick<ManagedKind, "runtime">): boolean {
  return runtime.startsWith("python");
}

export function isNode({ runtime }: Pick<ManagedKind, "runtime">): boolean {
  return runtime.startsWith("nodejs");
}

function isRuby({ runtime }: Pick<ManagedKind, "runtime">): boolean {
  return runtime.startsWith("ruby");
}

function launchOf(
  kind: ManagedKind,
  runtime: ResolvedRuntime,
  places: SandboxPlaces,
  environment: Readonly<Record<string, string>>,
): Pick<SandboxLaunch, "command" | "environment"> {
  return {
    command: commandOf(kind, runtime, places),
    environment: {
      ...environment,
      _LAMBDAD_SOCKET: `${places.socketDir}/${SOCKET_NAME}`,
      _LAMBDA_TELEMETRY_LOG_FD: "3",
    },
  };
}

function commandOf(
  kind: ManagedKind,
  { interpreter }: ResolvedRuntime,
  places: SandboxPlaces,
): readonly [string, ...string[]] {
  assert(interpreter, `${kind.runtime} needs an interpreter`);
  if (isPython(kind)) return [interpreter, ...PYTHON_FLAGS, `${places.runtimeDir}/main.py`];
  if (isRuby(kind)) return [interpreter, ...RUBY_FLAGS, `${places.runtimeDir}/main.rb`];
  return [interpreter, ...nodeFlags(kind.memoryMib), `${places.runtimeDir}/main.cjs`];
}

function defaultsOf(runtime: string, places: SandboxPlaces): Readonly<Record<string, string>> {
  if (isPython({ runtime })) return PYTHON_DEFAULTS;
  return isRuby({ runtime }) ? rubyDefaults(runtime, places) : nodeDefaults(runtime, places);
}

/**
 * The heap stays under the sandbox's limit, so that the collector works harder before the kernel kills. V8 starts four threads beside
 * the program's, each with memory of its own, however few CPUs a function has; two let the collector and the compiler work beside it.
 */
function nodeFlags(memoryMib: number): readonly string[] {
  const threads = Math.min(
    Math.max(Math.ceil(memoryMib / MEMORY_MIB_PER_CPU), V8_THREADS_MIN),
    V8_THREADS_MAX,
  );
  return [`--max-old-space-size=${Math.floor(memoryMib * 0.9)}`, `--v8-pool-size=${threads}`];
}

const V8_THREADS_MIN = 2;
const V8_THREADS_MAX = 4;

/** Where Lambda looks for packages besides the code; our runtime brings none. */
function nodeDefaults(runtime: string, places: SandboxPlaces): Readonly<Record<string, string>> {
  const major = /^nodejs(\d+)/.exec(runtime)?.[1] ?? "";
  const nodejs = `${places.optDir ?? "/opt"}/nodejs`;
  const { runtimeDir, codeDir } = places;
  return {
    NODE_PATH: [
      `${nodejs}/node${major}/node_modules`,
      `${nodejs}/node_modules`,
      `${runtimeDir}/node_modules`,
      runtimeDir,
      codeDir,
    ].join(":"),
  };
}

/**
 * `-S`: the `site` module costs as much as the rest of the start and far more where site-packages holds `.pth` files;
 * the runtime adds the folders itself. `-B`: code trees are immutable, also where no sandbox makes them so.
 */
const PYTHON_FLAGS = ["-S", "-B"];

const PYTHON_DEFAULTS: Readonly<Record<string, string>> = { LC_CTYPE: "C.UTF-8" };

/** Ruby takes its encoding from a locale that may not be installed; messages of errors are what 3.2 and newer make them. */
const RUBY_FLAGS = ["-EUTF-8", "--disable-did_you_mean", "--disable-error_highlight"];

/** Where Lambda looks for gems and libraries besides the code's own; `ruby3.3` has gems of the interface 3.3.0. */
function rubyDefaults(runtime: string, places: SandboxPlaces): Readonly<Record<string, string>> {
  const { codeDir, runtimeDir, optDir = "/opt" } = places;
  const release = `${runtime.replace("ruby", "")}.0`;
  return {
    GEM_PATH: [`${codeDir}/vendor/bundle/ruby/${release}`, `${optDir}/ruby/gems/${release}`].join(":"),
    RUBYLIB: [codeDir, `${runtimeDir}/lib`, `${optDir}/ruby/lib`].join(":"),
  };
}

function split(whole: Readonly<Record<string, string>>): [Record<string, string>, Record<string, string>] {
  const atStart: Record<string, string> = {};
  const later: Record<string, string> = {};
  for (const [name, value] of Object.entries(whole)) {
    if (READ_AT_START.test(name)) atStart[name] = value;
    else later[name] = value;
  }
  return [atStart, later];
}
