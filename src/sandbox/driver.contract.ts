import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleepFor } from "node:timers/promises";
import { isPlatformError } from "../core/errors.ts";
import type { Driver, Sandbox, SandboxPlaces, SandboxSpec } from "./driver.ts";
import { PATH, specOf } from "./sandbox-spec.fake.ts";

/** Promises that some hosts cannot keep; a driver that does not says why. */
export type OptionalPromise =
  | "exact environment"
  | "read-only code"
  | "tmp quota"
  | "memory limit"
  | "memory trace"
  | "process limit"
  | "signals from inside"
  | "telemetry"
  | "network none"
  | "sockets in network none";

export interface DriverUnderTest {
  readonly open: (runDir: string) => Promise<Driver>;
  /** Why the whole suite cannot run here; undefined if it can. */
  readonly skip?: string | undefined;
  readonly exceptions?: Partial<Readonly<Record<OptionalPromise, string>>>;
  /** How long killing all that is in a sandbox may take, if not a second: an engine does it when it comes to it. */
  readonly goneMsMax?: number;
}

const NEVER = new AbortController().signal;
const GONE_MS_MAX = 1_000;

/** Every promise of driver.ts. Programs are shell scripts, in a code folder with the file `hello`. */
export function describeDriver(name: string, subject: DriverUnderTest): void {
  const goneMsMax = subject.goneMsMax ?? GONE_MS_MAX;
  describe(`driver ${name}`, { skip: subject.skip ?? false }, () => {
    let folder = "";
    let driver: Driver;

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "sb-"));
      await mkdir(join(folder, "code"), { mode: 0o755 });
      await writeFile(join(folder, "code", "hello"), "from the code folder\n", { mode: 0o644 });
      driver = await subject.open(join(folder, "run"));
    });

    after(async () => {
      await driver[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    });

    const specOfScript = (script: string, changes: Partial<SandboxSpec> = {}) =>
      specOf(join(folder, "code"), script, changes);
    const start = async (script: string, changes: Partial<SandboxSpec> = {}) =>
      watch(await driver.start(specOfScript(script, changes), { signal: NEVER }));
    const run = async (script: string, changes: Partial<SandboxSpec> = {}) => {
      const { sandbox, stdout, stderr } = await start(script, changes);
      const exit = await sandbox.exited;
      await sandbox[Symbol.asyncDispose]();
      return { exit, stdout: await stdout, stderr: await stderr };
    };
    // What the adapter says it cannot keep, and why, stands in its own test; it is no test that is left out.
    const promise = (keyword: OptionalPromise, sentence: string, test: () => Promise<void>) => {
      if (subject.exceptions?.[keyword] === undefined) it(sentence, test);
    };

    describe("what a program finds", () => {
      it("is its code, its folder and its output", async () => {
        const { exit, stdout } = await run("cat hello; pwd");
        assert.equal(exit.exitCode, 0);
        assert.match(stdout, /^from the code folder\n\/.*\n$/);
      });

      promise("exact environment", "is exactly the environment it was given", async () => {
        const environment = {
          PATH,
          EMPTY: "",
          LD_LIBRARY_PATH: "/var/task/lib",
          MULTI: "a b\n'c' \"d\" $e \\",
          "with.dot": "ü",
        };
        const { stdout } = await run("", {
          launch: (places) => ({ command: ["env", "-0"], environment, workingDir: places.codeDir }),
        });
        assert.deepEqual(
          stdout
            .split("\0")
            .filter((entry) => entry !== "")
            .sort(),
          Object.entries(environment)
            .map(([key, value]) => `${key}=${value}`)
            .sort(),
        );
      });

      promise("read-only code", "cannot be changed: code and system are read-only", async () => {
        const { stdout } = await run(
          "for at in . / /usr /etc /var /dev; do (: > $at/x) 2>/dev/null && echo $at; done; (echo >> hello) 2>/dev/null && echo hello; echo end",
        );
        assert.equal(stdout, "end\n");
      });

      promise("tmp quota", "is a temporary folder of the size that was asked for", async () => {
        const { exit, stdout, stderr } = await run(
          "cd /tmp; dd if=/dev/zero of=a bs=1M count=4 && dd if=/dev/zero of=b bs=1M count=8; ls -l a | wc -l",
        );
        assert.equal(exit.exitCode, 0);
        assert.equal(stdout, "1\n");
        assert.match(stderr, /No space left on device/);
      });

      it("is a folder with the daemon's sockets, which it can connect to", async () => {
        const served = Promise.withResolvers<string>();
        let places: SandboxPlaces | undefined;
        const { sandbox } = await start("read line", {
          hasInput: true,
          launch: (found) => {
            places = found;
            return {
              command: ["sh", "-c", SOCKET_CLIENT],
              environment: { PATH, SOCKET: `${found.socketDir}/a` },
              workingDir: "/",
            };
          },
        });
        const server = createServer((socket) => socket.setEncoding("utf8").once("data", served.resolve));
        server.listen({ path: join(sandbox.socketDir, "a"), writableAll: true, readableAll: true });
        await once(server, "listening");
        sandbox.stdin?.end("go\n");
        const said = await Promise.race([
          served.promise,
          sandbox.exited.then((exit) => JSON.stringify(exit)),
        ]);
        assert.equal(said, "hello");
        assert.ok(places?.socketDir.startsWith("/"));
        server.close();
        await sandbox[Symbol.asyncDispose]();
      });
    });

    describe("output", () => {
      it("goes through a pipe that can be opened by name", async () => {
        const { stdout, stderr } = await run("echo one > /dev/stdout; echo two > /dev/stderr");
        assert.deepEqual([stdout, stderr], ["one\n", "two\n"]);
      });

      it("is complete after the exit", async () => {
        const { stdout } = await run("head -c 1048576 /dev/zero; echo end >&2");
        assert.equal(stdout.length, 1_048_576);
      });

      promise("signals from inside", "keeps the last lines before a program is killed", async () => {
        const { exit, stdout } = await run("echo last words; kill -9 $$");
        assert.equal(stdout, "last words\n");
        assert.deepEqual({ ...exit }, { exitCode: null, signal: "SIGKILL", outOfMemory: false });
      });

      it("ends even if a child keeps the pipe open", async () => {
        const { stdout } = await run("(sleep 1000) & echo done");
        assert.equal(stdout, "done\n");
      });

      promise("telemetry", "has a third stream for framed records", async () => {
        const { sandbox, telemetry } = await start("printf frame >&3");
        await sandbox.exited;
        assert.equal(await telemetry, "frame");
        await sandbox[Symbol.asyncDispose]();
      });

      it("waits for a reader instead of growing", async () => {
        const sandbox = await driver.start(specOfScript("yes | head -c 4000000; echo finished >&2"), {
          signal: NEVER,
        });
        sandbox.telemetry.resume();
        const stderr = text(sandbox.stderr);
        await once(sandbox.stdout, "readable");
        assert.ok(sandbox.stdout.readableLength <= 262_144);
        const [stdout] = await Promise.all([text(sandbox.stdout), sandbox.exited]);
        assert.equal(stdout.length, 4_000_000);
        assert.equal(await stderr, "finished\n");
        await sandbox[Symbol.asyncDispose]();
      });
    });

    describe("input", () => {
      it("reaches the program, and so does its end", async () => {
        const { sandbox, stdout } = await start("wc -c; echo over", { hasInput: true });
        sandbox.stdin?.end(Buffer.alloc(300_000, "x"));
        await sandbox.exited;
        assert.match(await stdout, /300000\s+over/);
        await sandbox[Symbol.asyncDispose]();
      });

      it("is empty when it was not asked for", async () => {
        const { exit, stdout } = await run("cat; echo over");
        assert.deepEqual([exit.exitCode, stdout], [0, "over\n"]);
      });

      it("may be written to a program that does not read it", async () => {
        const { sandbox } = await start("exit 3", { hasInput: true });
        sandbox.stdin?.end(Buffer.alloc(300_000));
        assert.equal((await sandbox.exited).exitCode, 3);
        await sandbox[Symbol.asyncDispose]();
      });
    });

    describe("the end", () => {
      it("tells the exit code", async () => {
        const { exit } = await run("exit 42");
        assert.deepEqual({ ...exit }, { exitCode: 42, signal: null, outOfMemory: false });
      });

      for (const [what, script] of [
        ["a program that ignores SIGTERM", `trap "" TERM HUP INT; echo up; sleep TOKEN`],
        [
          "children that left their parent and its session",
          "setsid sh -c '(sleep TOKEN &) & sleep TOKEN' & echo up; wait",
        ],
        [
          "children of a parent that has exited",
          "setsid sleep TOKEN & (setsid sleep TOKEN &) & sleep 0.1; echo up",
        ],
      ] as const) {
        it(`takes ${what} along in time`, async () => {
          const token = newToken();
          const { sandbox } = await start(script.replaceAll("TOKEN", token));
          await once(sandbox.stdout, "data");
          const startedAt = performance.now();
          await sandbox[Symbol.asyncDispose]();
          assert.ok(performance.now() - startedAt < goneMsMax);
          assert.deepEqual(await processesWith(token), []);
        });
      }

      it("comes only when the children are gone, too", async () => {
        const token = newToken();
        const { sandbox } = await start(`setsid sleep ${token} & exit 0`);
        await sandbox.exited;
        assert.deepEqual(await processesWith(token), []);
        await sandbox[Symbol.asyncDispose]();
      });

      it("can be asked for twice, and after the exit", async () => {
        const { sandbox } = await start("sleep 1000");
        await Promise.all([sandbox[Symbol.asyncDispose](), sandbox[Symbol.asyncDispose]()]);
        await sandbox[Symbol.asyncDispose]();
        const { sandbox: other } = await start("true");
        await other.exited;
        await other[Symbol.asyncDispose]();
        assert.equal((await sandbox.exited).signal, "SIGKILL");
      });

      it("frees the folder of its sockets", async () => {
        const { sandbox } = await start("sleep 1000");
        await sandbox[Symbol.asyncDispose]();
        await assert.rejects(readdir(sandbox.socketDir), { code: "ENOENT" });
      });
    });

    describe("limits", () => {
      promise("memory limit", "kill a program that takes more memory than it may", async () => {
        const { exit } = await run("head -c 400000000 /dev/zero | tail", { memoryMib: 128 });
        assert.equal(exit.outOfMemory, true);
      });

      promise("memory trace", "leave a trace of what was used", async () => {
        const { sandbox } = await start("head -c 40000000 /dev/zero | tail | wc -c");
        await sandbox.exited;
        const peak = sandbox.memoryPeakMib();
        assert.ok(peak >= 38 && peak <= 128, `${peak} MiB`);
        assert.ok(sandbox.memoryUsedMib() >= peak);
        await sandbox[Symbol.asyncDispose]();
      });

      promise("process limit", "stop a program that forks without end", async () => {
        const { sandbox, stderr } = await start("bomb() { bomb | bomb & }; bomb; sleep 1000", {
          pidsMax: 30,
        });
        await untilSaid(sandbox.stderr, /fork/i);
        const startedAt = performance.now();
        await sandbox[Symbol.asyncDispose]();
        assert.ok(performance.now() - startedAt < goneMsMax);
        assert.match(await stderr, /fork/i);
      });
    });

    describe("a start that fails", () => {
      for (const [what, command] of [
        ["a program that is not on the PATH", "no-such-program"],
        ["a program that is not in the code", "./no-such-program"],
        ["a file that is no program", "./hello"],
        ["a folder", "/usr"],
      ] as const) {
        it(`says so for ${what}`, async () => {
          const spec = specOfScript("", {
            launch: (places) => ({ command: [command], environment: { PATH }, workingDir: places.codeDir }),
          });
          await assert.rejects(driver.start(spec, { signal: NEVER }), (error) => {
            assert.ok(isPlatformError(error, "SandboxStartFailed"));
            assert.match(error.message, new RegExp(`cannot start .*${command.replace("./", "")}`));
            return true;
          });
        });
      }

      it("passes on what launch throws", async () => {
        const reason = new Error("no bootstrap");
        const spec = specOfScript("", {
          launch: () => {
            throw reason;
          },
        });
        await assert.rejects(driver.start(spec, { signal: NEVER }), reason);
      });

      it("refuses text that could pass for several arguments", async () => {
        const spec = specOfScript("", {
          launch: () => ({
            command: ["true"],
            environment: { PATH, A: "x\0--bind\0/\0/tmp" },
            workingDir: "/",
          }),
        });
        await assert.rejects(driver.start(spec, { signal: NEVER }), (error) =>
          isPlatformError(error, "SandboxStartFailed"),
        );
      });
    });

    describe("a start that is aborted", () => {
      it("starts nothing once the signal is aborted", async () => {
        let isLaunched = false;
        const spec = specOfScript("", {
          launch: () => {
            isLaunched = true;
            throw new Error("launched");
          },
        });
        const reason = new Error("changed my mind");
        await assert.rejects(driver.start(spec, { signal: AbortSignal.abort(reason) }), reason);
        assert.equal(isLaunched, false);
      });

      it("leaves nothing when it is aborted on the way", async () => {
        const token = newToken();
        const controller = new AbortController();
        const reason = new Error("changed my mind");
        const starting = driver.start(specOfScript(`sleep ${token}`), { signal: controller.signal });
        setImmediate(() => controller.abort(reason));
        await assert.rejects(starting, reason);
        assert.deepEqual(await processesWith(token), []);
      });
    });

    describe("the network", () => {
      promise("sockets in network none", "reaches other ports that something inside listens on", async () => {
        let other = 0;
        const { sandbox } = await start("", {
          network: "none",
          hasPort: true,
          launch: ({ port = 0, listenHost = "127.0.0.1" }) => {
            other = port + 1;
            return perl(PERL_SERVER, { PORT: String(other), HOST: listenHost });
          },
        });
        assert.equal(await text(await untilConnected(sandbox, other)), "served\n");
        await sandbox[Symbol.asyncDispose]();
      });

      promise("network none", "none has nothing but a loopback", async () => {
        const { stdout } = await run(
          "tail -n +3 /proc/net/dev | cut -d: -f1; cat /proc/net/route | tail -n +2",
          {
            network: "none",
          },
        );
        assert.equal(stdout.trim(), "lo");
      });

      for (const network of ["host", "none"] as const) {
        const optional = (sentence: string, test: () => Promise<void>) =>
          network === "none" ? promise("sockets in network none", sentence, test) : it(sentence, test);

        optional(`lets the program serve on its port (${network})`, async () => {
          const { sandbox } = await start("", {
            network,
            hasPort: true,
            launch: ({ port, listenHost = "127.0.0.1" }) =>
              perl(PERL_SERVER, { PORT: String(port), HOST: listenHost }),
          });
          const socket = await untilConnected(sandbox);
          assert.equal(await text(socket), "served\n");
          await sandbox[Symbol.asyncDispose]();
        });

        optional(`refuses to connect while nothing listens (${network})`, async () => {
          const { sandbox } = await start("sleep 1000", { network, hasPort: true });
          await assert.rejects(sandbox.connect());
          await sandbox[Symbol.asyncDispose]();
          await assert.rejects(sandbox.connect());
        });

        optional(`has a Runtime API for this sandbox alone (${network})`, async () => {
          const asked = Promise.withResolvers<Duplex>();
          let address = "";
          const { sandbox } = await start("", {
            network,
            onRuntimeApiConnection: asked.resolve,
            launch: ({ runtimeApi }) => {
              address = runtimeApi ?? "";
              return perl(PERL_CLIENT, { ADDRESS: address });
            },
          });
          const socket = await asked.promise;
          const said = await once(socket, "data");
          assert.equal(String(said[0]), "hello\n");
          socket.end("answer\n");
          const other = await run("", { launch: () => perl(PERL_CLIENT, { ADDRESS: address }) });
          assert.doesNotMatch(other.stdout, /answer/);
          await sandbox[Symbol.asyncDispose]();
        });
      }
    });

    it("runs many at once, each on its own", async () => {
      const outputs = await Promise.all(
        Array.from({ length: 8 }, (_, index) => run(`echo ${index}; sleep 0.1; echo ${index}`)),
      );
      assert.deepEqual(
        outputs.map(({ stdout }) => stdout),
        Array.from({ length: 8 }, (_, index) => `${index}\n${index}\n`),
      );
    });

    it("stops what is still running when the driver closes, and starts nothing more", async () => {
      const token = newToken();
      const other = await subject.open(join(folder, "other"));
      const sandbox = await other.start(specOfScript(`echo up; sleep ${token}`), { signal: NEVER });
      watch(sandbox);
      await once(sandbox.stdout, "data");
      await other[Symbol.asyncDispose]();
      assert.deepEqual(await processesWith(token), []);
      assert.equal((await sandbox.exited).signal, "SIGKILL");
      await assert.rejects(other.start(specOfScript("true"), { signal: NEVER }), (error) =>
        isPlatformError(error, "ShuttingDown"),
      );
      await other[Symbol.asyncDispose]();
    });
  });
}

