import assert from "node:assert/strict";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { EXAMPLES, makeFolder, send, startDaemon, type TestDaemon } from "./daemon.fake.ts";

describe("the main job, as a stranger does it", () => {
  let daemon: TestDaemon;
  const folder = makeFolder();
  before(async () => {
    daemon = await startDaemon();
  });
  after(async () => {
    await daemon[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  it("makes a folder, deploys it, and says each step and where it is live", async () => {
    const hello = join(folder.path, "hello");
    assert.equal((await daemon.lambda("init", hello, "--template", "nodejs")).code, 0);
    const { code, stdout, stderr } = await daemon.lambda("deploy", hello, "--name", "greet");
    assert.equal(code, 0, stderr);
    assert.equal(stdout.trim(), `greet (version 1) is live at http://greet.localhost:${daemon.gatewayPort}`);
    const steps = stderr.split("\n").filter((line) => line.startsWith("["));
    assert.deepEqual(
      steps.map((line) =>
        line.replace(/\d+(\.\d+)? (B|KiB)/, "SIZE").replace(/\d+ ms$|\d+(\.\d+)? s$/, "N ms"),
      ),
      [
        "[1/4] Packaging hello… 2 files, SIZE",
        "[2/4] Building… nothing to build",
        "[3/4] Publishing version 1…",
        "[4/4] Starting… ready in N ms",
      ],
    );
  });

  it("answers by host, by path, and by the command line", async () => {
    const expected = '{"message":"Hello, World!"}';
    assert.equal((await daemon.call("greet", "/?name=World")).text, expected);
    const body = '{"name":"World"}';
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const byPath = await send(daemon.gatewayPort, "/greet", { method: "POST", headers, body });
    assert.equal(byPath.text, expected);
    const invoked = await daemon.lambda("invoke", "greet", "--data", body);
    assert.deepEqual([invoked.code, invoked.stdout.trim()], [0, expected]);
  });

  it("answers on the path of the Runtime Interface Emulator", async () => {
    const path = "/2015-03-31/functions/function/invocations";
    const answer = await daemon.call("greet", path, { method: "POST", body: '{"name":"Ada"}' });
    assert.equal(answer.text, '{"message":"Hello, Ada!"}');
  });

  it("keeps every deploy as a version, and rolls code and configuration back together", async () => {
    const marked = makeFolder({
      "index.mjs": `export const handler = async () => "second " + process.env.MARK;`,
    });
    await daemon.deploy(marked.path, "greet", "-e", "MARK=two", "--memory", "256");
    assert.equal((await daemon.call("greet")).text, "second two");
    const versions = JSON.parse((await daemon.lambda("versions", "greet", "--json")).stdout).versions;
    assert.deepEqual(
      versions.map((version: { number: number; isLive: boolean }) => [version.number, version.isLive]).sort(),
      [
        [1, false],
        [2, true],
      ],
    );
    assert.equal((await daemon.lambda("rollback", "greet")).code, 0);
    assert.equal((await daemon.call("greet", "/?name=Ada")).text, '{"message":"Hello, Ada!"}');
    const info = JSON.parse((await daemon.lambda("info", "greet", "--json")).stdout);
    assert.deepEqual(
      [info.liveVersion, info.latest.config.memoryMib, info.latest.config.environment],
      [1, 128, {}],
    );
    assert.equal((await daemon.call("greet:2".replace(":", "%3A"))).status, 400);
    assert.equal((await send(daemon.gatewayPort, "/greet:2", {})).text, "second two");
    marked[Symbol.dispose]();
  });

  it("reaches a version by the name of an alias", async () => {
    assert.equal((await daemon.lambda("alias", "set", "greet", "beta", "2")).code, 0);
    assert.equal((await daemon.call("beta--greet")).text, "second two");
    assert.equal((await send(daemon.gatewayPort, "/greet:beta/", {})).text, "second two");
  });

  it("shows the log of an invocation by its id", async () => {
    const { headers } = await daemon.call("greet", "/?name=Log");
    const id = String(headers["x-amzn-requestid"]);
    const { stdout } = await daemon.lambda("logs", "greet", "--id", id);
    const lines = stdout.trim().split("\n");
    assert.equal(lines.length, 4, stdout);
    assert.match(lines[0] ?? "", new RegExp(`START RequestId: ${id} Version: \\$LATEST`));
    assert.match(lines[1] ?? "", new RegExp(`${id}\tINFO\tgreeting Log`));
    assert.match(lines[2] ?? "", new RegExp(`END RequestId: ${id}`));
    assert.match(
      lines[3] ?? "",
      /REPORT RequestId: .*\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB/,
    );
  });

  it("lists functions, and forgets one that is deleted", async () => {
    await daemon.deploy(join(EXAMPLES, "hello-nodejs"), "other");
    assert.match((await daemon.lambda("list")).stdout, /^greet\s.*\nother\s/m);
    assert.equal((await daemon.lambda("delete", "other")).code, 0);
    assert.equal((await daemon.call("other")).status, 404);
    assert.equal((await daemon.lambda("info", "other")).code, 3);
  });

  it("keeps its secrets to its owner", () => {
    const mode = (path: string) => statSync(path).mode & 0o777;
    assert.equal(mode(daemon.dataDir), 0o700);
    for (const file of ["admin.key", "master.key", "lambdad.db"]) {
      assert.ok(existsSync(join(daemon.dataDir, file)));
      assert.equal(mode(join(daemon.dataDir, file)), 0o600, file);
    }
  });
});
