/** Dockerfiles that take BuildKit, by the docker command of this host. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Daemon, startDaemon } from "./daemon.ts";
import { census, type TestEngine } from "./engine.ts";
import { importImages } from "./images.ts";

export function describeBuildKit(getEngine: () => TestEngine): void {
  describe("Dockerfiles that take BuildKit", () => {
    let daemon: Daemon;
    let folder = "";
    let found: Awaited<ReturnType<typeof census>>;

    before(async () => {
      found = await census(getEngine());
      await importImages(getEngine());
      folder = await mkdtemp(join(tmpdir(), "kit-"));
      daemon = await startDaemon(getEngine().socketPath);
    });
    after(async () => {
      await daemon[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
      await getEngine().docker("builder", "prune", "-af");
      assert.deepEqual(await census(getEngine()), found);
    });

    // Without RUN: the engine of the tests has no network for it.
    const sourceOf = async (name: string, dockerfile: string) => {
      const dir = join(folder, name);
      await mkdir(dir, { recursive: true });
      await writeFile(join(dir, "Dockerfile"), dockerfile);
      return dir;
    };

    it("are built with its output shown, and are functions like any other", async () => {
      const dir = await sourceOf("tool", 'FROM test/box:1\nCOPY --chmod=755 tool /tool\nCMD ["/tool"]\n');
      await writeFile(join(dir, "tool"), "#!/bin/sh\necho made by BuildKit\n", { mode: 0o644 });
      const { exitCode, stderr } = await daemon.lambda("deploy", dir, "--name", "tool");
      assert.equal(exitCode, 0, stderr);
      assert.match(stderr, /\[2\/2\] COPY --chmod=755 tool \/tool/);
      const answer = await daemon.call("tool", { method: "POST", body: "" });
      assert.equal(await answer.text(), "made by BuildKit\n");
      const [image] = JSON.parse((await daemon.lambda("images", "tool", "--json")).stdout).images;
      assert.equal(image.base.name, "test/box:1");
      const labels = await getEngine().docker("image", "inspect", "-f", "{{json .Config.Labels}}", image.id);
      assert.equal(JSON.parse(labels)["org.opencontainers.image.title"], "tool");
      assert.equal((await daemon.lambda("delete", "tool", "--yes")).exitCode, 0);
    });

    it("fail with what the builder said", async () => {
      const dir = await sourceOf("fails", "FROM test/box:1\nCOPY --chmod=755 nowhere /x\n");
      const { exitCode, stderr } = await daemon.lambda("deploy", dir, "--name", "fails");
      assert.notEqual(exitCode, 0);
      assert.match(stderr, /docker build failed: .*nowhere.* not found/s);
    });

    it("are stopped when their deployment is", async () => {
      const asked = Promise.withResolvers<Socket>();
      const server = createServer((socket) => asked.resolve(socket)).listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = Object(server.address());
      const dir = await sourceOf("slow", `FROM test/box:1\nADD --chmod=644 http://127.0.0.1:${port}/x /x\n`);
      const running = daemon.startLambda("deploy", dir, "--name", "slow");
      running.stderr?.resume();
      const ended = once(running, "close");
      const socket = await asked.promise;
      const closed = once(socket, "close");
      socket.resume();
      running.kill("SIGINT");
      await ended;
      // The engine has given up what it fetched for the build.
      await closed;
      server.close();
    });

    it("are refused with the line that needs it where no command has it", async () => {
      const bin = join(folder, "bin");
      await mkdir(bin);
      await using other = await startDaemon(getEngine().socketPath, undefined, [], undefined, {
        PATH: `${bin}:${join(process.execPath, "..")}`,
      });
      const dir = await sourceOf("refused", "FROM test/box:1\n\nRUN --mount=type=cache,target=/c true\n");
      const { exitCode, stderr } = await other.lambda("deploy", dir, "--name", "refused");
      assert.notEqual(exitCode, 0);
      assert.match(stderr, /needs BuildKit \(line 3, RUN --mount=type=cache,target=\/c\).*buildx/s);
      const plain = await sourceOf("plain", '# syntax=docker/dockerfile:1\nFROM test/box:1\nCMD ["cat"]\n');
      const deployed = await other.lambda("deploy", plain, "--name", "plain");
      assert.equal(deployed.exitCode, 0, deployed.stderr);
      assert.equal((await other.lambda("delete", "plain", "--yes")).exitCode, 0);
    });
  });
}