const SOCKET_CLIENT = `read line; exec perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Peer => $ENV{SOCKET}) or die "no: $!"; print $s "hello"; close $s; sleep 1000'`;

const PERL_SERVER =
  'my $s = IO::Socket::INET->new(LocalAddr => $ENV{HOST}, LocalPort => $ENV{PORT}, Listen => 5, ReuseAddr => 1) or die $!; while (my $c = $s->accept) { print $c "served\\n"; close $c }';

const PERL_CLIENT =
  '$| = 1; my $s = IO::Socket::INET->new(PeerAddr => $ENV{ADDRESS}) or die "refused: $!"; print $s "hello\\n"; $s->flush; my $a = <$s>; print $a // "nothing"';

/** Every Linux distribution that has git or OpenSSL has perl; nothing else with sockets is as common. */
function perl(
  script: string,
  environment: Readonly<Record<string, string>>,
): ReturnType<SandboxSpec["launch"]> {
  return {
    command: ["perl", "-MIO::Socket::INET", "-e", script],
    environment: { PATH, ...environment },
    workingDir: "/",
  };
}

function watch(sandbox: Sandbox) {
  return {
    sandbox,
    stdout: textOf(sandbox.stdout),
    stderr: textOf(sandbox.stderr),
    telemetry: textOf(sandbox.telemetry),
  };
}

/** Beside other readers of the same stream. */
async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(stream, "end");
  return Buffer.concat(chunks).toString("utf8");
}

/** Beside other readers of the same stream: until that has come, in however many pieces, or the stream ends. */
function untilSaid(stream: Readable, pattern: RegExp): Promise<void> {
  return new Promise((resolve) => {
    let said = "";
    const hear = (chunk: Buffer) => {
      said += chunk.toString();
      if (pattern.test(said)) over();
    };
    const over = () => {
      stream.off("data", hear);
      resolve();
    };
    stream.on("data", hear).once("end", over);
  });
}

async function untilConnected(sandbox: Sandbox, port?: number): Promise<Duplex> {
  const giveUpAt = performance.now() + 5_000;
  for (;;) {
    try {
      return await sandbox.connect(port);
    } catch (error) {
      if (performance.now() > giveUpAt) throw error;
      await sleepFor(5);
    }
  }
}

let tokens = 0;

/** Seconds that nobody else sleeps: finds our processes among all of the host. */
function newToken(): string {
  tokens += 1;
  return `86400.${process.pid}${tokens}`;
}

async function processesWith(token: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (command.includes(token)) found.push(command);
  }
  return found;
}
