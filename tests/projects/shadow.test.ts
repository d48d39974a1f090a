import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeFolder, type Ran, startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";

const WAIT_MS = 60_000;

interface Side {
  readonly invocationId: string;
  readonly status?: number;
  readonly error?: string;
  readonly excerpt?: string;
}

interface ShadowAnswer {
  readonly shadow: {
    readonly version?: number;
    readonly release?: number;
    readonly state: string;
    readonly reason?: string;
    readonly counts?: {
      readonly copied: number;
      readonly same: number;
      readonly different: number;
      readonly failed: number;
      readonly notCompared: number;
      readonly skipped: Readonly<Record<string, number>>;
    };
    readonly differences: readonly {
      readonly function: string;
      readonly method: string;
      readonly what: readonly string[];
      readonly live: Side;
      readonly shadow: Side;
    }[];
  };
  readonly liveVersion?: number;
  readonly liveRelease?: number;
}

async function shadowOf(daemon: TestDaemon, subject: string): Promise<ShadowAnswer> {
  return JSON.parse((await daemon.control("GET", `/v1/${subject}/shadow`)).text);
}

/** Once so many copies have been compared. */
async function compared(daemon: TestDaemon, subject: string, copies: number): Promise<ShadowAnswer> {
  await until(async () => ((await shadowOf(daemon, subject)).shadow.counts?.copied ?? 0) >= copies, WAIT_MS);
  return await shadowOf(daemon, subject);
}

function succeeded(ran: Ran): Ran {
  assert.equal(ran.code, 0, ran.stderr + ran.stdout);
  return ran;
}

const handler = (body: string) => `export const handler = async (event, context) => { ${body} };\n`;

/** One after the other, so that none finds too many copies running. */
async function callOneByOne(daemon: TestDaemon, subject: string, calls: number, text: string) {
  for (let call = 1; call <= calls; call += 1) {
    assert.equal((await daemon.call("f", `/?n=${call}`)).text, text);
    await compared(daemon, subject, call);
  }
}

