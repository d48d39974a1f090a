/** An engine that hangs: nobody waits for it for long, and what runs goes on. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Daemon, startDaemon } from "../docker/daemon.ts";
import { census, startEngine, type TestEngine, withoutEngine } from "../docker/engine.ts";
import { importImages } from "../docker/images.ts";

const FAILS_WITHIN_MS = 8_000;
const BACK_WITHIN_MS = 10_000;

describe("a container engine that is frozen", { skip: withoutEngine() ?? false }, () => {
  let engine: TestEngine;
  let daemon: Daemon;
  before(async () => {
    engine = await startEngine();
    await importImages(engine);
    daemon = await startDaemon(engine.socketPath);
    for (const [name, image] of [
      ["web", "test/web:1"],
      ["box", "test/box:1"],
    ] as const) {
      const { exitCode, stderr } = await daemon.lambda("deploy", "--image", image, "--name", name);
      assert.equal(exitCode, 0, stderr);
    }
  });
  after(async () => {
    await daemon[Symbol.asyncDispose]();
    await engine[Symbol.asyncDispose]();
  });

  it("is not waited for: calls of its containers go on, new ones fail soon, and all is well when it thaws", async () => {
    // The one that the deployment started is used up, and so are those that follow it.
    assert.equal((await daemon.lambda("env", "set", "box", "A=1")).exitCode, 0);
    process.kill(engine.pid, "SIGSTOP");
    try {
      assert.equal((await daemon.call("web", { path: "/hello" })).status, 200);
      const startedAt = performance.now();
      const answer = await daemon.call("box", { method: "POST", body: "x" });
      const said = await answer.text();
      assert.equal(answer.status, 503, said);
      assert.match(said, /EngineUnavailable.*did not answer/);
      assert.ok(performance.now() - startedAt < FAILS_WITHIN_MS);
      const deployed = await daemon.lambda("deploy", "--image", "test/box:1", "--name", "other");
      assert.match(deployed.stderr, /did not answer/);
    } finally {
      process.kill(engine.pid, "SIGCONT");
    }
    const thawedAt = performance.now();
    let status = 0;
    while (status !== 200 && performance.now() - thawedAt < BACK_WITHIN_MS) {
      status = (await daemon.call("box", { method: "POST", body: "x" })).status;
    }
    assert.equal(status, 200);
    for (const name of ["web", "box"]) assert.equal((await daemon.lambda("delete", name)).exitCode, 0);
    const giveUpAt = performance.now() + BACK_WITHIN_MS;
    let left = await census(engine);
    while ((left.containers?.length || left.images?.length) && performance.now() < giveUpAt)
      left = await census(engine);
    assert.deepEqual([left.containers, left.images], [[], []]);
  });
});
