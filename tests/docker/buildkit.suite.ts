/** Dockerfiles that take BuildKit, by the docker command of this host. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleepFor } from "node:timers/promises";
import { type Daemon, startDaemon } from "./daemon.ts";
import { census, startEngine, type TestEngine } from "./engine.ts";
import { importImages } from "./images.ts";

const SECRET = "a-secret-that-nobody-sees";

export function describeBuildKit(): void {
  describe("Dockerfiles that take BuildKit", () => {
    let engine: TestEngine;
    let daemon: Daemon;
    let folder = "";
    let found: Awaited<ReturnType<typeof census>>;

    before(async () => {
      engine = await startEngine({ hasBridge: true });
      found = await census(engine);
      await importImages(engine);
      folder = await mkdtemp(join(tmpdir(), "kit-"));
      process.env.OTHER = "12345678";
      daemon = await startDaemon(engine.socketPath);
    });
    after(async () => {
      await daemon[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
      await engine.docker("builder", "prune", "-af");
      const left = await census(engine);
      await engine[Symbol.asyncDispose]();
      assert.deepEqual(left, found);
    });

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
      const labels = await engine.docker("image", "inspect", "-f", "{{json .Config.Labels}}", image.id);
      assert.equal(JSON.parse(labels)["org.opencontainers.image.title"], "tool");
      assert.equal((await daemon.lambda("delete", "tool", "--yes")).exitCode, 0);
    });

    it("are given arguments and secrets, and nothing keeps the secrets", async () => {
      const dir = await sourceOf(
        "inputs",
        [
          "ARG BASE=nowhere",
          "FROM $BASE",
          "ARG GREETING=none",
          "COPY . /all",
          "RUN --mount=type=secret,id=token --mount=type=secret,id=other cat /run/secrets/token; wc -c < /run/secrets/other > /size",
          'RUN --mount=type=secret,id=token wc -c < /run/secrets/token >> /size; echo "$GREETING" >> /size',
          'CMD ["cat", "/size"]',
        ].join("\n"),
      );
      const token = join(folder, "token");
      await writeFile(token, SECRET);
      const args = ["--build-arg", "BASE=test/box:1", "--build-arg", "GREETING=good day"];
      const secrets = ["--build-secret", `id=token,src=${token}`, "--build-secret", "id=other,env=OTHER"];
      const made = await daemon.lambda("deploy", dir, "--name", "inputs", ...args, ...secrets);
      assert.equal(made.exitCode, 0, made.stderr);
      assert.match(made.stderr, /\*\*\*/);
      assert.doesNotMatch(made.stderr, new RegExp(SECRET));
      assert.equal(
        await (await daemon.call("inputs", { method: "POST", body: "" })).text(),
        `8\n${SECRET.length}\ngood day\n`,
      );
      const [image] = JSON.parse((await daemon.lambda("images", "inputs", "--json")).stdout).images;
      const saved = join(folder, "saved.tar");
      await engine.docker("save", "-o", saved, image.id);
      const kept = [saved, ...(await filesBelow(daemon.dir))];
      for (const file of kept) assert.ok(!(await readFile(file)).includes(SECRET), `${file} has the secret`);
      // The arguments hold for the next build, too; secrets are no part of what steps are known by.
      const again = await daemon.lambda("deploy", dir, "--name", "inputs");
      assert.equal(again.exitCode, 0, again.stderr);
      assert.match(again.stderr, /was built with secret token, which is not kept: give it again/);
      assert.match(await (await daemon.call("inputs", { method: "POST", body: "" })).text(), /good day/);
      assert.equal((await daemon.lambda("delete", "inputs", "--yes")).exitCode, 0);
    });

    it("say what has no limit, and are stopped when their time is up", async () => {
      await using other = await startDaemon(engine.socketPath, undefined, ["--image-build-timeout", "15"]);
      const dir = await sourceOf("late", "FROM test/box:1\nRUN --mount=type=cache,target=/c sleep 4321\n");
      const { exitCode, stderr } = await other.lambda("deploy", dir, "--name", "late");
      assert.notEqual(exitCode, 0);
      assert.match(stderr, /note: this build has no limit of memory and CPU time: .*BuildKit/);
      assert.match(stderr, /docker build was stopped: it took longer than 15 s \(image-build-timeout\)/);
      const giveUpAt = performance.now() + 30_000;
      while ((await commandsWith("sleep\x004321")).length > 0 && performance.now() < giveUpAt)
        await sleepFor(100);
      assert.deepEqual(await commandsWith("sleep\x004321"), []);
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
      await using other = await startDaemon(engine.socketPath, undefined, [], undefined, {
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

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** Of the processes of this host. */
async function commandsWith(words: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (command.startsWith(words)) found.push(pid);
  }
  return found;
}
