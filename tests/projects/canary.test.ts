import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeFolder, startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";

const answering = (text: string) =>
  makeFolder({ "index.mjs": `export const handler = async () => "${text}";` });
const failing = () =>
  makeFolder({ "index.mjs": `export const handler = async () => { throw new Error("x"); };` });
const WAIT_MS = 60_000;

interface CanaryAnswer {
  readonly canary: {
    readonly version: number;
    readonly state: string;
    readonly reason?: string;
    readonly figures?: { readonly calls: number; readonly errors: number };
  };
  readonly liveVersion?: number;
}

async function canaryOf(daemon: TestDaemon, name: string): Promise<CanaryAnswer> {
  return JSON.parse((await daemon.control("GET", `/v1/functions/${name}/canary`)).text);
}

async function ended(daemon: TestDaemon, name: string): Promise<CanaryAnswer> {
  await until(async () => (await canaryOf(daemon, name)).canary.state !== "running", WAIT_MS);
  return await canaryOf(daemon, name);
}

async function answersOf(daemon: TestDaemon, name: string, calls: number, headers = {}) {
  const counts = new Map<string, number>();
  let left = calls;
  const caller = async () => {
    while (left-- > 0) {
      const { text } = await daemon.call(name, "/", { headers });
      counts.set(text, (counts.get(text) ?? 0) + 1);
    }
  };
  await Promise.all([caller(), caller()]);
  return counts;
}

describe("a canary of a function", () => {
  it("takes its share of the calls, keeps callers on their side, and is promoted by hand", async () => {
    await using daemon = await startDaemon();
    using one = answering("one");
    using two = answering("two");
    await daemon.deploy(one.path, "f");
    const ran = await daemon.deploy(
      two.path,
      "f",
      ...["--canary", "30%", "--for", "1h", "--sticky", "cookie:user"],
    );
    assert.match(ran.stdout, /version 2 takes 30% of calls until/);
    const counts = await answersOf(daemon, "f", 300);
    const tried = counts.get("two") ?? 0;
    // Five standard deviations of 300 draws.
    assert.ok(Math.abs(tried - 90) < 40, `${tried} of 300`);
    assert.equal((counts.get("one") ?? 0) + tried, 300);
    const sides = new Set<string>();
    for (let user = 0; user < 25; user += 1) {
      const answers = await answersOf(daemon, "f", 3, { cookie: `a=1; user=u${user}; b=2` });
      assert.equal(answers.size, 1, `user ${user} was on both sides`);
      for (const side of answers.keys()) sides.add(side);
    }
    assert.deepEqual([...sides].sort(), ["one", "two"]);
    assert.match((await daemon.lambda("info", "f")).stdout, /Canary: +version 2 takes 30% of calls/);
    const promoted = await daemon.lambda("canary", "f", "--promote");
    assert.match(promoted.stdout, /version 2 promoted: asked for after \d+ calls; version 2 is live/);
    assert.deepEqual([...(await answersOf(daemon, "f", 20)).keys()], ["two"]);
    assert.equal((await daemon.lambda("canary", "f", "--abort")).code, 5, "there is none any more");
  });

  it("goes back by itself when it fails, and lives on when it does not", async () => {
    await using daemon = await startDaemon();
    using good = answering("good");
    using better = answering("better");
    using bad = failing();
    await daemon.deploy(good.path, "f");
    const flags = ["--canary", "50%", "--abort-on", "error-rate>5%", "--min-calls", "10"];
    await daemon.deploy(bad.path, "f", ...flags, "--for", "1h");
    await answersOf(daemon, "f", 80);
    const { canary, liveVersion } = await ended(daemon, "f");
    assert.deepEqual([canary.state, canary.version, liveVersion], ["aborted", 2, 1]);
    assert.match(canary.reason ?? "", /error-rate>5% was met: error-rate was 100% of \d+ calls/);
    assert.deepEqual([...(await answersOf(daemon, "f", 20)).keys()], ["good"]);

    await daemon.deploy(better.path, "f", ...flags, "--for", "3s");
    await answersOf(daemon, "f", 40);
    const after = await ended(daemon, "f");
    assert.deepEqual([after.canary.state, after.canary.version, after.liveVersion], ["promoted", 3, 3]);
    assert.deepEqual([...(await answersOf(daemon, "f", 10)).keys()], ["better"]);
    assert.match((await daemon.lambda("canary", "f")).stdout, /EARLIER[\s\S]*version 2 .*aborted/);
  });

  it("goes on when the daemon is started again, with what it had counted", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lambdad-e2e-canary-"));
    try {
      {
        await using first = await startDaemon({ dataDir });
        using good = answering("good");
        using bad = failing();
        await first.deploy(good.path, "f");
        const flags = ["--abort-on", "error-rate>5%", "--min-calls", "20"];
        await first.deploy(bad.path, "f", "--canary", "90%", "--for", "1h", ...flags);
        await answersOf(first, "f", 10);
        await first.stop("SIGTERM");
      }
      await using second = await startDaemon({ dataDir });
      const { canary: found } = await canaryOf(second, "f");
      assert.equal(found.state, "running");
      assert.ok((found.figures?.calls ?? 0) > 0, "counted before");
      await answersOf(second, "f", 30);
      const { canary, liveVersion } = await ended(second, "f");
      assert.deepEqual([canary.state, liveVersion], ["aborted", 1]);
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  });

  it("is refused with a sentence where it cannot be", async () => {
    await using daemon = await startDaemon();
    using one = answering("one");
    using broken = makeFolder({ "index.mjs": `throw new Error("will not load");` });
    const deploy = (path: string, ...flags: string[]) =>
      daemon.lambda("deploy", path, "--name", "f", ...flags);
    assert.match((await deploy(one.path, "--canary", "10%", "--for", "1m")).stderr, /"f" does not exist/);
    await daemon.deploy(one.path, "f");
    for (const [flags, sentence] of [
      [["--canary", "10%"], /needs an end/],
      [["--for", "10m"], /is for canaries/],
      [["--canary", "0%", "--for", "1m"], /more than 0% and less than 100%/],
      [["--canary", "100%", "--for", "1m"], /more than 0% and less than 100%/],
      [["--canary", "10%", "--for", "1m", "--max", "3"], /belong to the function/],
    ] as const) {
      const { code, stderr } = await deploy(one.path, ...flags);
      assert.ok(code !== 0);
      assert.match(stderr, sentence);
    }
    for (const [given, sentence] of [
      [{ forMs: 8 * 86_400_000 }, /forMs/],
      [{ share: 1 }, /share/],
      [{ abortOn: ["p98>1s"] }, /abortOn: expected/],
      [{ sticky: "user" }, /sticky: expected/],
      [{ until: 1 }, /until/],
    ] as const) {
      const options = JSON.stringify({ canary: { share: 0.1, forMs: 60_000, ...given } });
      const path = `/v1/functions/f/deploy?options=${encodeURIComponent(options)}`;
      const { status, text } = await daemon.control("POST", path);
      assert.equal(status, 400);
      assert.match(text, sentence);
    }
    assert.match((await deploy(broken.path, "--canary", "10%", "--for", "1m")).stderr, /does not start/);
    assert.match((await daemon.lambda("canary", "f")).stderr, /has had no canary/);
    assert.doesNotMatch((await daemon.lambda("versions", "f")).stdout, /^2\s/m);
  });
});
