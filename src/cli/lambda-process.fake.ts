import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

/** The real `bin/lambda`, run as a user would, in a folder and a home of its own. */
export interface LambdaProcess extends AsyncDisposable {
  /** Working directory; `home` below it is the user's. */
  readonly dir: string;
  run(args: readonly string[], options?: RunOptions): Promise<Ran>;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** What is piped in; without it stdin is /dev/null. */
  readonly input?: string;
}

export interface Ran {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export const LAMBDA = fileURLToPath(new URL("../../bin/lambda", import.meta.url));

export async function openLambda(server: string): Promise<LambdaProcess> {
  const dir = await mkdtemp(join(tmpdir(), "lambda-cli-"));
  return {
    dir,
    run: (args, options = {}) =>
      runToEnd(LAMBDA, args, {
        cwd: dir,
        env: {
          PATH: process.env.PATH ?? "",
          HOME: join(dir, "home"),
          LAMBDA_SERVER: server,
          LAMBDA_KEY: "LKTEST.s3cret",
          TZ: "UTC",
          ...options.env,
        },
        input: options.input,
      }),
    async [Symbol.asyncDispose]() {
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function runToEnd(
  program: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env: Record<string, string>; readonly input: string | undefined },
): Promise<Ran> {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: options.env,
    stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
  });
  child.stdin?.end(options.input);
  const [stdout, stderr, [exitCode]] = await Promise.all([
    child.stdout === null ? "" : text(child.stdout),
    child.stderr === null ? "" : text(child.stderr),
    once(child, "close"),
  ]);
  return { exitCode, stdout, stderr };
}
