import { homedir } from "node:os";
import type { Readable, Writable } from "node:stream";

/** What the CLI gets from its process; tests hand in their own. */
export interface Host {
  /** Without node and script. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly workingDir: string;
  readonly homeDir: string;
  readonly isRoot: boolean;
  readonly stdin: TerminalReadable;
  readonly stdout: TerminalWritable;
  readonly stderr: TerminalWritable;
  /** Aborts with `Interrupted` on Ctrl-C, and with `OutputClosed` when nobody reads stdout any more. */
  readonly signal: AbortSignal;
  /** Has `end` called when the process is asked to end by SIGTERM or SIGHUP, which otherwise end it at once. */
  onEnd(end: () => void): void;
}

export type TerminalReadable = Readable & { readonly isTTY?: boolean };
export type TerminalWritable = Writable & { readonly isTTY?: boolean };

export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** The reader of stdout has had enough (`lambda logs x | head`): the end of the work, not a failure. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

/** The real one. */
export function processHost(): Host {
  const controller = new AbortController();
  process.once("SIGINT", () => {
    controller.abort(new Interrupted("interrupted"));
    // Whoever presses twice does not want to wait for a tidy end.
    process.once("SIGINT", () => process.exit(130));
  });
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      controller.abort(new OutputClosed("nobody reads the output"));
    });
  }
  return {
    argv: process.argv.slice(2),
    env: process.env,
    workingDir: process.cwd(),
    homeDir: homedir(),
    isRoot: process.getuid?.() === 0,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: controller.signal,
    onEnd(end) {
      for (const name of ["SIGTERM", "SIGHUP"]) process.once(name, end);
    },
  };
}
