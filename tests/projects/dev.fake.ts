import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { type Answer, type CallOptions, ROOT, send } from "../e2e/daemon.fake.ts";

const WAIT_MS_MAX = 60_000;

/** One of the lines that `lambda dev --json` prints. */
export type DevLine = Readonly<Record<string, unknown>> & { readonly type: string };

/** `lambda dev` on a folder, as a user without a terminal runs it. */
export interface TestDev extends AsyncDisposable {
  readonly child: ChildProcess;
  /** The line that said `ready`. */
  readonly ready: DevLine;
  readonly lines: readonly DevLine[];
  /** The first line from number `from` on that fits; fails after a minute, telling what there was. */
  line(fits: (line: DevLine) => boolean, from?: number): Promise<DevLine>;
  /** A request to a function by its host. */
  call(name: string, path?: string, options?: CallOptions): Promise<Answer>;
  /** Its exit code once it has ended. */
  readonly exited: Promise<number | null>;
}

export async function startDev(folder: string, ...flags: string[]): Promise<TestDev> {
  const child = spawn(join(ROOT, "bin/lambda"), ["--json", "dev", folder, "--port", "0", ...flags], {
    env: { ...process.env, HOME: folder },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: DevLine[] = [];
  let rest = "";
  let errors = "";
  let wake: (() => void) | undefined;
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    lines.push(...parts.map((part) => JSON.parse(part)));
    wake?.();
  });
  const exited = once(child, "close").then(([code]) => {
    wake?.();
    return code;
  });
  const line: TestDev["line"] = async (fits, from = 0) => {
    const deadline = AbortSignal.timeout(WAIT_MS_MAX);
    for (;;) {
      const found = lines.slice(from).find(fits);
      if (found) return found;
      if (deadline.aborted || child.exitCode !== null)
        throw new Error(`no such line:\n${lines.map((each) => JSON.stringify(each)).join("\n")}\n${errors}`);
      await new Promise<void>((resolve) => {
        wake = resolve;
        deadline.addEventListener("abort", () => resolve());
      });
    }
  };
  const ready = await line(({ type }) => type === "ready");
  const port = Number(new URL(String(ready.gateway)).port);
  return {
    child,
    ready,
    lines,
    line,
    exited,
    call: (name, path = "/", options = {}) =>
      send(port, path, { ...options, headers: { host: `${name}.localhost:${port}`, ...options.headers } }),
    async [Symbol.asyncDispose]() {
      child.kill("SIGINT");
      await exited;
    },
  };
}
