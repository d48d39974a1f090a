/**
 * What makes functions stop at breakpoints. Node is told to open its inspector by NODE_OPTIONS. Python has none of its own:
 * a module is put beside the handler that opens debugpy, if that is installed, and then hands calls on.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TIMEOUT_MS_MAX } from "../../core/limits.ts";
import type { PackagedFile } from "../package-folder.ts";
import { type DebugRelay, openDebugRelay } from "./debug-relay.ts";
import type { DevFunction } from "./dev-function.ts";
import { detect } from "./function-folder.ts";
import type { Prepared } from "./release-loop.ts";

export interface DevDebug extends AsyncDisposable {
  prepare(each: DevFunction): Promise<Prepared>;
  /** A line that a function has logged; what it says of a debugger is answered for people. */
  heard(name: string, line: string): string | undefined;
  /** Without the lines that are said with every debugger that is opened. */
  withoutChatter(text: string): string;
}

const CHATTER =
  /^\s*(?:Debugger (?:listening on ws:|attached|ending)|For help, see: https:\/\/nodejs\.org|Waiting for the debugger to disconnect|lambda dev: debugpy listens)/;

const PYTHON_MODULE = "lambda_dev_debug";

const PYTHON = `"""Put here by lambda dev: opens a debugger, then hands calls on."""

import importlib
import os
import sys

sys.path.insert(0, os.getcwd())
try:
    import debugpy

    _, port = debugpy.listen(("127.0.0.1", 0))
    print(f"lambda dev: debugpy listens on {port}", file=sys.stderr, flush=True)
except ImportError:
    print("lambda dev: debugpy is not installed", file=sys.stderr, flush=True)

_module, _name = os.environ["LAMBDA_DEV_HANDLER"].replace("/", ".").rsplit(".", 1)
handler = getattr(importlib.import_module(_module), _name)
`;

/** @param firstPort of those that debuggers attach to; each function takes the next that is free */
export async function openDevDebug(firstPort: number): Promise<DevDebug> {
  const dir = await mkdtemp(join(tmpdir(), `lambda-dev-${process.pid}-`));
  const source = join(dir, `${PYTHON_MODULE}.py`);
  await writeFile(source, PYTHON);
  const python: PackagedFile = {
    path: `${PYTHON_MODULE}.py`,
    source,
    bytes: Buffer.byteLength(PYTHON),
    isExecutable: false,
  };
  const relays = new Map<string, { readonly opened: Promise<DebugRelay> }>();
  const ports = new Map<string, number>();
  let nextPort = firstPort;
  // One after the other, so that each finds the next port.
  let last: Promise<unknown> = Promise.resolve();
  const relayOf = (name: string): Promise<DebugRelay> => {
    const before = relays.get(name);
    if (before) return before.opened;
    const opened = last.then(async () => {
      const relay = await openDebugRelay(nextPort);
      nextPort = relay.port + 1;
      ports.set(name, relay.port);
      return relay;
    });
    last = opened.catch(() => undefined);
    relays.set(name, { opened });
    return opened;
  };

  return {
    async prepare(each) {
      // Before anything is waited for, so that ports are in the order of the functions.
      const relay = relayOf(each.name);
      // Who looks at a breakpoint has time.
      const config = { timeoutMs: TIMEOUT_MS_MAX, ...each.config };
      const entry = await detect(each.folder);
      const handler = each.build.handler ?? (entry?.kind === "handler" ? entry.handler : undefined);
      const isPython = typeof handler === "string" && (await isPythonHandler(each, handler));
      await relay;
      if (!isPython) {
        const options = [each.environment.NODE_OPTIONS, "--inspect=127.0.0.1:0"].filter(Boolean).join(" ");
        return {
          function: { ...each, config, environment: { ...each.environment, NODE_OPTIONS: options } },
          files: [],
        };
      }
      return {
        function: {
          ...each,
          config,
          build: { ...each.build, handler: `${PYTHON_MODULE}.handler` },
          environment: {
            PYDEVD_DISABLE_FILE_VALIDATION: "1",
            ...each.environment,
            LAMBDA_DEV_HANDLER: handler,
          },
        },
        files: [python],
      };
    },
    heard(name, line) {
      const port =
        /Debugger listening on ws:\/\/127\.0\.0\.1:(\d+)\//.exec(line)?.[1] ??
        /lambda dev: debugpy listens on (\d+)/.exec(line)?.[1];
      if (port !== undefined) {
        void relays.get(name)?.opened.then((relay) => relay.aim(Number(port)));
        return `debugger: attach to 127.0.0.1:${ports.get(name)}`;
      }
      if (line.includes("lambda dev: debugpy is not installed"))
        return "debugger: Python needs debugpy: pip install debugpy, or put it into requirements.txt";
      return undefined;
    },
    withoutChatter: (text) =>
      text
        .split("\n")
        .filter((line) => !CHATTER.test(line))
        .join("\n"),
    async [Symbol.asyncDispose]() {
      for (const relay of await Promise.allSettled([...relays.values()].map(({ opened }) => opened)))
        if (relay.status === "fulfilled") relay.value[Symbol.dispose]();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function isPythonHandler(each: DevFunction, handler: string): Promise<boolean> {
  if (typeof each.build.runtime === "string") return each.build.runtime.startsWith("python");
  const { isFile } = await import("./function-folder.ts");
  const module = handler.slice(0, handler.lastIndexOf(".")).replaceAll(".", "/");
  return (
    (await isFile(join(each.folder, `${module}.py`))) ||
    (await isFile(join(each.folder, module, "__init__.py")))
  );
}
