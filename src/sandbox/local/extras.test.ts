/** What a sandbox can have besides its code: layers at /opt, other ports to be reached by, a way to be asked to end. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import type { Sandbox } from "../driver.ts";
import { openTestDriver, type TestDriver, untilItSpeaks, without, withoutRoot } from "./test-driver.fake.ts";

const LISTENER = `exec perl -MIO::Socket::INET -e '$| = 1; my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $ENV{LISTEN} // 0, Listen => 5) or die $!; print $s->sockport, "\\n"; while (my $c = $s->accept) { print $c "served\\n"; close $c }'`;
const TRAP = `trap 'echo asked; exit 7' TERM; (trap "" TERM; exec sleep 1000) & echo up; while :; do wait $!; done`;

for (const mode of ["bubblewrap", "plain"] as const) {
  describe(`a sandbox (${mode})`, {
    skip: mode === "bubblewrap" ? without("bwrap", "perl") : without("perl"),
  }, () => {
    let host: TestDriver;
    before(async () => {
      host = await openTestDriver(
        mode === "plain" ? { allowUnsandboxed: true, bubblewrap: "/nowhere/bwrap" } : {},
      );
    });
    after(() => host[Symbol.asyncDispose]());

    it("has its layers where it is told", async () => {
      const optDir = join(host.codeDir, "..", "layers");
      await mkdir(join(optDir, "bin"), { recursive: true });
      await writeFile(join(optDir, "bin", "tool"), "#!/bin/sh\necho from a layer\n", { mode: 0o755 });
      const said = await host.run("", {
        optDir,
        launch: ({ optDir: inside = "/opt", codeDir }) => ({
          command: [`${inside}/bin/tool`],
          environment: { PATH: "/usr/bin:/bin" },
          workingDir: codeDir,
        }),
      });
      assert.equal(said, "from a layer\n");
    });

    it("is asked to end, the program alone", async () => {
      const sandbox = await host.start(TRAP);
      const said = text(sandbox.stdout);
      await untilItSpeaks(sandbox);
      sandbox.terminate?.();
      assert.deepEqual({ ...(await sandbox.exited) }, { exitCode: 7, signal: null, outOfMemory: false });
      await said;
      await sandbox[Symbol.asyncDispose]();
      sandbox.terminate?.();
    });

    it("is reached on a port that it chose itself, and on no other's", async () => {
      const sandbox = await host.start(LISTENER, {
        launch: ({ codeDir }) => ({
          command: ["sh", "-c", LISTENER],
          environment: { PATH: "/usr/bin:/bin" },
          workingDir: codeDir,
        }),
      });
      const port = Number(await firstLine(sandbox));
      assert.equal(await text(await sandbox.connect(port)), "served\n");
      const stranger = createServer((socket) => socket.end("not yours\n")).listen(0, "127.0.0.1");
      await once(stranger, "listening");
      const address = stranger.address();
      assert.ok(address !== null && typeof address !== "string");
      await assert.rejects(sandbox.connect(address.port), /does not listen on port/);
      stranger.close();
      await assert.rejects(sandbox.connect(1), /does not listen on port/);
      await sandbox[Symbol.asyncDispose]();
    });
  });
}

describe("a sandbox in bubblewrap", { skip: without("bwrap", "perl") || withoutRoot() }, () => {
  let host: TestDriver;
  before(async () => {
    host = await openTestDriver();
  });
  after(() => host[Symbol.asyncDispose]());

  it("has nothing at /opt without layers, and cannot write there with them", async () => {
    assert.equal(await host.run("ls -A /opt"), "");
    const said = await host.run("touch /opt/hello 2>&1 || ls /opt", { optDir: host.codeDir });
    assert.match(said, /(Read-only file system|Permission denied)\nhello\n/);
  });

  it("finds itself under the name that Lambda gives it", async () => {
    assert.match(await host.run("cat /etc/hosts"), /^127\.0\.0\.1 .*\bsandbox\.localdomain\b/m);
  });

  it("is reached on any port of a network of its own", async () => {
    const sandbox = await host.start("", {
      network: "none",
      launch: ({ codeDir }) => ({
        command: ["sh", "-c", LISTENER],
        environment: { PATH: "/usr/bin:/bin", LISTEN: "4243" },
        workingDir: codeDir,
      }),
    });
    await firstLine(sandbox);
    assert.equal(await text(await sandbox.connect(4243)), "served\n");
    await assert.rejects(sandbox.connect(4244), /does not listen/);
    await sandbox[Symbol.asyncDispose]();
  });
});

async function firstLine(sandbox: Sandbox): Promise<string> {
  sandbox.stderr.resume();
  sandbox.telemetry.resume();
  const [chunk] = await once(sandbox.stdout, "data");
  return String(chunk).trim();
}
