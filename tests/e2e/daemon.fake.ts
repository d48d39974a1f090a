import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingHttpHeaders, request } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export const ROOT = join(import.meta.dirname, "../..");
export const EXAMPLES = join(ROOT, "examples");

/** A folder of the test's own, gone with it. */
export function makeFolder(
  files: Readonly<Record<string, string>> = {},
): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "lambdad-e2e-"));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), text, { mode: text.startsWith("#!") ? 0o755 : 0o644 });
  }
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export async function run(
  command: string,
  args: readonly string[],
  options: {
    readonly env?: Readonly<Record<string, string>>;
    readonly cwd?: string;
    readonly input?: string;
  } = {},
): Promise<Ran> {
  const child = spawn(command, args, { cwd: options.cwd, env: { ...process.env, ...options.env } });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  // A program that does not read what it is given is no fault of the test's.
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input ?? "");
  const [code] = await once(child, "close");
  return { code, stdout, stderr };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface TestDaemon extends AsyncDisposable {
  readonly dataDir: string;
  readonly pid: number;
  readonly gatewayPort: number;
  readonly controlPort: number;
  readonly key: string;
  /** `lambda ARGS` against this daemon. */
  lambda(...args: string[]): Promise<Ran>;
  /** `lambda deploy`, which must succeed. */
  deploy(folder: string, name: string, ...flags: string[]): Promise<Ran>;
  /** A request to function `name` by its host. */
  call(name: string, path?: string, options?: CallOptions): Promise<Answer>;
  /** A request to the control API with the admin key, unless told otherwise. */
  control(
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Answer>;
  /** Ends the daemon as `signal` does; resolves with its exit code when it is gone. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  /** What the daemon has logged so far. */
  logged(): string;
}

export interface CallOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly signal?: AbortSignal;
}

/**
 * A daemon as users start it, on ports of its own; with `dataDir` on a folder that outlives it, with `root` from another
 * folder than the one that holds this file.
 */
export async function startDaemon(
  options: {
    readonly root?: string;
    readonly dataDir?: string;
    readonly flags?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  } = {},
): Promise<TestDaemon> {
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), "lambdad-e2e-data-"));
  const args = [
    "--data",
    dataDir,
    "--gateway",
    "127.0.0.1:0",
    "--control",
    "127.0.0.1:0",
    "--allow-unsandboxed",
  ];
  const child = spawn(join(options.root ?? ROOT, "bin/lambdad"), [...args, ...(options.flags ?? [])], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
  });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  const exited = once(child, "exit").then(([code]) => code as number | null);
  const [firstLine] = await Promise.race([
    once(child.stdout.setEncoding("utf8"), "data") as Promise<[string]>,
    exited.then((code): never => {
      throw new Error(`lambdad left with ${code}: ${log}`);
    }),
  ]);
  const ports = /^ready gateway=http:\/\/127\.0\.0\.1:(\d+) control=http:\/\/127\.0\.0\.1:(\d+)\n$/.exec(
    firstLine,
  );
  if (!ports) throw new Error(`unexpected first line: ${firstLine}`);
  const gatewayPort = Number(ports[1]);
  const controlPort = Number(ports[2]);
  const key = readFileSync(join(dataDir, "admin.key"), "utf8").trim();
  const env = { LAMBDA_SERVER: `http://127.0.0.1:${controlPort}`, LAMBDA_KEY: key, NO_COLOR: "1" };

  const daemon: TestDaemon = {
    dataDir,
    pid: child.pid ?? 0,
    gatewayPort,
    controlPort,
    key,
    lambda: (...args) => run(join(options.root ?? ROOT, "bin/lambda"), args, { env }),
    async deploy(folder, name, ...flags) {
      const ran = await daemon.lambda("deploy", folder, "--name", name, ...flags);
      if (ran.code !== 0) throw new Error(`lambda deploy left with ${ran.code}: ${ran.stderr}${ran.stdout}`);
      return ran;
    },
    call: (name, path = "/", options = {}) =>
      send(gatewayPort, path, {
        ...options,
        headers: { host: `${name}.localhost:${gatewayPort}`, ...options.headers },
      }),
    control: (method, path, body, headers = {}) =>
      send(controlPort, path, {
        method,
        headers: {
          authorization: `Bearer ${key}`,
          ...(body !== undefined && { "content-type": "application/json" }),
          ...headers,
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }),
    stop(signal = "SIGTERM") {
      child.kill(signal);
      return exited;
    },
    logged: () => log,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await exited;
      if (!options.dataDir) rmSync(dataDir, { recursive: true, force: true });
    },
  };
  return daemon;
}

/** One request on a connection of its own. */
export function send(port: number, path: string, options: CallOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = options.body === undefined ? "GET" : "POST", headers, body, signal } = options;
    const sent = request(
      {
        host: "127.0.0.1",
        port,
        path,
        method,
        agent: false,
        ...(headers && { headers }),
        ...(signal && { signal }),
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        );
        response.on("error", reject);
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Instances of a function that serve a call now. */
export async function busyInstances(daemon: TestDaemon, name: string): Promise<number> {
  return JSON.parse((await daemon.control("GET", `/v1/functions/${name}`)).text).instances.busy;
}

/** Asks until `isTrue`; fails after `withinMs`. */
export async function until(isTrue: () => boolean | Promise<boolean>, withinMs = 60_000): Promise<void> {
  const endAt = performance.now() + withinMs;
  while (!(await isTrue())) {
    if (performance.now() > endAt) throw new Error(`still not true after ${withinMs} ms: ${isTrue}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A copy of an example that may be changed. */
export function copyOfExample(name: string): Disposable & { readonly path: string } {
  const folder = makeFolder();
  cpSync(join(EXAMPLES, name), folder.path, { recursive: true });
  return folder;
}

/** Processes whose command line or environment has `text` in it. */
export function processesWith(text: string): number[] {
  const { readdirSync } = process.getBuiltinModule("node:fs");
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text) ||
          readFileSync(`/proc/${pid}/environ`, "utf8").includes(text)
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Why a test must be skipped, or false; with REQUIRE_ALL it never is. */
export function skipWithout(tool: string, isThere: boolean): string | false {
  if (isThere || process.env.REQUIRE_ALL === "1") return false;
  return `${tool} is not installed`;
}
