import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import {
  busyInstances,
  makeFolder,
  type Ran,
  ROOT,
  run,
  startDaemon,
  type TestDaemon,
  until,
} from "../e2e/daemon.fake.ts";
import { switchUnderLoad } from "./release-switch.fake.ts";

const HANDLER = (answer: string) => `export const handler = async () => ${JSON.stringify(answer)};\n`;
const FILE = `project: shop
functions:
  orders: { calls: [prices] }
  prices: { calls: [orders, prices] }
schedules:
  nightly: { function: orders, cron: "0 3 * * *" }
`;

function makeProject(name = "shop", file = FILE) {
  return makeFolder({
    "lambda.yaml": file.replace("project: shop", `project: ${name}`),
    "orders/index.mjs": HANDLER("orders 1"),
    "prices/index.mjs": HANDLER("prices 1"),
  });
}

function deployed(ran: Ran): Ran {
  assert.equal(ran.code, 0, ran.stderr + ran.stdout);
  return ran;
}

describe("a project on a real daemon", () => {
  let daemon: TestDaemon;
  const folder = makeProject();
  const write = (name: string, text: string) => writeFileSync(join(folder.path, name), text);
  const deploy = (...flags: string[]) => daemon.lambda("deploy", folder.path, ...flags);
  const answer = async (name: string) => (await daemon.call(name)).text;
  before(async () => {
    daemon = await startDaemon();
  });
  after(async () => {
    await daemon[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  it("says what it would do, does it, and does nothing the second time", async () => {
    const plan = deployed(await deploy("--dry-run"));
    assert.match(plan.stdout, /release 1 would go live\n\+ orders .*\n\+ prices .*\n\+ nightly/);
    assert.equal((await daemon.call("orders")).status, 404);
    const first = deployed(await deploy());
    assert.match(first.stdout, /shop: release 1 is live/);
    assert.deepEqual([await answer("orders"), await answer("prices")], ["orders 1", "prices 1"]);
    assert.match(deployed(await deploy()).stdout, /release 1 is live already; nothing has changed/);
    assert.match((await daemon.lambda("schedule", "list")).stdout, /nightly +orders/);
  });

  it("changes only what has changed, and goes back to all of what was", async () => {
    write("orders/index.mjs", HANDLER("orders 2"));
    write("lambda.yaml", FILE.replace(/schedules:[\s\S]*/, ""));
    const second = deployed(await deploy());
    assert.match(second.stdout, /^~ orders +version 1 → 2 \(code\)\n- nightly +schedule\n/);
    assert.deepEqual([await answer("orders"), await answer("prices")], ["orders 2", "prices 1"]);
    const back = deployed(await daemon.lambda("rollback", "--project", "shop"));
    assert.equal(back.stdout, "shop: release 1 is live (was 2)\n");
    assert.equal(await answer("orders"), "orders 1");
    assert.match((await daemon.lambda("schedule", "list")).stdout, /nightly +orders/);
    const listed = deployed(await daemon.lambda("releases", "--project", "shop")).stdout;
    assert.match(listed, /2 +earlier[\s\S]*1 +live/);
    const diff = deployed(await daemon.lambda("releases", "diff", "1", "2", "--project", "shop"));
    assert.match(diff.stdout, /~ orders +version 1 → 2 \(code\)/);
    deployed(await daemon.lambda("releases", "promote", "2", "--project", "shop"));
    assert.equal(await answer("orders"), "orders 2");
  });

  it("leaves everything as it is when one function does not start, and says why", async () => {
    write("orders/index.mjs", HANDLER("orders 3"));
    write(
      "prices/index.mjs",
      'console.log("looking for the database");\nthrow new Error("no database");\nexport const handler = () => 1;\n',
    );
    const failed = await deploy();
    assert.equal(failed.code, 7, failed.stderr);
    assert.match(failed.stderr, /"prices" does not start, so release 2 stays live: .*no database/);
    assert.match(failed.stderr, /looking for the database/);
    assert.deepEqual([await answer("orders"), await answer("prices")], ["orders 2", "prices 1"]);
    write("prices/index.mjs", HANDLER("prices 1"));
  });

  it("refuses a file with aliases that go round, and says which way", async () => {
    write("lambda.yaml", `${FILE.replace("nightly: {", "nightly: &n { input: { again: *n },")}`);
    const refused = await deploy();
    assert.deepEqual([refused.code, refused.stdout], [2, ""], refused.stderr);
    assert.match(
      refused.stderr,
      /lambda\.yaml:6:33: \*n stands for what it is in: nightly → input → again → nightly;/,
    );
    assert.deepEqual([await answer("orders"), await answer("prices")], ["orders 2", "prices 1"]);
    write("lambda.yaml", FILE);
  });

  it("asks before it takes a function out", async () => {
    write("lambda.yaml", "project: shop\nfunctions: { orders: {} }\n");
    const refused = await deploy();
    assert.deepEqual([refused.code, /no longer has prices/.test(refused.stderr)], [2, true], refused.stderr);
    deployed(await deploy("--prune"));
    assert.equal((await daemon.call("prices")).status, 404);
    deployed(await daemon.lambda("rollback", "--project", "shop"));
    assert.deepEqual([await answer("orders"), await answer("prices")], ["orders 2", "prices 1"]);
  });

  it("does not let one of its functions be changed alone", async () => {
    const alone = await daemon.lambda("deploy", join(folder.path, "orders"));
    assert.deepEqual([alone.code, /belongs to project "shop"/.test(alone.stderr)], [5, true], alone.stderr);
    const back = await daemon.lambda("rollback", "orders");
    assert.equal(back.code, 5, back.stderr);
  });

  it("refuses options that are not for it", async () => {
    for (const [flags, expected] of [
      [["--memory", "1G"], /--memory: this is a project/],
      [["--env", "A=b"], /--env A=…: this is a project/],
      [["--env", "prod"], /no environments/],
    ] as const) {
      const refused = await deploy(...flags);
      assert.deepEqual([refused.code, expected.test(refused.stderr)], [2, true], refused.stderr);
    }
    using single = makeFolder({ "index.mjs": HANDLER("x") });
    const preview = await daemon.lambda("deploy", single.path, "--name", "x", "--preview");
    assert.deepEqual([preview.code, /--preview is for projects/.test(preview.stderr)], [2, true]);
    const nowhere = await run(join(ROOT, "bin/lambda"), ["rollback"], { cwd: single.path });
    assert.deepEqual([nowhere.code, /which project/.test(nowhere.stderr)], [2, true], nowhere.stderr);
  });
});

/** TypeScript that does not parse, and a package that no registry has: what each of the tools says of it. */
const UNBUILDABLE = [
  [
    "code",
    { "index.ts": "export const handler = async (: string) => 1;\n" },
    /Unexpected ":"[\s\S]*index\.ts:1:30/,
  ],
  [
    "packages",
    {
      "index.mjs": HANDLER("prices 2"),
      "package.json": '{"dependencies":{"no-such-package":"1.0.0"}}',
      ".npmrc": "registry=http://127.0.0.1:1/\nfetch-retries=0\n",
    },
    /no-such-package/,
  ],
] as const;

describe("a build that fails halfway", () => {
  for (const [what, files, said] of UNBUILDABLE) {
    it(`leaves nothing of the release behind: ${what}`, async () => {
      await using daemon = await startDaemon();
      const names = ["orders", "prices", "stock"];
      using folder = makeFolder({
        "lambda.yaml": `project: shop\nfunctions: { ${names.join(": {}, ")}: {} }\n`,
      });
      const write = (name: string, content: Readonly<Record<string, string>>) => {
        rmSync(join(folder.path, name), { recursive: true, force: true });
        mkdirSync(join(folder.path, name));
        for (const [file, text] of Object.entries(content))
          writeFileSync(join(folder.path, name, file), text);
      };
      const state = async () => ({
        answers: await Promise.all(names.map(async (name) => (await daemon.call(name)).text)),
        versions: await Promise.all(
          names.map(async (name) => (await daemon.control("GET", `/v1/functions/${name}/versions`)).text),
        ),
        releases: (await daemon.control("GET", "/v1/projects/shop/releases")).text,
      });
      for (const name of names) write(name, { "index.mjs": HANDLER(`${name} 1`) });
      deployed(await daemon.lambda("deploy", folder.path));
      const before = await state();
      assert.deepEqual(before.answers, ["orders 1", "prices 1", "stock 1"]);

      for (const name of names) write(name, { "index.mjs": HANDLER(`${name} 2`) });
      write("prices", files);
      const failed = await daemon.lambda("deploy", folder.path);
      assert.deepEqual([failed.code, failed.stdout], [7, ""], failed.stderr);
      assert.match(failed.stderr, /^error: prices: (esbuild|npm install) failed with exit status 1:$/m);
      assert.match(failed.stderr, said);
      assert.match(failed.stderr, /nothing has changed; deploy again when it is mended/);
      assert.deepEqual(await state(), before);

      write("prices", { "index.mjs": HANDLER("prices 2") });
      assert.match(deployed(await daemon.lambda("deploy", folder.path)).stdout, /shop: release 2 is live/);
      assert.deepEqual((await state()).answers, ["orders 2", "prices 2", "stock 2"]);
    });
  }
});

it("is as it was after a kill in the middle of a deploy, and the next one succeeds", async () => {
  using data = makeFolder();
  using folder = makeProject();
  const write = (name: string, text: string) => writeFileSync(join(folder.path, name), text);
  // Says that the function is being started, and holds it there.
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  try {
    await using killed = await startDaemon({ dataDir: data.path });
    deployed(await killed.lambda("deploy", folder.path));
    write("orders/index.mjs", HANDLER("orders 2"));
    write("prices/index.mjs", `await fetch("http://127.0.0.1:${port}/");\n${HANDLER("prices 2")}`);
    const deploying = killed.lambda("deploy", folder.path);
    await Promise.race([
      once(server, "request"),
      deploying.then(({ stderr }): never => assert.fail(`it ended before it was killed: ${stderr}`)),
    ]);
    await killed.stop("SIGKILL");
    const cut = await deploying;
    assert.deepEqual([cut.code, cut.stdout], [6, ""], cut.stderr);
  } finally {
    server.closeAllConnections();
    server.close();
  }
  await using daemon = await startDaemon({ dataDir: data.path });
  const answers = async () =>
    await Promise.all(["orders", "prices"].map(async (name) => (await daemon.call(name)).text));
  assert.deepEqual(await answers(), ["orders 1", "prices 1"]);
  const { releases } = JSON.parse((await daemon.control("GET", "/v1/projects/shop/releases")).text);
  assert.deepEqual(
    releases.map(({ number, state }: { number: number; state: string }) => [number, state]),
    [[1, "live"]],
  );
  write("prices/index.mjs", HANDLER("prices 2"));
  assert.match(deployed(await daemon.lambda("deploy", folder.path)).stdout, /shop: release 2 is live/);
  assert.deepEqual(await answers(), ["orders 2", "prices 2"]);
});

const CALLER = `
const text = async (url) => (await fetch(url)).text();
export const handler = async ({ queryStringParameters: { wait = "0" } = {} }) => {
  await new Promise((resolve) => setTimeout(resolve, Number(wait)));
  const { LAMBDAD_URL, LAMBDAD_RELEASE, ORDERS } = process.env;
  const port = new URL(LAMBDAD_URL).port;
  const byName = await text(\`http://prices.localhost:\${port}/\`).catch(() => "no name");
  return { ORDERS, LAMBDAD_RELEASE, byUrl: await text(\`\${LAMBDAD_URL}/prices\`), byName };
};
`;

describe("functions of a release", () => {
  it("call each other within it, before it is live, while it is, and when it is no more", async () => {
    await using daemon = await startDaemon();
    const { isolation } = JSON.parse((await daemon.control("GET", "/v1/status")).text);
    using folder = makeFolder({ "orders/index.mjs": CALLER });
    const write = (number: number) => {
      const environment = `environment: { ORDERS: "${number}" }`;
      const file = `project: duo\nfunctions:\n  orders: { timeout: 30, ${environment} }\n  prices: {}\n`;
      writeFileSync(join(folder.path, "lambda.yaml"), file);
      mkdirSync(join(folder.path, "prices"), { recursive: true });
      writeFileSync(join(folder.path, "prices/index.mjs"), HANDLER(`prices ${number}`));
    };
    const expected = (number: number) => ({
      ORDERS: `${number}`,
      LAMBDAD_RELEASE: `duo@${number}`,
      byUrl: `prices ${number}`,
      byName: isolation.isIsolated ? `prices ${number}` : "no name",
    });
    const orders = async (host = "orders", path = "/", headers = {}) =>
      JSON.parse((await daemon.call(host, path, { headers })).text);
    write(1);
    deployed(await daemon.lambda("deploy", folder.path));
    assert.deepEqual(await orders(), expected(1));
    const slow = orders("orders", "/?wait=2500");
    await until(async () => (await busyInstances(daemon, "orders")) === 1);
    write(2);
    const preview = deployed(await daemon.lambda("deploy", folder.path, "--preview"));
    assert.match(preview.stdout, /release 2 can be reached at http:\/\/r2--duo\.localhost/);
    assert.deepEqual(await orders(), expected(1));
    assert.deepEqual(await orders("r2--orders"), expected(2));
    assert.deepEqual(await orders("r2--duo", "/orders"), expected(2));
    assert.deepEqual(await orders("orders", "/", { "lambda-release": "2" }), expected(2));
    assert.deepEqual(await orders("orders", "/", { "lambda-release": "duo@2" }), expected(2));
    deployed(await daemon.lambda("releases", "promote", "2", "--project", "duo"));
    assert.deepEqual(await orders(), expected(2));
    assert.deepEqual(await slow, expected(1));
    assert.deepEqual(await orders("r1--orders"), expected(1));
    for (const [host, path, release, status] of [
      ["r9--orders", "/", undefined, 404],
      ["r2--duo", "/nobody", undefined, 404],
      ["r2--nobody", "/", undefined, 404],
      ["orders", "/", "x", 400],
      ["r1--orders", "/", "2", 400],
    ] as const) {
      const headers = release === undefined ? {} : { "lambda-release": release };
      assert.equal((await daemon.call(host, path, { headers })).status, status, `${host} ${release}`);
    }
  });
});

it("starts from the template: a project that answers, with a test that passes", async () => {
  await using daemon = await startDaemon();
  using folder = makeFolder();
  const path = join(folder.path, "tea-shop");
  deployed(await daemon.lambda("init", path, "--template", "project"));
  const tested = await run(process.execPath, ["--test"], { cwd: path, env: { NODE_TEST_CONTEXT: "" } });
  assert.equal(tested.code, 0, tested.stdout);
  deployed(await daemon.lambda("deploy", path));
  const total = { item: "tea", count: 3, total: 12, currency: "EUR" };
  const routed = await daemon.call("tea-shop", "/orders/tea?count=3");
  assert.deepEqual(JSON.parse(routed.text), total);
  const preview = await daemon.call("r1--tea-shop", "/orders/tea?count=3");
  assert.deepEqual(JSON.parse(preview.text), total);
  assert.match((await daemon.lambda("schedule", "list")).stdout, /price-check +prices/);
  assert.match((await daemon.lambda("route", "list")).stdout, /orders/);
  assert.match(deployed(await daemon.lambda("deploy", path)).stdout, /nothing has changed/);
});

it("switches under load without a call that fails, or an answer of two releases", async () => {
  await using daemon = await startDaemon();
  const { answered, mixed, failed } = await switchUnderLoad(daemon, {
    chains: 150,
    perSecond: 25,
    switches: 4,
  });
  assert.deepEqual([failed, mixed], [[], []]);
  assert.ok(answered.size >= 2, JSON.stringify([...answered]));
});
