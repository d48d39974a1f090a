/** What sources promise, on a real server of whatever kind: nothing is lost, whatever dies. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { makeFolder, startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";
import { bodies, type Effects, repeatedIn, startEffects } from "./effects.ts";
import type { TestQueue } from "./servers.ts";

const WITHIN_MS = 120_000;

export interface SourcesSuite {
  readonly kind: "sqs" | "nats";
  readonly skip: string | false;
  readonly start: () => Promise<TestQueue>;
  /** Whether the server has its messages still after it was killed. */
  readonly outlivesKill: boolean;
}

export function describeSources({ kind, skip, start, outlivesKill }: SourcesSuite): void {
  describe(`sources of ${kind}, on a real server`, { skip }, () => {
    let queue: TestQueue;
    let daemon: TestDaemon;
    before(async () => {
      queue = await start();
      daemon = await startDaemon();
    });
    // Whatever a test did to the server, and however it ended: the next one finds it running.
    afterEach(() => queue.program.revive());
    after(async () => {
      await daemon[Symbol.asyncDispose]();
      await queue[Symbol.asyncDispose]();
    });

    /** Deploys the function of `effects` as `name` and makes it a source of a queue of that name. Gives the source's id. */
    async function source(
      name: string,
      effects: Effects,
      flags: readonly string[] = [],
      options: {
        readonly hiddenSeconds?: number;
        readonly on?: TestDaemon;
        readonly queueName?: string;
      } = {},
    ): Promise<string> {
      const on = options.on ?? daemon;
      const where = await queue.make(options.queueName ?? name, options);
      await on.deploy(effects.folder, name, "--timeout", "60s");
      const made = await on.lambda("source", "create", name, ...where, "--partial-failures", ...flags);
      assert.equal(made.code, 0, made.stderr);
      return made.stdout.trim();
    }
    const show = async (id: string, on = daemon) =>
      JSON.parse((await on.control("GET", `/v1/sources/${id}`)).text);
    const settled = (name: string, effects: Effects, count: number) =>
      until(async () => effects.done.size >= count && (await queue.count(name)) === 0, WITHIN_MS);

    it("works on everything, each once, in batches", async () => {
      await using effects = await startEffects();
      const id = await source("plain", effects);
      await queue.send("plain", bodies(0, 100));
      await settled("plain", effects, 100);
      assert.equal(repeatedIn(effects), 0);
      await until(async () => (await show(id)).counts.done === 100);
      const { counts, lastResult } = await show(id);
      assert.ok(counts.batches < 100, `${counts.batches} batches`);
      assert.equal(lastResult.isProblem, false);
    });

    it("lets come again what failed, alone", async () => {
      await using effects = await startEffects();
      effects.answer = (number, times) => (number % 5 === 0 && times === 1 ? "fail" : "");
      await source("partial", effects);
      await queue.send("partial", bodies(0, 20));
      await settled("partial", effects, 20);
      assert.equal(repeatedIn(effects), 0);
      assert.deepEqual(
        [...effects.begun].filter(([, times]) => times > 1).map(([number]) => number % 5),
        [0, 0, 0, 0],
      );
    });

    it("keeps out what fits no pattern", async () => {
      await using effects = await startEffects();
      const field = kind === "sqs" ? "body" : "data";
      const pattern = JSON.stringify({ [field]: { n: [{ numeric: [">=", 10] }] } });
      await source("filtered", effects, ["--filter", pattern]);
      await queue.send("filtered", bodies(0, 20));
      await settled("filtered", effects, 10);
      assert.deepEqual([...effects.begun.keys()].sort((a, b) => a - b).at(0), 10);
    });

    it("keeps a batch while it runs longer than it is hidden for", async () => {
      await using effects = await startEffects({ workMs: kind === "sqs" ? 13_000 : 8_000 });
      const id = await source("long", effects, ["--batch", "1"]);
      await queue.send("long", bodies(0, 1));
      await settled("long", effects, 1);
      assert.deepEqual([effects.begun.get(0), (await show(id)).counts.repeated], [1, 0]);
    });

    it("goes on when the function crashes in the middle of a batch", async () => {
      await using effects = await startEffects();
      effects.answer = (number, times) => (number === 7 && times === 1 ? "crash" : "");
      await source("crashing", effects);
      await queue.send("crashing", bodies(0, 15));
      await settled("crashing", effects, 15);
      // What was done before the crash was in the batch that failed.
      assert.ok(repeatedIn(effects) < 10, `${repeatedIn(effects)} repeated`);
    });

    it("loses nothing while the server hangs in the middle of batches", async () => {
      await using effects = await startEffects({ workMs: 50 });
      await source("hanging", effects, ["--batch", "2"], { hiddenSeconds: 30 });
      await queue.send("hanging", bodies(0, 60));
      await until(() => effects.done.size >= 10, WITHIN_MS);
      await queue.program.signal("SIGSTOP");
      await sleep(4_000);
      await queue.program.signal("SIGCONT");
      await settled("hanging", effects, 60);
      assert.equal(repeatedIn(effects), 0);
    });

    it("loses nothing when the server is killed in the middle of batches, and says where it is", async () => {
      await using effects = await startEffects({ workMs: 50 });
      const id = await source("killed", effects, ["--batch", "2"]);
      await queue.send("killed", bodies(0, 60));
      await until(() => effects.done.size >= 10, WITHIN_MS);
      await queue.program.signal("SIGKILL");
      const saysSo = (state: string, said: string) =>
        state === "waiting" && /^PROBLEM: cannot (reach|read) /.test(said);
      await until(async () => {
        const { state, lastResult } = await show(id);
        return saysSo(state, lastResult.text);
      }, WITHIN_MS);
      // What was running ends well, and does not hide that.
      await until(async () => (await show(id)).running === 0, WITHIN_MS);
      const { state, lastResult } = await show(id);
      assert.ok(saysSo(state, lastResult.text), `${state}: ${lastResult.text}`);
      await queue.program.restart();
      if (!outlivesKill) {
        // This server keeps nothing; whoever made the queue makes it again, and the source goes on by itself.
        await queue.make("killed");
        await queue.send("killed", bodies(60, 10));
        await until(
          () => Array.from({ length: 10 }, (_, at) => 60 + at).every((n) => effects.done.has(n)),
          WITHIN_MS,
        );
        return;
      }
      await settled("killed", effects, 60);
      // What was being acknowledged when it died comes again: at most the batches of two of ten instances.
      assert.ok(repeatedIn(effects) <= 2 * 10, `${repeatedIn(effects)} repeated`);
    });

    it("loses nothing when the daemon is killed in the middle of batches", async () => {
      await using effects = await startEffects({ workMs: 30 });
      using data = makeFolder();
      const dataDir = `${data.path}/data`;
      const count = 120;
      let killed = await startDaemon({ dataDir });
      let inFlight = 0;
      await source("daemon", effects, ["--batch", "5", "--concurrency", "3"], { on: killed });
      await queue.send("daemon", bodies(0, count));
      for (const least of [10, 40]) {
        await until(() => effects.done.size >= least, WITHIN_MS);
        await killed.stop("SIGKILL");
        inFlight += 3 * 5;
        killed = await startDaemon({ dataDir });
      }
      await settled("daemon", effects, count);
      const repeated = repeatedIn(effects);
      console.log(`${kind}: 2 kills of the daemon, ${count} messages, 0 lost, ${repeated} repeated`);
      assert.ok(repeated <= inFlight, `${repeated} repeated, ${inFlight} were in flight`);
      await killed[Symbol.asyncDispose]();
    });

    it("finishes what runs when the daemon is stopped, and repeats nothing", async () => {
      await using effects = await startEffects({ workMs: 100 });
      using data = makeFolder();
      const dataDir = `${data.path}/data`;
      const first = await startDaemon({ dataDir });
      await source("stopped", effects, ["--batch", "5", "--concurrency", "2"], { on: first });
      await queue.send("stopped", bodies(0, 40));
      await until(() => effects.begun.size >= 5, WITHIN_MS);
      await first.stop("SIGTERM");
      assert.equal(effects.begun.size, effects.done.size);
      await using _second = await startDaemon({ dataDir });
      await settled("stopped", effects, 40);
      assert.equal(repeatedIn(effects), 0);
    });

    it("stops with its pause, goes on with its resumption, and goes with its function", async () => {
      await using effects = await startEffects();
      const id = await source("paused", effects);
      await daemon.lambda("source", "pause", id);
      await until(async () => (await show(id)).state === "paused", WITHIN_MS);
      await queue.send("paused", bodies(0, 3));
      await sleep(1_000);
      assert.equal(effects.begun.size, 0);
      await daemon.lambda("source", "resume", id);
      await settled("paused", effects, 3);
      await daemon.lambda("delete", "paused", "--yes");
      assert.equal((await daemon.control("GET", `/v1/sources/${id}`)).status, 404);
    });

    it("follows its function's alias", async () => {
      await using one = await startEffects();
      await using two = await startEffects();
      await daemon.deploy(one.folder, "aliased");
      await daemon.lambda("alias", "set", "aliased", "live", "1");
      const where = await queue.make("aliased");
      const made = await daemon.lambda("source", "create", "aliased:live", ...where);
      assert.equal(made.code, 0, made.stderr);
      await daemon.deploy(two.folder, "aliased");
      await queue.send("aliased", bodies(0, 3));
      await settled("aliased", one, 3);
      await daemon.lambda("alias", "set", "aliased", "live", "2");
      await queue.send("aliased", bodies(3, 3));
      await settled("aliased", two, 3);
      assert.deepEqual([...one.done.keys()].sort(), [0, 1, 2]);
      assert.deepEqual([...two.done.keys()].sort(), [3, 4, 5]);
    });

    if (kind === "sqs") {
      it("keeps the order of a group of a FIFO queue", async () => {
        await using effects = await startEffects();
        const flags = ["--concurrency", "5"];
        await source("fifo", effects, flags, { queueName: "fifo.fifo" });
        await queue.send("fifo.fifo", bodies(0, 30));
        await settled("fifo.fifo", effects, 30);
        assert.deepEqual(
          effects.order,
          Array.from({ length: 30 }, (_, index) => index),
        );
      });
    } else {
      it("gives up what failed too often, after its destination was told", async () => {
        await using effects = await startEffects();
        effects.answer = (number) => (number === 3 ? "fail" : "");
        using dead = makeFolder({
          "index.mjs": `export const handler = async (record) => { console.log("told", record.requestContext.condition, record.requestContext.approximateInvokeCount, record.requestPayload.Records.map(({ sequence }) => sequence).join()); };`,
        });
        await daemon.deploy(dead.path, "dead");
        await source("poison", effects, ["--attempts", "2", "--on-failure", "dead"]);
        await queue.send("poison", bodies(0, 5));
        await settled("poison", effects, 4);
        assert.equal(effects.begun.get(3), 2);
        await until(
          async () =>
            (await daemon.lambda("logs", "dead")).stdout.includes("told RetryAttemptsExhausted 2 4"),
          WITHIN_MS,
        );
      });

      it("tells a subject of NATS what became of an event", async () => {
        await using told = await startDaemon({ flags: ["--private-destinations"] });
        using echo = makeFolder({
          "index.mjs": "export const handler = async (event) => ({ got: event.a });",
        });
        await told.deploy(echo.path, "echo");
        await queue.make("results");
        const path = "/2019-09-25/functions/echo/event-invoke-config";
        const Destination = `nats://127.0.0.1:${queue.program.port}/results.done`;
        const set = await told.control("PUT", path, { DestinationConfig: { OnSuccess: { Destination } } });
        assert.equal(set.status, 200, set.text);
        await told.lambda("invoke", "echo", "--async", "--data", '{"a":7}');
        await until(async () => (await queue.count("results")) === 1, WITHIN_MS);
        for (const wrong of ["nats://h", "nats://u:p@h/s", "nats://h/a.*", "nats://h/"]) {
          const config = { DestinationConfig: { OnSuccess: { Destination: wrong } } };
          assert.equal((await told.control("PUT", path, config)).status, 400, wrong);
        }
      });

      it("makes its consumer where there is none", async () => {
        await using effects = await startEffects();
        const where = await queue.make("made");
        const other = where.map((flag) => (flag === "test" ? "fresh" : flag));
        await daemon.deploy(effects.folder, "made");
        await queue.send("made", bodies(0, 3));
        const made = await daemon.lambda("source", "create", "made", ...other);
        assert.equal(made.code, 0, made.stderr);
        await until(() => effects.done.size === 3, WITHIN_MS);
      });
    }
  });
}
