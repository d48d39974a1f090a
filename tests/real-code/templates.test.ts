import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { TEMPLATE_NAMES } from "../../src/cli/templates.ts";
import { makeFolder, skipWithout, startDaemon, type TestDaemon } from "../e2e/daemon.fake.ts";

const has = (command: string, ...args: string[]) => spawnSync(command, args).status === 0;

const withoutPython = skipWithout("python3", has("python3", "--version"));
const withoutGo = skipWithout("go", has("go", "version"));

type Check = (daemon: TestDaemon, name: string) => Promise<void>;

const greets: Check = async (daemon, name) => {
  const byHttp = await daemon.call(name, "/?name=Ada");
  assert.deepEqual([byHttp.status, JSON.parse(byHttp.text)], [200, { message: "Hello, Ada!" }]);
  const byCli = await daemon.lambda("invoke", name, "--data", '{"name":"Bob"}');
  assert.deepEqual(JSON.parse(byCli.stdout), { message: "Hello, Bob!" });
};

const counts: Check = async (daemon, name) => {
  const requests = [];
  for (const path of ["/a", "/b"]) requests.push(JSON.parse((await daemon.call(name, path)).text));
  const seen = requests.map(({ path, requests: count }) => [path, count]);
  assert.deepEqual(seen, [
    ["/a", 1],
    ["/b", 2],
  ]);
};

const serves: Check = async (daemon, name) => {
  const { status, text } = await daemon.call(name, "/any/path?a=b", { body: "x" });
  const { method, path } = JSON.parse(text);
  assert.deepEqual([status, method, path], [200, "POST", "/any/path?a=b"]);
};

const shouts: Check = async (daemon, name) => {
  assert.equal((await daemon.call(name, "/", { body: "hello" })).text, "HELLO");
  assert.equal((await daemon.lambda("invoke", name, "--data", "hello")).stdout, "HELLO");
};

const TEMPLATES: Readonly<Record<string, { readonly check: Check; readonly skip: string | false }>> = {
  nodejs: { check: greets, skip: false },
  "nodejs-ts": { check: greets, skip: false },
  python: { check: greets, skip: withoutPython },
  ruby: { check: greets, skip: skipWithout("ruby", has("ruby", "--version")) },
  go: { check: greets, skip: withoutGo },
  shell: { check: greets, skip: skipWithout("curl", has("curl", "--version")) },
  lifecycle: { check: counts, skip: false },
  "lifecycle-ts": { check: counts, skip: false },
  server: { check: serves, skip: false },
  "server-ts": { check: serves, skip: false },
  "server-python": { check: serves, skip: withoutPython },
  "server-go": { check: serves, skip: withoutGo },
  filter: { check: shouts, skip: false },
  "filter-nodejs": { check: shouts, skip: false },
  "filter-ts": { check: shouts, skip: false },
  "filter-python": { check: shouts, skip: withoutPython },
  "filter-go": { check: shouts, skip: withoutGo },
};

describe("templates", () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon[Symbol.asyncDispose]());

  it("have a test each", () => {
    // That of a project is in projects.test.ts.
    const single = TEMPLATE_NAMES.filter((name) => name !== "project");
    assert.deepEqual(Object.keys(TEMPLATES), single);
  });

  for (const [template, { check, skip }] of Object.entries(TEMPLATES)) {
    it(`${template} is deployed as it is, and answers`, { skip }, async () => {
      using folder = makeFolder();
      const path = join(folder.path, template);
      const made = await daemon.lambda("init", path, "--template", template);
      assert.equal(made.code, 0, made.stderr);
      await daemon.deploy(path, template);
      await check(daemon, template);
    });
  }
});
