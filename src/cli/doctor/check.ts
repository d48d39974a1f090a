import { execFile } from "node:child_process";

/**
 * One thing about this machine. `ok` works; `weak`: functions run, less protected or soon not; `missing`: functions
 * cannot run as they should; `absent`: is not there and is not needed.
 */
export interface Check {
  readonly name: string;
  readonly status: "ok" | "weak" | "missing" | "absent";
  /** What was found. */
  readonly found: string;
  /** What mends it; undefined where nothing needs to be. */
  readonly remedy: string | undefined;
}

export interface Ran {
  /** Null when it could not be started or did not end in time. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** `ENOENT` when there is no such program. */
  readonly failure: string | undefined;
}

const RUN_MS_MAX = 10_000;

/** Runs a probe to its end. Never rejects: how it failed is what a probe is for. */
export function runProbe(
  command: readonly [string, ...string[]],
  options: { readonly env: NodeJS.ProcessEnv; readonly signal: AbortSignal },
): Promise<Ran> {
  const [program, ...args] = command;
  return new Promise((resolve) => {
    const child = execFile(
      program,
      args,
      { env: options.env, timeout: RUN_MS_MAX, killSignal: "SIGKILL", signal: options.signal },
      (error, stdout, stderr) => {
        const code: unknown = error?.code ?? 0;
        resolve({
          exitCode: typeof code === "number" ? code : null,
          stdout: stdout.trim(),
          stderr: stderr.trim(),
          failure: typeof code === "string" ? code : undefined,
        });
      },
    );
    child.stdin?.end();
  });
}
