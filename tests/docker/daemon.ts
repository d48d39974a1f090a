import { spawn } from "node:child_process";
import { once } from "node:events";
import { chown, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestUser } from "./other-engines.ts";

const ROOT = join(import.meta.dirname, "../..");

export interface Daemon extends AsyncDisposable {
  readonly gateway: string;
  readonly control: string;
  readonly dir: string;
  readonly pid: number;
  /** The command line against this daemon. */
  lambda(
    ...args: readonly string[]
  ): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }>;
  /** The same without waiting for its end. */
  startLambda(...args: readonly string[]): ReturnType<typeof spawn>;
  /** Calls a function by path. */
  call(name: string, init?: RequestInit & { readonly path?: string }): Promise<Response>;
  kill(): Promise<void>;
}

/** A daemon with its own data folder, against the engine of that socket; run by `user`, if there is one. */
export async function startDaemon(
  socketPath: string,
  keep?: string,
  flags: readonly string[] = [],
  user?: TestUser,
  environment: Readonly<Record<string, string>> = {},
): Promise<Daemon> {
  const dir = keep ?? (await mkdtemp(join(tmpdir(), "lambdad-docker-")));
  if (user) await chown(dir, user.uid, user.uid);
  const become = user ? [...user.become, `DOCKER_HOST=unix://${socketPath}`] : [];
  const [program = "", ...args] = [
    ...become,
    join(user?.repository ?? ROOT, "bin/lambdad"),
    ...["--data", dir, "--gateway", "127.0.0.1:0", "--control", "127.0.0.1:0", ...flags],
  ];
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, DOCKER_HOST: `unix://${socketPath}`, ...environment },
  });
  const exited = once(child, "exit");
  const ready = await new Promise<string>((resolve, reject) => {
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("\n")) resolve(said);
    });
    void exited.then(() => reject(new Error(`lambdad ended: ${said}`)));
  });
  const [, gateway = "", control = ""] = /gateway=(\S+) control=(\S+)/.exec(ready) ?? [];
  const clientEnvironment = {
    ...process.env,
    LAMBDA_SERVER: control,
    LAMBDA_KEY: (await readFile(join(dir, "admin.key"), "utf8")).trim(),
  };
  const startLambda = (...args: readonly string[]) =>
    spawn(join(ROOT, "bin/lambda"), [...args], { stdio: ["ignore", "pipe", "pipe"], env: clientEnvironment });
  return {
    gateway,
    control,
    dir,
    pid: child.pid ?? 0,
    startLambda,
    async lambda(...args) {
      const running = startLambda(...args);
      let stdout = "";
      let stderr = "";
      running.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text));
      running.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text));
      const [exitCode] = await once(running, "close");
      return { exitCode: Number(exitCode), stdout, stderr };
    },
    call: (name, init = {}) => fetch(`${gateway}/${name}${init.path ?? ""}`, init),
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await exited;
      if (keep === undefined) await rm(dir, { recursive: true, force: true });
    },
  };
}
