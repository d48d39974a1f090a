import assert from "node:assert/strict";
import type { Version } from "../../core/function.ts";
import { RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import type { SandboxLaunch, SandboxPlaces } from "../../sandbox/driver.ts";
import type { ResolvedRuntime } from "../protocol.ts";
import type { Specialisation } from "./frames.ts";

/** In `Sandbox.socketDir`; short, since a Unix socket's whole path may have 107 bytes. */
export const SOCKET_NAME = "runtime";

/** What the loader or the interpreter reads before our first line runs; all else comes with the specialisation. */
const READ_AT_START =
  /^(PATH|HOME|TMPDIR|TZ|TZDIR|LANG|LANGUAGE|LC_.*|LD_.*|GLIBC_TUNABLES|MALLOC_.*|NODE_.*|UV_.*|PYTHON.*|SSL_CERT_.*|OPENSSL_.*)$/;

/** How a managed runtime is started, generic, and what makes it one function's. */
export function managedLaunch(
  version: Version,
  runtime: ResolvedRuntime,
  places: SandboxPlaces,
  environment: Readonly<Record<string, string>>,
): { readonly launch: SandboxLaunch; readonly specialisation: Specialisation } {
  const { config } = version;
  assert.ok(config.entry.kind === "handler", "only handlers run in a managed runtime");
  assert.ok(runtime.interpreter, `${config.runtime} needs an interpreter`);
  const isPython = config.runtime.startsWith("python");
  const whole = {
    ...(isPython ? PYTHON_DEFAULTS : nodeDefaults(config.runtime, places)),
    ...environment,
    LAMBDA_TASK_ROOT: places.codeDir,
    LAMBDA_RUNTIME_DIR: places.runtimeDir,
    _HANDLER: config.entry.handler,
    PWD: places.codeDir,
  };
  const [atStart, later] = split(whole);
  const program = isPython
    ? [...PYTHON_FLAGS, `${places.runtimeDir}/main.py`]
    : [...nodeFlags(config.memoryMib), `${places.runtimeDir}/main.cjs`];
  return {
    launch: {
      command: [runtime.interpreter, ...program],
      environment: {
        ...atStart,
        _LAMBDAD_SOCKET: `${places.socketDir}/${SOCKET_NAME}`,
        _LAMBDA_TELEMETRY_LOG_FD: "3",
      },
      workingDir: places.codeDir,
    },
    specialisation: {
      handler: config.entry.handler,
      taskRoot: places.codeDir,
      runtime: config.runtime,
      environment: later,
      responseBytesMax: RESPONSE_BYTES_MAX,
    },
  };
}

/** The heap stays under the sandbox's limit, so that the collector works harder before the kernel kills. */
function nodeFlags(memoryMib: number): readonly string[] {
  return [`--max-old-space-size=${Math.floor(memoryMib * 0.9)}`];
}

/** Where Lambda looks for packages besides the code; our runtime brings none. */
function nodeDefaults(runtime: string, places: SandboxPlaces): Readonly<Record<string, string>> {
  const major = /^nodejs(\d+)/.exec(runtime)?.[1] ?? "";
  return { NODE_PATH: `/opt/nodejs/node${major}/node_modules:/opt/nodejs/node_modules:${places.codeDir}` };
}

/**
 * `-S`: the `site` module costs as much as the rest of the start and far more where site-packages holds `.pth` files;
 * the runtime adds the folders itself. `-B`: code trees are immutable, also where no sandbox makes them so.
 */
const PYTHON_FLAGS = ["-S", "-B"];

const PYTHON_DEFAULTS: Readonly<Record<string, string>> = { LC_CTYPE: "C.UTF-8" };

function split(whole: Readonly<Record<string, string>>): [Record<string, string>, Record<string, string>] {
  const atStart: Record<string, string> = {};
  const later: Record<string, string> = {};
  for (const [name, value] of Object.entries(whole)) {
    if (READ_AT_START.test(name)) atStart[name] = value;
    else later[name] = value;
  }
  return [atStart, later];
}