describe("a shadow of a function", () => {
  it("is given copies of calls whose answers are compared, and takes none itself", async () => {
    await using daemon = await startDaemon();
    using folder = makeFolder({ "index.mjs": handler('return { statusCode: 200, body: "one" }') });
    const write = (body: string) => writeFileSync(join(folder.path, "index.mjs"), handler(body));
    await daemon.deploy(folder.path, "f");
    // Headers and the order of keys are no difference; the second request is answered otherwise.
    write(
      'if (event.rawQueryString === "n=2") return { statusCode: 201, body: "two" };' +
        'if (event.rawQueryString === "n=3") throw new Error("three");' +
        'return { headers: { "x-other": "1" }, body: "one", statusCode: 200 }',
    );
    const ran = await daemon.deploy(folder.path, "f", "--shadow", "100%", "--for", "1h");
    assert.match(ran.stdout, /version 2 is given copies of 100% of GET, HEAD, OPTIONS calls until/);
    await callOneByOne(daemon, "functions/f", 4, "one");
    const { shadow, liveVersion } = await shadowOf(daemon, "functions/f");
    assert.equal(liveVersion, 1);
    const { copied, same, different, failed } = shadow.counts ?? {};
    assert.deepEqual([copied, same, different, failed], [4, 2, 1, 1]);
    const [second, third] = shadow.differences;
    assert.deepEqual(second?.what, ["status", "body"]);
    assert.deepEqual([second?.live.status, second?.live.excerpt], [200, "one"]);
    assert.deepEqual([second?.shadow.status, second?.shadow.excerpt], [201, "two"]);
    assert.match(third?.shadow.error ?? "", /Error: three/);
    const id = second?.shadow.invocationId ?? "";
    assert.match((await daemon.lambda("logs", "f", "--id", id)).stdout, new RegExp(id), "found in its logs");

    // What may have side effects is not copied unless that is asked for.
    await daemon.call("f", "/", { method: "POST", body: "x" });
    await daemon.control("POST", "/2015-03-31/functions/f/invocations", {});
    const skipped = await shadowOf(daemon, "functions/f");
    assert.deepEqual([skipped.shadow.counts?.copied, skipped.shadow.counts?.skipped.method], [4, 2]);

    const shown = await daemon.lambda("shadow", "f");
    assert.match(shown.stdout, /of 4 copied calls 2 had the same answer, 1 a different one, 1 failed/);
    assert.match(shown.stdout, /GET {2}status, body\n {2}live .*200 {2}"one"\n {2}shadow .*201 {2}"two"/);
    assert.match((await daemon.lambda("info", "f")).stdout, /Shadow: +version 2 is given copies/);
    const stopped = await daemon.lambda("shadow", "f", "--stop");
    assert.match(succeeded(stopped).stdout, /version 2 ended as a shadow: stopped: of 4 copied calls/);
    await daemon.call("f");
    assert.equal((await shadowOf(daemon, "functions/f")).shadow.counts?.copied, 4);
    assert.equal((await daemon.lambda("shadow", "f", "--stop")).code, 5, "there is none any more");
  });

  it("copies all calls where that is asked for, tells the function, and keeps places free", async () => {
    await using daemon = await startDaemon();
    using folder = makeFolder({ "index.mjs": handler('return "live"') });
    await daemon.deploy(folder.path, "f", "--max", "1");
    const copy = `const marked = context.clientContext?.custom?.["lambda-shadow"] ?? "-";
      await new Promise((resolve) => setTimeout(resolve, 2000)); return "live" + marked;`;
    writeFileSync(join(folder.path, "index.mjs"), handler(copy));
    await daemon.deploy(folder.path, "f", "--shadow", "100%", "--shadow-methods", "all", "--for", "1h");
    // The function may run one call at once: copies that take long must not keep others out.
    for (let call = 0; call < 3; call += 1) {
      const { status, text } = await daemon.call("f", "/", { method: "POST", body: "x" });
      assert.deepEqual([status, text], [200, "live"]);
    }
    const { shadow } = await compared(daemon, "functions/f", 1);
    assert.equal(shadow.differences[0]?.shadow.excerpt, JSON.stringify("live1"));
    assert.equal(shadow.differences[0]?.method, "POST");
  });

  it("is compared for servers, whose header tells them, but not beyond what is kept", async () => {
    await using daemon = await startDaemon();
    const server = (more: string) => `
import { createServer } from "node:http";
createServer((request, response) => {
  const size = Number(new URL(request.url, "http://x").searchParams.get("size") ?? 0);
  ${more}
  response.end(size > 0 ? "x".repeat(size) : "hello " + (request.headers["lambda-shadow"] ?? "0"));
}).listen(process.env.PORT);
`;
    using folder = makeFolder({ "server.mjs": server("") });
    const flags = ["--kind", "server", "--command", "node server.mjs"];
    await daemon.deploy(folder.path, "f", ...flags);
    writeFileSync(join(folder.path, "server.mjs"), server("response.statusCode = size > 0 ? 200 : 202;"));
    await daemon.deploy(folder.path, "f", ...flags, "--shadow", "100%");
    assert.equal((await daemon.call("f")).text, "hello 0");
    const { shadow } = await compared(daemon, "functions/f", 1);
    assert.deepEqual(shadow.differences[0]?.what, ["status", "body"]);
    assert.deepEqual(
      [shadow.differences[0]?.live.excerpt, shadow.differences[0]?.shadow.excerpt],
      ["hello 0", "hello 1"],
    );
    assert.equal((await daemon.call("f", "/?size=1000000")).text.length, 1_000_000);
    const { shadow: after } = await compared(daemon, "functions/f", 2);
    assert.equal(after.counts?.notCompared, 1);
  });

  it("ends by itself, survives a restart with what it found, and is over when a version is deployed", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lambdad-e2e-shadow-"));
    using folder = makeFolder({ "index.mjs": handler('return "one"') });
    try {
      {
        await using daemon = await startDaemon({ dataDir });
        await daemon.deploy(folder.path, "f");
        writeFileSync(join(folder.path, "index.mjs"), handler('return "two"'));
        await daemon.deploy(folder.path, "f", "--shadow", "100%", "--for", "1h");
        await callOneByOne(daemon, "functions/f", 2, "one");
        await daemon.stop("SIGTERM");
      }
      await using daemon = await startDaemon({ dataDir });
      await callOneByOne(daemon, "functions/f", 3, "one");
      const { shadow } = await shadowOf(daemon, "functions/f");
      assert.equal(shadow.state, "running");
      assert.ok((shadow.counts?.different ?? 0) >= 3);
      await daemon.deploy(folder.path, "f", "--shadow", "100%", "--for", "2s");
      await until(async () => (await shadowOf(daemon, "functions/f")).shadow.state !== "running", WAIT_MS);
      const { shadow: over, liveVersion } = await shadowOf(daemon, "functions/f");
      assert.deepEqual([over.state, over.version, liveVersion], ["ended", 3, 1]);
      assert.match(over.reason ?? "", /its time was over: of 0 copied calls/);
      await daemon.deploy(folder.path, "f", "--shadow", "100%");
      await daemon.deploy(folder.path, "f");
      assert.equal((await shadowOf(daemon, "functions/f")).shadow.state, "superseded");
      assert.equal((await daemon.call("f")).text, "two");
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  });

  it("is refused with a sentence where it cannot be", async () => {
    await using daemon = await startDaemon();
    using folder = makeFolder({ "index.mjs": handler('return "one"') });
    const deploy = (...flags: string[]) => daemon.lambda("deploy", folder.path, "--name", "f", ...flags);
    assert.match((await deploy("--shadow", "5%")).stderr, /shadow: "f" does not exist/);
    await daemon.deploy(folder.path, "f");
    for (const [flags, problem] of [
      [["--shadow", "0%"], /more than 0% and at most 100%/],
      [["--shadow", "5%", "--canary", "5%", "--for", "1h"], /one is tried at a time/],
      [["--shadow", "5%", "--abort-on", "error-rate>1%"], /--abort-on is for canaries/],
      [["--shadow-methods", "GET"], /--shadow-methods is for shadows/],
      [["--shadow", "5%", "--shadow-methods", "GET,all"], /expected methods of HTTP, INVOKE .*or all alone/],
      [["--shadow", "5%", "--shadow-methods", "a b"], /expected methods of HTTP/],
    ] as const) {
      const ran = await deploy(...flags);
      assert.notEqual(ran.code, 0);
      assert.match(ran.stderr, problem);
    }
    const body = { canary: { share: 0.1, forMs: 60_000 }, shadow: { share: 0.1 } };
    const path = `/v1/functions/f/deploy?options=${encodeURIComponent(JSON.stringify(body))}`;
    assert.equal((await daemon.control("POST", path)).status, 400);
    assert.match((await daemon.lambda("shadow", "f")).stderr, /has had no shadow/);
    writeFileSync(join(folder.path, "index.mjs"), `${handler("")}throw new Error("not today");`);
    assert.match((await deploy("--shadow", "5%")).stderr, /does not start[\s\S]*/);
    assert.doesNotMatch((await daemon.lambda("versions", "f")).stdout, /^2\s/m);
  });
});

