/** Calls to the engine that fail, that work but do not say so, and that hang: nothing is done twice, nothing stays behind. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { setTimeout as sleepFor } from "node:timers/promises";
import { type Daemon, startDaemon } from "./daemon.ts";
import { census, type TestEngine } from "./engine.ts";
import { type EngineProxy, type FaultRule, startEngineProxy } from "./engine-proxy.ts";
import { importImages } from "./images.ts";

/** No call may take longer, whatever the engine does. */
const CALL_MS_MAX = 45_000;
const SEEDS = [1, 20_261_130];
const CALLS = 40;

export function describeEngineFaults(getEngine: () => TestEngine): void {
  describe("calls to the engine that go wrong", () => {
    let daemon: Daemon;
    let proxy: EngineProxy;
    let folder = "";
    let seed = 0;
    let found: Awaited<ReturnType<typeof census>>;

    before(() => importImages(getEngine()));
    beforeEach(async () => {
      found = await census(getEngine());
      folder = await mkdtemp(join(tmpdir(), "ef-"));
      seed += 1;
      proxy = await startEngineProxy(getEngine().socketPath, join(folder, "proxy.sock"), seed);
      daemon = await startDaemon(proxy.socketPath);
      await done("deploy", "--image", "test/web:1", "--name", "web", "--timeout", "60");
      await done("deploy", "--image", "test/box:1", "--name", "box", "--timeout", "60");
    });
    afterEach(async (context) => {
      const counts = [...proxy.happened].map(([what, times]) => `${times} x ${what}`).sort();
      context.diagnostic(counts.join(", ") || "nothing went wrong");
      proxy.rules = [];
      for (const name of (await daemon.lambda("list", "-q")).stdout.trim().split("\n"))
        if (name !== "") await done("delete", name, "--yes");
      await daemon[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
      assert.deepEqual(await census(getEngine()), found, `after "${context.name}"`);
    });
    after(() => getEngine().docker("image", "prune", "-f"));

    const done = async (...args: readonly string[]) => {
      const result = await daemon.lambda(...args);
      assert.equal(result.exitCode, 0, `lambda ${args.join(" ")}: ${result.stderr}`);
    };
    const call = async (name: string, init: { readonly path?: string; readonly body?: string } = {}) => {
      const startedAt = performance.now();
      const answer = await daemon.call(name, { method: init.body === undefined ? "GET" : "POST", ...init });
      const text = await answer.text();
      assert.ok(performance.now() - startedAt < CALL_MS_MAX, `${name} took too long`);
      return { status: answer.status, text };
    };
    /** A version without any container, so that the next call makes one. */
    const anew = (name: string, count: number) => done("env", "set", name, `N=${count}`);
    const isBack = async (name: string, body: string | undefined, path = "") => {
      const giveUpAt = performance.now() + 60_000;
      for (;;) {
        const answer = await call(name, { path, ...(body !== undefined && { body }) });
        if (answer.status === 200 || performance.now() > giveUpAt) return answer;
        await sleepFor(200);
      }
    };
    const happened = (what: string) => proxy.happened.get(what) ?? 0;

    for (const [fault, operation] of [
      ["fail", "POST /containers/create"],
      ["lose", "POST /containers/create"],
      ["hang", "POST /containers/create"],
      ["fail", "POST /containers/ID/start"],
      ["lose", "POST /containers/ID/start"],
      ["hang", "POST /containers/ID/start"],
      ["fail", "POST /containers/ID/attach"],
      ["lose", "POST /containers/ID/attach"],
      ["fail", "POST /containers/ID/wait"],
      ["hang", "POST /containers/ID/wait"],
      ["fail", "DELETE /containers/ID"],
      ["lose", "DELETE /containers/ID"],
    ] as const) {
      it(`${operation}: every one ${fault}s`, async () => {
        proxy.rules = [{ call: new RegExp(`^${operation}$`), fault, share: 1 }];
        await anew("box", 1);
        const { status, text } = await call("box", { body: "one" });
        // A removal that fails is nobody's call.
        if (status !== 200) assert.match(text, /"code":"[A-Z]\w+"/);
        const giveUpAt = performance.now() + 60_000;
        while (happened(`${fault} ${operation}`) === 0 && performance.now() < giveUpAt) {
          await call("box", { body: "again" });
          await sleepFor(100);
        }
        assert.ok(happened(`${fault} ${operation}`) > 0, "the fault has happened");
        // Who needs no new container does not notice.
        assert.equal((await call("web", { path: "/hello" })).status, 200);
        proxy.rules = [];
        assert.deepEqual(await isBack("box", "two"), { status: 200, text: "two" });
      });
    }

    it("builds and tags that go wrong change nothing, and can be done again", async () => {
      const dir = join(folder, "own");
      await mkdir(dir);
      await writeFile(join(dir, "Dockerfile"), 'FROM test/box:1\nCMD ["echo", "built"]\n');
      for (const [fault, operation] of [
        ["fail", "POST /build"],
        ["lose", "POST /build"],
        ["lose", "GET /images/ID/json"],
        ["fail", "GET /info"],
      ] as const) {
        proxy.rules = [{ call: new RegExp(`^${operation}$`), fault, share: 1 }];
        const { exitCode, stderr } = await daemon.lambda("deploy", dir, "--name", "own");
        assert.notEqual(exitCode, 0, `${fault} ${operation}`);
        assert.match(stderr, /error: /);
        assert.ok(happened(`${fault} ${operation}`) > 0);
        assert.equal((await call("own", { body: "" })).status, 404);
      }
      proxy.rules = ["POST /images/ID/tag", "DELETE /images/ID"].map((operation) => ({
        call: new RegExp(`^${operation}$`),
        fault: "lose",
        share: 1,
      }));
      await done("deploy", dir, "--name", "own");
      assert.deepEqual(await isBack("own", ""), { status: 200, text: "built\n" });
      const giveUpAt = performance.now() + 60_000;
      while (proxy.happened.size < 5 && performance.now() < giveUpAt) await sleepFor(100);
      assert.ok(happened("lose POST /images/ID/tag") > 0, JSON.stringify([...proxy.happened]));
    });

    for (const each of SEEDS) {
      it(`one in twenty of all calls goes wrong somehow (seed ${each})`, async () => {
        await using seeded = await startEngineProxy(
          getEngine().socketPath,
          join(folder, `seeded-${each}.sock`),
          each,
        );
        await using other = await startDaemon(seeded.socketPath);
        for (const [name, image] of [
          ["web", "test/web:1"],
          ["box", "test/box:1"],
        ] as const) {
          const made = await other.lambda("deploy", "--image", image, "--name", name, "--timeout", "60");
          assert.equal(made.exitCode, 0, made.stderr);
        }
        const all: FaultRule["call"] = /^(?!GET \/version)/;
        seeded.rules = [
          { call: all, fault: "fail", share: 0.02 },
          { call: all, fault: "lose", share: 0.02 },
          { call: all, fault: "hang", share: 0.01 },
        ];
        const statuses = new Map<number, number>();
        const one = async (count: number) => {
          const startedAt = performance.now();
          const isBox = count % 4 !== 0;
          const answer = await other.call(isBox ? "box" : "web", {
            method: isBox ? "POST" : "GET",
            ...(isBox ? { body: `input ${count}` } : { path: "/hello" }),
          });
          const text = await answer.text();
          assert.ok(performance.now() - startedAt < CALL_MS_MAX, `call ${count} took too long`);
          if (answer.status === 200) assert.equal(text, isBox ? `input ${count}` : "hello from the image\n");
          else assert.match(text, /"code":"[A-Z]\w+"/);
          statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
        };
        let count = 0;
        const lane = async () => {
          while (count < CALLS) {
            count += 1;
            await one(count);
          }
        };
        await Promise.all([lane(), lane(), lane()]);
        seeded.rules = [];
        for (const [what, times] of seeded.happened) proxy.happened.set(what, times);
        assert.ok(seeded.happened.size > 0, "something has gone wrong");
        assert.ok((statuses.get(200) ?? 0) > CALLS / 2, JSON.stringify([...statuses]));
        const giveUpAt = performance.now() + 60_000;
        let answer = await other.call("box", { method: "POST", body: "after" });
        while (answer.status !== 200 && performance.now() < giveUpAt)
          answer = await other.call("box", { method: "POST", body: "after" });
        assert.equal(await answer.text(), "after");
        for (const name of ["web", "box"])
          assert.equal((await other.lambda("delete", name, "--yes")).exitCode, 0);
      });
    }
  });
}
