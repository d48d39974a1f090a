import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeFolder, type Ran, startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";

const WAIT_MS = 60_000;
const FILE = `project: shop
functions:
  orders: {}
  prices: {}
routes:
  "GET /buy": { function: orders, host: shop.localhost }
`;

/** Says which it is, and which one of its sibling it gets by HTTP. */
const orders = (version: string) => `
export const handler = async () => {
  const answer = await fetch(process.env.LAMBDAD_URL + "/prices");
  return "orders ${version}, " + (await answer.text());
};
`;
const prices = (body: string) => `export const handler = async () => { ${body} };\n`;

/** A project whose functions can be changed. */
function makeProject() {
  const folder = makeFolder({
    "lambda.yaml": FILE,
    "orders/index.mjs": orders("1"),
    "prices/index.mjs": prices('return "prices 1"'),
  });
  return {
    path: folder.path,
    write: (name: string, text: string) => writeFileSync(join(folder.path, name, "index.mjs"), text),
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

function succeeded(ran: Ran): Ran {
  assert.equal(ran.code, 0, ran.stderr + ran.stdout);
  return ran;
}

interface CanaryAnswer {
  readonly canary: {
    readonly release: number;
    readonly state: string;
    readonly reason?: string;
    readonly figures?: {
      readonly calls: number;
      readonly errors: number;
      readonly functions: readonly { readonly name: string; readonly calls: number }[];
    };
  };
  readonly liveRelease: number;
}

async function canaryOf(daemon: TestDaemon): Promise<CanaryAnswer> {
  return JSON.parse((await daemon.control("GET", "/v1/projects/shop/canary")).text);
}

async function ended(daemon: TestDaemon): Promise<CanaryAnswer> {
  await until(async () => (await canaryOf(daemon)).canary.state !== "running", WAIT_MS);
  return await canaryOf(daemon);
}

async function answersOf(daemon: TestDaemon, calls: number, headers = {}, name = "orders", path = "/") {
  const counts = new Map<string, number>();
  let left = calls;
  const caller = async () => {
    while (left-- > 0) {
      const { text } = await daemon.call(name, path, { headers });
      counts.set(text, (counts.get(text) ?? 0) + 1);
    }
  };
  await Promise.all([caller(), caller()]);
  return counts;
}

const OLD = "orders 1, prices 1";
const NEW = "orders 1, prices 2";

describe("a release that is tried", () => {
  it("takes its share of the calls from outside, whole chains of them, and goes live by hand", async () => {
    await using daemon = await startDaemon();
    using shop = makeProject();
    const early = await daemon.lambda("deploy", shop.path, "--canary", "10%", "--for", "1h");
    assert.match(early.stderr, /no release of "shop" is live/);
    succeeded(await daemon.lambda("deploy", shop.path));
    shop.write("prices", prices('return "prices 2"'));
    const plan = await daemon.lambda("deploy", shop.path, "--canary", "30%", "--for", "1h", "--dry-run");
    assert.match(succeeded(plan).stdout, /release 2 would be tried/);
    const sticky = ["--sticky", "header:x-user"];
    const ran = await daemon.lambda("deploy", shop.path, "--canary", "30%", "--for", "1h", ...sticky);
    assert.match(succeeded(ran).stdout, /shop: release 2 takes 30% of calls until/);

    // By its own host and by a route: only `prices` has changed, and each chain is all of one release.
    const direct = await answersOf(daemon, 150);
    const routed = await answersOf(daemon, 150, {}, "shop", "/buy");
    const tried = (direct.get(NEW) ?? 0) + (routed.get(NEW) ?? 0);
    assert.equal((direct.get(OLD) ?? 0) + (routed.get(OLD) ?? 0) + tried, 300, [...direct.keys()].join());
    // Five standard deviations of 300 draws.
    assert.ok(Math.abs(tried - 90) < 40, `${tried} of 300`);
    const sides = new Set<string>();
    for (let user = 0; user < 20; user += 1) {
      const headers = { "x-user": `u${user}` };
      const chain = await answersOf(daemon, 2, headers);
      for (const text of (await answersOf(daemon, 1, headers, "prices")).keys())
        chain.set(`orders 1, ${text}`, 1);
      assert.equal(chain.size, 1, `user ${user} was on both sides: ${[...chain.keys()].join()}`);
      for (const side of chain.keys()) sides.add(side);
    }
    assert.deepEqual([...sides].sort(), [OLD, NEW]);

    assert.match((await daemon.lambda("releases", "--project", "shop")).stdout, /2 +canary[\s\S]*1 +live/);
    const { canary: running } = await canaryOf(daemon);
    assert.deepEqual(
      running.figures?.functions.map(({ name }) => name),
      ["orders", "prices"],
    );
    const promoted = await daemon.lambda("canary", "--project", "shop", "--promote");
    assert.match(succeeded(promoted).stdout, /^shop: release 2 promoted: asked for by .*; release 2 is live/);
    assert.deepEqual([...(await answersOf(daemon, 20)).keys()], [NEW]);
    const shown = await daemon.lambda("releases", "show", "2", "--project", "shop");
    assert.match(shown.stdout, /release 2 promoted: asked for[\s\S]*calls, of which 0 failed/);
    assert.equal((await daemon.lambda("canary", "--project", "shop", "--abort")).code, 5);
    const both = await daemon.lambda("canary", "orders", "--project", "shop");
    assert.match(both.stderr, /name one of them/);
  });

  it("goes back by itself when a function of it fails, and lives on when none does", async () => {
    await using daemon = await startDaemon();
    using shop = makeProject();
    succeeded(await daemon.lambda("deploy", shop.path));
    shop.write("prices", prices('throw new Error("x")'));
    const flags = ["--canary", "50%", "--abort-on", "error-rate>5%", "--min-calls", "10"];
    succeeded(await daemon.lambda("deploy", shop.path, ...flags, "--for", "1h"));
    await answersOf(daemon, 60);
    const { canary, liveRelease } = await ended(daemon);
    assert.deepEqual([canary.state, canary.release, liveRelease], ["aborted", 2, 1]);
    assert.match(canary.reason ?? "", /error-rate>5% was met: error-rate was \d+(\.\d+)?% of \d+ calls/);
    assert.deepEqual([...(await answersOf(daemon, 20)).keys()], [OLD]);
    assert.match((await daemon.lambda("releases", "--project", "shop")).stdout, /2 +aborted[\s\S]*1 +live/);

    shop.write("prices", prices('return "prices 3"'));
    succeeded(await daemon.lambda("deploy", shop.path, ...flags, "--for", "3s"));
    await answersOf(daemon, 30);
    const after = await ended(daemon);
    assert.deepEqual([after.canary.state, after.canary.release, after.liveRelease], ["promoted", 3, 3]);
    assert.deepEqual([...(await answersOf(daemon, 10)).keys()], ["orders 1, prices 3"]);
    const history = await daemon.lambda("canary", "--project", "shop");
    assert.match(history.stdout, /EARLIER[\s\S]*release 2 .*aborted/);
  });

  it("is over when another release goes live, and goes on after a restart and a kill", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lambdad-e2e-canary-"));
    using shop = makeProject();
    try {
      for (const signal of ["SIGTERM", "SIGKILL"] as const) {
        await using daemon = await startDaemon({ dataDir });
        if (signal === "SIGTERM") {
          succeeded(await daemon.lambda("deploy", shop.path));
          shop.write("prices", prices('throw new Error("x")'));
          const flags = ["--abort-on", "error-rate>5%", "--min-calls", "20"];
          succeeded(await daemon.lambda("deploy", shop.path, "--canary", "90%", "--for", "1h", ...flags));
        }
        const { canary, liveRelease } = await canaryOf(daemon);
        assert.deepEqual([canary.state, liveRelease], ["running", 1]);
        await answersOf(daemon, 3);
        await daemon.stop(signal);
      }
      await using daemon = await startDaemon({ dataDir });
      assert.equal((await canaryOf(daemon)).canary.state, "running");
      await answersOf(daemon, 40);
      const { canary, liveRelease } = await ended(daemon);
      assert.deepEqual([canary.state, liveRelease], ["aborted", 1]);

      shop.write("prices", prices('return "prices 4"'));
      succeeded(await daemon.lambda("deploy", shop.path, "--canary", "90%", "--for", "1h"));
      succeeded(await daemon.lambda("rollback", "--project", "shop", "--to", "1"));
      const { canary: over } = await canaryOf(daemon);
      assert.deepEqual([over.state, over.release], ["superseded", 3]);
      assert.match(over.reason ?? "", /release 1 was made live by/);
      assert.deepEqual([...(await answersOf(daemon, 20)).keys()], [OLD]);
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  });

  it("is none for what does not start, or what makes no sense", async () => {
    await using daemon = await startDaemon();
    using shop = makeProject();
    succeeded(await daemon.lambda("deploy", shop.path));
    shop.write("prices", `${prices('return "prices 2"')}throw new Error("not today");\n`);
    const canary = ["--canary", "50%", "--for", "1h"];
    const broken = await daemon.lambda("deploy", shop.path, ...canary);
    assert.match(broken.stderr, /"prices" does not start, so release 1 stays live[\s\S]*not today/);
    assert.equal((await daemon.control("GET", "/v1/projects/shop/canary")).status, 404);
    for (const [flags, problem] of [
      [["--canary", "50%"], /needs an end/],
      [["--canary", "200%", "--for", "1h"], /more than 0% and less than 100%/],
      [[...canary, "--preview"], /a preview takes no share/],
      [[...canary, "--abort-on", "errors>1"], /error-rate>1%/],
      [["--sticky", "ip"], /--sticky is for canaries/],
    ] as const) {
      const ran = await daemon.lambda("deploy", shop.path, ...flags);
      assert.notEqual(ran.code, 0);
      assert.match(ran.stderr, problem);
    }
    const single = await daemon.lambda("deploy", join(shop.path, "prices"), "--name", "prices", ...canary);
    assert.match(single.stderr, /lambda deploy --canary in the project's folder/);
    assert.deepEqual([...(await answersOf(daemon, 5)).keys()], [OLD]);
  });
});