describe("a shadow of a release", () => {
  it("is given copies where calls enter, and calls its own siblings", async () => {
    await using daemon = await startDaemon();
    const front = `export const handler = async () => {
      const answer = await fetch(process.env.LAMBDAD_URL + "/prices"); return await answer.text(); };\n`;
    const prices = (text: string) => `export const handler = async () => "${text}";\n`;
    using folder = makeFolder({
      "lambda.yaml": "project: shop\nfunctions:\n  f: {}\n  prices: {}\n",
      "f/index.mjs": front,
      "prices/index.mjs": prices("prices 1"),
    });
    succeeded(await daemon.lambda("deploy", folder.path));
    writeFileSync(join(folder.path, "prices/index.mjs"), prices("prices 2"));
    const ran = await daemon.lambda("deploy", folder.path, "--shadow", "100%", "--for", "1h");
    assert.match(succeeded(ran).stdout, /shop: release 2 is given copies of 100% of GET/);
    await callOneByOne(daemon, "projects/shop", 3, "prices 1");
    const { shadow, liveRelease } = await shadowOf(daemon, "projects/shop");
    assert.deepEqual([shadow.state, shadow.release, liveRelease], ["running", 2, 1]);
    // One for each chain: what is called within a release is copied no more.
    assert.deepEqual([shadow.counts?.copied, shadow.counts?.different], [3, 3]);
    assert.deepEqual(
      shadow.differences.map((each) => [each.function, each.live.excerpt, each.shadow.excerpt]),
      Array.from({ length: 3 }, () => ["f", '"prices 1"', '"prices 2"']),
    );
    assert.match((await daemon.lambda("releases", "--project", "shop")).stdout, /2 +shadow[\s\S]*1 +live/);
    const stopped = await daemon.lambda("shadow", "--project", "shop", "--stop");
    assert.match(succeeded(stopped).stdout, /shop: release 2 ended as a shadow: stopped by .*of 3 copied/);
    assert.match((await daemon.lambda("releases", "--project", "shop")).stdout, /2 +preview[\s\S]*1 +live/);
    succeeded(await daemon.lambda("releases", "promote", "2", "--project", "shop"));
    assert.equal((await daemon.call("f")).text, "prices 2");
  });
});
