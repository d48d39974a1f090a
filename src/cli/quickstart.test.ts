import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const QUICKSTART = fileURLToPath(new URL("../../bin/quickstart.mjs", import.meta.url));
const UP_MS_MAX = 120_000;

interface Quickstart {
  readonly process: ChildProcess;
  /** What it has said so far. */
  said(): string;
  /** Resolves once it has said so. */
  until(text: RegExp): Promise<RegExpExecArray>;
}

describe("npm run quickstart", () => {
  let dir: string;
  let running: ChildProcess[];
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "quickstart-"));
    running = [];
  });
  afterEach(async () => {
    for (const each of running) {
      if (each.exitCode === null && each.signalCode === null) {
        each.kill("SIGTERM");
        await once(each, "exit");
      }
    }
    await rm(dir, { recursive: true, force: true });
  });

  /** With only these programs on PATH, so that the examples that need others are skipped wherever this runs. */
  async function start(args: readonly string[], programs: readonly string[]): Promise<Quickstart> {
    const bin = join(dir, "bin");
    await mkdir(bin);
    for (const program of ["sh", "grep", "readlink", "true", ...programs]) {
      const found = findOnPath(program);
      if (found !== undefined) await symlink(found, join(bin, program));
    }
    const child = spawn(process.execPath, [QUICKSTART, "--data", join(dir, "data"), ...args], {
      env: { PATH: bin, HOME: dir, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    running.push(child);
    let text = "";
    const waiting = new Set<() => void>();
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
      for (const look of waiting) look();
    });
    return {
      process: child,
      said: () => text,
      until: (pattern) =>
        new Promise((resolve, reject) => {
          const timer = setTimeout(() => reject(new Error(`${pattern} was not said: ${text}`)), UP_MS_MAX);
          const look = () => {
            const match = pattern.exec(text);
            if (!match) return;
            clearTimeout(timer);
            waiting.delete(look);
            resolve(match);
          };
          waiting.add(look);
          look();
        }),
    };
  }

  it("deploys and calls every example that can run here, says which cannot, and ends with 0", async () => {
    const quickstart = await start(["--once"], ["bwrap", "setpriv", "tr"]);
    const [exitCode] = await once(quickstart.process, "close");
    const said = quickstart.said();
    assert.equal(exitCode, 0, said);
    assert.equal(said.match(/→ \{"message":"Hello, World!"\}/g)?.length, 2, said);
    assert.match(said, /→ FROM HTTP/);
    assert.match(said, /hello-go {2}handler, Go\n {2}skipped: go is not installed/);
    assert.match(said, /hello-shell .*\n {2}skipped: curl is not installed/);
  });

  it("steps over a port that is taken, warns where nothing isolates, and stops at Ctrl-C", async () => {
    await using _taken = await take(8080);
    const quickstart = await start([], ["setpriv", "tr"]);
    const [, gateway = "", port = ""] = await quickstart.until(/functions at (http:\/\/127\.0\.0\.1:(\d+))/);
    assert.notEqual(port, "8080");
    await quickstart.until(/Ctrl-C stops it/);
    quickstart.process.kill("SIGINT");
    assert.deepEqual(await once(quickstart.process, "close"), [0, null]);
    assert.match(quickstart.said(), /^port 8080 is taken: using \d+\n/);
    assert.match(quickstart.said(), /warning: this machine cannot isolate functions/);
    assert.equal(await isListening(gateway), false);
  });

  it("takes the daemon along when it is killed", async () => {
    const quickstart = await start([], ["bwrap", "setpriv"]);
    const [, gateway = ""] = await quickstart.until(/functions at (\S+),/);
    quickstart.process.kill("SIGKILL");
    await once(quickstart.process, "close");
    const giveUpAt = Date.now() + 10_000;
    while ((await isListening(gateway)) && Date.now() < giveUpAt);
    assert.equal(await isListening(gateway), false);
  });
});

/** Holds a port, unless somebody else does already. */
async function take(port: number): Promise<AsyncDisposable> {
  const server = createServer((socket) => socket.destroy());
  const taken = new Promise((resolve) => {
    server.once("listening", resolve);
    server.once("error", resolve);
  });
  server.listen(port, "127.0.0.1");
  await taken;
  return {
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function isListening(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

function findOnPath(program: string): string | undefined {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false; // Not here: the next folder may have it.
      }
    });
}
