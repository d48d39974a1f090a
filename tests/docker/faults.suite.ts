/** What can break around containers, each with a count of what is left over afterwards. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { setTimeout as sleepFor } from "node:timers/promises";
import { type Daemon, startDaemon } from "./daemon.ts";
import { census, removeContainers, startEngine, type TestEngine } from "./engine.ts";
import { importImages } from "./images.ts";

/** No call may take longer, whatever the engine does. */
const CALL_MS_MAX = 40_000;

export function describeFaults(getEngine: () => TestEngine): void {
  describe("what breaks around containers", () => {
    let daemon: Daemon;
    let folder = "";
    let found: Awaited<ReturnType<typeof census>>;
    let foundLayers = "";

    before(async () => {
      await importImages(getEngine());
      folder = await mkdtemp(join(tmpdir(), "fault-"));
    });
    after(() => rm(folder, { recursive: true, force: true }));
    beforeEach(async () => {
      found = await census(getEngine());
      foundLayers = await getEngine().docker("images", "-aq", "--no-trunc");
      daemon = await startDaemon(getEngine().socketPath);
    });
    afterEach(async (context) => {
      for (const name of (await daemon.lambda("list", "-q")).stdout.trim().split("\n"))
        if (name !== "") await daemon.lambda("delete", name, "--yes");
      await daemon[Symbol.asyncDispose]();
      const left = await census(getEngine());
      assert.deepEqual(left, found, `after "${context.name}"`);
      const layers = await getEngine().docker("images", "-aq", "--no-trunc");
      const counts = Object.entries(left).map(([what, which]) => `${which.length} ${what}`);
      context.diagnostic(
        `left over as before: ${counts.join(", ")}; ${lines(layers)} layers, ${lines(foundLayers)} before`,
      );
    });

    const done = async (...args: readonly string[]) => {
      const result = await daemon.lambda(...args);
      assert.equal(result.exitCode, 0, `lambda ${args.join(" ")}: ${result.stderr}`);
    };
    const call = async (name: string, path = "") => {
      const startedAt = performance.now();
      const answer = await daemon.call(name, { method: "POST", body: "x", path });
      const text = await answer.text();
      assert.ok(performance.now() - startedAt < CALL_MS_MAX, `${name} took too long`);
      return { status: answer.status, text };
    };
    const slowBuild = async () => {
      const dir = join(folder, "slow");
      await mkdir(dir, { recursive: true });
      await writeFile(join(dir, "Dockerfile"), "FROM test/box:1\nRUN sleep 300\n");
      return dir;
    };
    /** A deployment that has come to its RUN. */
    const buildingNow = async () => {
      const running = daemon.startLambda("deploy", await slowBuild(), "--name", "slow");
      let said = "";
      running.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
      const ended = once(running, "close");
      assert.ok(await until(async () => said.includes("Running in")), said);
      return { running, ended, said: () => said };
    };

    it("a program that ignores SIGTERM is gone when its time is up", async () => {
      await done(
        ...["deploy", "--image", "test/box:1", "--name", "deaf", "--timeout", "3"],
        ...["--command", JSON.stringify(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"])],
      );
      assert.equal((await call("deaf")).status, 504);
    });

    it("a gigabyte of output fails the call that printed it, and no other", async () => {
      await done(
        ...["deploy", "--image", "test/box:1", "--name", "flood", "--timeout", "120"],
        ...["--command", "sh -c 'head -c 1000000000 /dev/zero; head -c 1000000000 /dev/zero >&2'"],
      );
      await done("deploy", "--image", "test/web:1", "--name", "web", "--timeout", "60");
      const flooding = call("flood");
      assert.equal((await daemon.call("web", { path: "/hello" })).status, 200);
      assert.equal((await flooding).status, 502);
    });

    it("a build is stopped when its deployment is", async () => {
      const { running, ended } = await buildingNow();
      running.kill("SIGINT");
      await ended;
      assert.ok(await until(async () => (await getEngine().docker("ps", "-aq")) === ""), "the build stops");
    });

    it("an engine that stands still holds nobody up, and is used again when it goes on", async () => {
      await done("deploy", "--image", "test/web:1", "--name", "web", "--timeout", "60");
      await done("deploy", "--image", "test/box:1", "--name", "filter", "--timeout", "60");
      const { ended, said } = await buildingNow();
      process.kill(getEngine().pid, "SIGSTOP");
      try {
        // What runs goes on; what would have to be started is refused with the reason.
        assert.equal((await daemon.call("web", { path: "/hello" })).status, 200);
        const answers = [await call("filter"), await call("filter"), await call("filter")];
        assert.match(answers.at(-1)?.text ?? "", /did not answer|hangs/);
      } finally {
        process.kill(getEngine().pid, "SIGCONT");
      }
      const backAt = performance.now();
      assert.ok(await until(async () => (await call("filter")).status === 200));
      assert.ok(performance.now() - backAt < 10_000);
      // The build went on with the engine.
      assert.doesNotMatch(said(), /error/);
      for (const id of (await getEngine().docker("ps", "-q", "--no-trunc")).trim().split("\n"))
        if ((await getEngine().docker("inspect", "-f", "{{json .Config.Cmd}}", id)).includes("sleep 300"))
          await getEngine().docker("kill", id);
      await ended;
      assert.match(said(), /returned a non-zero code/);
    });

    it("an engine that is killed takes its calls and builds along, and nothing stays behind", async () => {
      await done("deploy", "--image", "test/web:1", "--name", "web", "--timeout", "60");
      await done(
        ...["deploy", "--image", "test/box:1", "--name", "sleeper", "--timeout", "60"],
        ...["--command", "sh -c 'sleep 50'"],
      );
      const { ended, said } = await buildingNow();
      const sleeping = call("sleeper");
      await sleepFor(500);
      await getEngine().stop("SIGKILL");
      assert.ok([502, 503].includes((await sleeping).status), `status ${(await sleeping).status}`);
      await ended;
      assert.match(said(), /container engine .* (went away|is stopped)|engine failed/);
      await getEngine().start();
      const backAt = performance.now();
      assert.ok(await until(async () => (await daemon.call("web", { path: "/hello" })).status === 200));
      assert.ok(performance.now() - backAt < 10_000);
      assert.ok(
        await until(async () => !(await getEngine().docker("ps", "-aq", "--filter", "status=exited"))),
        `the build's container goes: ${await getEngine().docker("ps", "-a")}`,
      );
    });

    it("an image that was removed behind our back is said to be gone", async () => {
      const dir = join(folder, "own");
      await mkdir(dir, { recursive: true });
      await writeFile(join(dir, "Dockerfile"), 'FROM test/box:1\nCMD ["echo", "here"]\n');
      await done("deploy", dir, "--name", "own");
      const { images } = JSON.parse((await daemon.lambda("images", "--json")).stdout);
      await removeContainers(getEngine());
      await getEngine().docker("rmi", "-f", images[0].id);
      let answer = await call("own");
      for (let tries = 0; tries < 3 && !/no longer on the engine/.test(answer.text); tries += 1)
        answer = await call("own");
      assert.match(answer.text, /no longer on the engine: deploy/);
      assert.match((await daemon.lambda("images")).stdout, /\(gone\)/);
    });
  });
}

export function describeFullDisk(): void {
  it("a full disk fails the build that filled it, with the reason, and everything else goes on", async () => {
    await using engine = await startEngine({ diskMib: 96 });
    await importImages(engine);
    const found = await census(engine);
    const folder = await mkdtemp(join(tmpdir(), "full-"));
    {
      await using daemon = await startDaemon(engine.socketPath);
      await writeFile(join(folder, "Dockerfile"), "FROM test/box:1\nCOPY big /big\n");
      await writeFile(join(folder, "big"), randomBytes(60_000_000));
      assert.equal((await daemon.lambda("fn", "create", "box", "test/box:1", "--timeout", "60")).exitCode, 0);
      const { exitCode, stderr } = await daemon.lambda("deploy", folder, "--name", "big");
      assert.notEqual(exitCode, 0);
      assert.match(stderr, /no space left on device/i);
      const answer = await daemon.call("box", { method: "POST", body: "still here" });
      assert.equal(await answer.text(), "still here");
      assert.equal((await daemon.lambda("delete", "box")).exitCode, 0);
    }
    await rm(folder, { recursive: true, force: true });
    assert.deepEqual(await census(engine), found);
  });
}

function lines(text: string): number {
  return text.split("\n").filter((line) => line !== "").length;
}

async function until(isSo: () => Promise<boolean>): Promise<boolean> {
  const giveUpAt = performance.now() + 30_000;
  while (performance.now() < giveUpAt) {
    if (await isSo()) return true;
    await sleepFor(100);
  }
  return false;
}
