/** The short form of tests/sources, with a server of SQS of our own: it needs nothing installed, and keeps what it has. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type FakeSqs, startFakeSqs } from "../../src/events/sqs/sqs-server.fake.ts";
import { run, startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";
import { bodies, type Effects, repeatedIn, startEffects } from "../sources/effects.ts";

const WITHIN_MS = 60_000;

describe("a source", () => {
  let sqs: FakeSqs;
  let daemon: TestDaemon;
  before(async () => {
    [sqs, daemon] = await Promise.all([startFakeSqs(), startDaemon()]);
  });
  after(async () => {
    await daemon[Symbol.asyncDispose]();
    await sqs[Symbol.asyncDispose]();
  });

  /** Deploys the function of `effects`, and calls it for a queue of the same name. */
  async function source(
    name: string,
    effects: Effects,
    options: Parameters<FakeSqs["create"]>[1] = {},
    ...flags: string[]
  ): Promise<string> {
    await daemon.deploy(effects.folder, name, "--timeout", "60s");
    const env = { LAMBDA_SERVER: `http://127.0.0.1:${daemon.controlPort}`, LAMBDA_KEY: daemon.key };
    const where = ["--queue", sqs.create(name, options), "--endpoint", sqs.url];
    const login = ["--access-key-id", sqs.login.accessKeyId, "--secret-from-stdin"];
    const args = ["source", "create", name, ...where, ...login, "--partial-failures", ...flags];
    const made = await run("bin/lambda", args, { env, input: sqs.login.secret });
    assert.equal(made.code, 0, made.stderr);
    return made.stdout.trim();
  }
  const show = async (id: string) => JSON.parse((await daemon.control("GET", `/v1/sources/${id}`)).text);
  const sendAll = (name: string, texts: readonly string[]) => {
    for (const text of texts) sqs.send(name, text);
  };

  it("loses and repeats nothing when its server goes away in the middle of batches", async () => {
    await using effects = await startEffects({ workMs: 20 });
    const id = await source("away", effects, {}, "--batch", "2", "--concurrency", "4");
    sendAll("away", bodies(0, 60));
    await until(() => effects.done.size >= 6, WITHIN_MS);
    await sqs.goAway();
    await until(async () => (await show(id)).state === "waiting", WITHIN_MS);
    assert.match((await show(id)).lastResult.text, /^PROBLEM: cannot reach SQS at /);
    await sqs.comeBack();
    await until(() => effects.done.size === 60 && sqs.bodies("away").length === 0, WITHIN_MS);
    assert.equal(repeatedIn(effects), 0);
  });

  it("waits for a function that is throttled, and lets no message run out of deliveries", async () => {
    await using effects = await startEffects();
    const id = await source("throttled", effects, { receivesMax: 1 });
    await daemon.control("PUT", "/2017-10-31/functions/throttled/concurrency", {
      ReservedConcurrentExecutions: 0,
    });
    sendAll("throttled", bodies(0, 5));
    await until(async () => (await show(id)).state === "waiting", WITHIN_MS);
    await daemon.control("DELETE", "/2017-10-31/functions/throttled/concurrency");
    await until(() => effects.done.size === 5 && sqs.bodies("throttled").length === 0, WITHIN_MS);
    assert.deepEqual([sqs.dead("throttled"), repeatedIn(effects)], [[], 0]);
  });

  it("leaves to the queue what fails too often", async () => {
    await using effects = await startEffects();
    effects.answer = (number) => (number === 3 ? "fail" : "");
    await source("poison", effects, { visibilitySeconds: 1, receivesMax: 2 });
    sendAll("poison", bodies(0, 5));
    await until(() => sqs.dead("poison").length === 1, WITHIN_MS);
    assert.deepEqual([sqs.dead("poison"), effects.done.size, effects.begun.get(3)], [['{"n":3}'], 4, 2]);
  });
});
