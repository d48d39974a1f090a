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
  /** On a terminal, where `answer` is typed once the command asks `[y/N]`. What it prints is all in `stdout`. Needs python3. */
  runAtTerminal(args: readonly string[], answer: string): Promise<Ran>;
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

const TERMINAL = `
import os, pty, sys
answer = sys.argv[1].encode()
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen = b""
while True:
    try:
        read = os.read(fd, 65536)
    except OSError:
        break
    if not read:
        break
    seen += read
    if answer and b"[y/N]" in seen:
        os.write(fd, answer)
        answer = b""
sys.stdout.write(seen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

export const LAMBDA = fileURLToPath(new URL("../../bin/lambda", import.meta.url));

export async function openLambda(server: string): Promise<LambdaProcess> {
  const dir = await mkdtemp(join(tmpdir(), "lambda-cli-"));
  const env = {
    PATH: process.env.PATH ?? "",
    HOME: join(dir, "home"),
    LAMBDA_SERVER: server,
    LAMBDA_KEY: "LKTEST.s3cret",
    TZ: "UTC",
  };
  return {
    dir,
    run: (args, options = {}) =>
      runToEnd(LAMBDA, args, { cwd: dir, env: { ...env, ...options.env }, input: options.input }),
    runAtTerminal: (args, answer) =>
      runToEnd("python3", ["-c", TERMINAL, answer, LAMBDA, ...args], { cwd: dir, env, input: undefined }),
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
