import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import {
  makeFolder,
  processesWith,
  send,
  skipWithout,
  startDaemon,
  type TestDaemon,
  until,
} from "./daemon.fake.ts";

const noSandbox = skipWithout("bubblewrap", spawnSync("bwrap", ["--version"]).status === 0);

describe("functions that misbehave", () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon[Symbol.asyncDispose]());

  async function deploy(name: string, code: string, ...flags: string[]): Promise<void> {
    using folder = makeFolder({ "index.mjs": code });
    await daemon.deploy(folder.path, name, ...flags);
  }

  const errorOf = (text: string) => JSON.parse(text).error;

  it("ends one that never answers at its timeout, with all that it has started", async () => {
    const mark = `never-${process.pid}`;
    await deploy(
      "never",
      `import { spawn } from "node:child_process";
       export const handler = () => {
         spawn("sh", ["-c", "trap '' TERM; (setsid sleep 1000.${process.pid} &) ; sleep 1000.${process.pid}"], { detached: true, stdio: "ignore", env: { MARK: "${mark}", PATH: "/usr/bin:/bin" } });
         return new Promise(() => setTimeout(() => undefined, 1e6));
       };`,
      "--timeout",
      "1",
    );
    const answer = await daemon.call("never");
    assert.deepEqual([answer.status, errorOf(answer.text).code], [504, "FunctionTimedOut"]);
    await until(() => processesWith(mark).length === 0);
    const id = String(answer.headers["x-amzn-requestid"]);
    const { stdout } = await daemon.lambda("logs", "never", "--id", id);
    assert.match(stdout, /Task timed out after 1\.00 seconds/);
    assert.match(stdout, /REPORT .*Status: timeout/);
  });

  it("says how one left that exits, and starts it anew for the next call", async () => {
    await deploy(
      "exits",
      `export const handler = (e) => { if (e.rawPath === "/go") process.exit(7); return "here"; };`,
    );
    assert.equal((await daemon.call("exits")).text, "here");
    const answer = await daemon.call("exits", "/go");
    assert.deepEqual([answer.status, errorOf(answer.text).code], [502, "FunctionCrashed"]);
    assert.match(errorOf(answer.text).message, /exit status 7/);
    assert.equal((await daemon.call("exits")).text, "here");
  });

  for (const [what, files, flags, place, frame] of [
    [
      "JavaScript",
      { "index.mjs": "export const handler = async () => {\n  return {{;\n};\n" },
      [],
      /index\.mjs:2:11 does not parse: Unexpected token '\{'/,
      /> 2 \| {3}return \{\{;\n {4}\| {11}\^/,
    ],
    [
      "JavaScript whose handler does not show",
      { "index.js": "const a = 1;\nexport cosnt handler = async () => a;\n" },
      [],
      /index\.js:2:1 does not parse: Unexpected token 'export'/,
      /> 2 \| export cosnt handler/,
    ],
    [
      "JavaScript whose handler was said",
      { "index.mjs": 'import x form "y";\nexport const handler = 1;\n' },
      ["--handler", "index.handler"],
      /index\.mjs:1:10 does not parse: Unexpected identifier 'form'/,
      /> 1 \| import x form/,
    ],
    [
      "TypeScript whose handler does not show",
      { "index.ts": "const a: number = 1;\nexport cosnt handler = async () => a;\n" },
      [],
      /index\.ts:2:[78]/,
      /2 [|│] +export cosnt handler/,
    ],
    [
      "Python",
      { "main.py": "def handler(event, context)\n    return 1\n" },
      [],
      /main\.py:1:28 does not parse: expected ':'/,
      /> 1 \| def handler/,
    ],
    [
      "Python whose handler does not show",
      { "main.py": "import os\ndeff handler(event, context):\n    return 1\n" },
      [],
      /main\.py:2:6 does not parse: invalid syntax/,
      /> 2 \| deff handler/,
    ],
  ] as const) {
    it(`refuses ${what} that does not parse, with the place, and changes nothing`, async () => {
      using broken = makeFolder(files);
      await deploy("parsed", 'export const handler = () => "good";');
      const { code, stdout, stderr } = await daemon.lambda(
        "deploy",
        broken.path,
        "--name",
        "parsed",
        ...flags,
      );
      assert.deepEqual([code, stdout], [7, ""]);
      assert.match(stderr, place);
      assert.match(stderr, frame);
      assert.equal((await daemon.call("parsed")).text, "good");
      const fresh = await daemon.lambda("deploy", broken.path, "--name", "fresh", "--json", ...flags);
      assert.match(fresh.stderr + fresh.stdout, /"InvalidSyntax"/);
      assert.match(fresh.stderr + fresh.stdout, /:\d+:\d+ does not parse: /);
      assert.equal((await daemon.call("fresh")).status, 404);
    });
  }

  it("shows file and line of a syntax error in what is imported, and in code taken as it is, at the first call", async () => {
    using folder = makeFolder({
      "index.mjs": 'import { a } from "./lib/a.mjs";\nexport const handler = () => a;\n',
      "lib/a.mjs": "export const a = 1;\nexport const b = ;\n",
    });
    const { stderr } = await daemon.deploy(folder.path, "imports");
    assert.match(stderr, /does not start: .*Unexpected token ';' \(.*lib\/a\.mjs:2\)/);
    assert.match(errorOf((await daemon.call("imports")).text).message, /lib\/a\.mjs:2/);
    const text = "export const handler = async () => {\n  return {{;\n};\n";
    await deploy("syntax", text, "--no-build");
    const answer = await daemon.call("syntax");
    assert.deepEqual([answer.status, errorOf(answer.text).code], [502, "FunctionThrew"]);
    assert.match(errorOf(answer.text).message, /index\.mjs:2/);
    const invoked = await daemon.lambda("invoke", "syntax");
    assert.equal(invoked.code, 1);
    assert.match(invoked.stdout + invoked.stderr, /Runtime\.UserCodeSyntaxError/);
  });

  it("gives the caller of one that throws its error, and serves on", async () => {
    await deploy(
      "throws",
      `export const handler = (e) => { if (e.rawPath === "/t") throw new TypeError("no good"); return 1; };`,
    );
    const answer = await daemon.call("throws", "/t");
    assert.deepEqual([answer.status, errorOf(answer.text).errorType], [502, "TypeError"]);
    const invoked = await daemon.lambda("invoke", "throws", "--data", '{"rawPath":"/t"}');
    assert.deepEqual([invoked.code, JSON.parse(invoked.stdout).errorType], [1, "TypeError"]);
    assert.equal((await daemon.call("throws")).text, "1");
  });

  it("cuts the log of one that prints without end, and says so", async () => {
    await deploy(
      "prints",
      `export const handler = async () => { const line = "x".repeat(1000) + "\\n"; for (let i = 0; i < 20000; i++) { if (!process.stdout.write(line)) await new Promise((r) => process.stdout.once("drain", r)); } return "done"; };`,
      "--timeout",
      "30",
    );
    const answer = await daemon.call("prints");
    assert.equal(answer.text, "done");
    const { stdout } = await daemon.lambda(
      "logs",
      "prints",
      "--id",
      String(answer.headers["x-amzn-requestid"]),
    );
    assert.ok(stdout.length < 2_500_000, `${stdout.length} bytes are shown`);
    assert.match(stdout, /truncated/);
    assert.match(stdout, /REPORT RequestId/);
  });

  it("stops one that forks without end, and others do not notice", { skip: noSandbox }, async () => {
    await deploy("calm", `export const handler = () => "calm";`);
    using folder = makeFolder({ "bomb.sh": "#!/bin/sh\nbomb() { bomb | bomb & }\nbomb\nsleep 2\n" });
    await daemon.deploy(folder.path, "bomb", "--kind", "filter", "--command", "./bomb.sh", "--timeout", "2");
    const bombed = daemon.call("bomb", "/", { body: "" });
    for (let i = 0; i < 20; i++) assert.equal((await daemon.call("calm")).text, "calm");
    assert.ok([502, 504, 200].includes((await bombed).status));
    await until(() => processesWith("bomb.sh").length === 0);
  });

  it("ends one that takes more memory than it has, and says that it was memory", {
    skip: noSandbox,
  }, async () => {
    await deploy(
      "hungry",
      `export const handler = () => { const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1)); };`,
      "--timeout",
      "20",
    );
    const answer = await daemon.call("hungry");
    assert.deepEqual([answer.status, errorOf(answer.text).code], [502, "FunctionCrashed"]);
    assert.match(errorOf(answer.text).message, /memory/);
  });

  it("refuses a response that is too large", async () => {
    await deploy("large", `export const handler = () => "x".repeat(7_000_000);`);
    const invoked = await daemon.lambda("invoke", "large");
    assert.equal(invoked.code, 1);
    assert.match(invoked.stdout, /Function\.ResponseSizeTooLarge/);
  });

  it("keeps functions apart: no sibling's files, processes or sockets", { skip: noSandbox }, async () => {
    await deploy(
      "spy",
      `import { readdirSync, existsSync } from "node:fs";
       export const handler = () => ({
         pids: readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name)).length,
         task: readdirSync("/var/task"),
         run: readdirSync("/run"),
         data: existsSync(${JSON.stringify("DATA")}),
         uid: process.getuid(),
         env: Object.keys(process.env).filter((name) => /KEY|SECRET|TOKEN|LAMBDAD/.test(name)),
       });`.replace('"DATA"', JSON.stringify(daemon.dataDir)),
    );
    const seen = JSON.parse((await daemon.call("spy")).text);
    assert.ok(seen.pids <= 5, `${seen.pids} processes are visible`);
    assert.notEqual(seen.uid, 0);
    assert.deepEqual([seen.task, seen.run, seen.data, seen.env], [["index.mjs"], ["lambdad"], false, []]);
  });
});

describe("calls that are refused", () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
    using folder = makeFolder({
      "index.mjs": `export const handler = () => new Promise((r) => setTimeout(r, 300, "ok"));`,
    });
    await daemon.deploy(folder.path, "slow", "--max", "1");
  });
  after(() => daemon[Symbol.asyncDispose]());

  it("answers each in JSON with a code and the id of the request", async () => {
    const large = "x".repeat(6 * 1024 * 1024 + 1);
    const table: readonly (readonly [number, string, Promise<{ status: number; text: string }>])[] = [
      [404, "FunctionNotFound", daemon.call("nobody")],
      [404, "VersionNotFound", send(daemon.gatewayPort, "/slow:9/", {})],
      [404, "AliasNotFound", send(daemon.gatewayPort, "/slow:prod/", {})],
      [413, "PayloadTooLarge", daemon.call("slow", "/", { body: large })],
      [
        401,
        "Unauthenticated",
        daemon.control("GET", "/v1/functions", undefined, { authorization: "Bearer X.Y" }),
      ],
      [403, "HostRefused", daemon.control("GET", "/v1/functions", undefined, { host: "evil.example" })],
      [
        403,
        "HostRefused",
        daemon.control("GET", "/v1/functions", undefined, { origin: "http://evil.example" }),
      ],
      [404, "RouteNotFound", daemon.control("GET", "/v1/nothing")],
    ];
    for (const [status, code, sent] of table) {
      const answer = await sent;
      const { error } = JSON.parse(answer.text);
      assert.deepEqual([answer.status, error.code], [status, code]);
      assert.match(error.requestId, /^[0-9a-f-]{36}$/);
    }
  });

  it("answers 429 with Retry-After beyond the function's limit", async () => {
    const answers = await Promise.all([1, 2, 3].map(() => daemon.call("slow")));
    const refused = answers.filter((answer) => answer.status === 429);
    assert.equal(refused.length, 2);
    assert.match(String(refused[0]?.headers["retry-after"]), /^\d+$/);
  });

  it("refuses to deploy what cannot run, with the value and the remedy, and changes nothing", async () => {
    using empty = makeFolder();
    using nothing = makeFolder({ "readme.txt": "no code" });
    for (const [folder, name, pattern] of [
      [empty.path, "empty", /empty|no files/i],
      [nothing.path, "nothing", /readme\.txt[\s\S]*--handler/],
      [nothing.path, "bad name!", /A-Z, a-z, 0-9/],
      [`${nothing.path}/missing`, "missing", /missing/],
    ] as const) {
      const { code, stderr } = await daemon.lambda("deploy", folder, "--name", name);
      assert.notEqual(code, 0);
      assert.match(stderr, pattern);
    }
    const { stdout } = await daemon.lambda("list", "--json");
    assert.deepEqual(
      JSON.parse(stdout).functions.map((made: { name: string }) => made.name),
      ["slow"],
    );
  });

  it("never starts a call whose client has gone", async () => {
    // Calls are busy for as long as this does not answer, however slowly their instances start.
    const held: ServerResponse[] = [];
    await using gate = createServer((_, response) => held.push(response)).listen(0, "127.0.0.1");
    await once(gate, "listening");
    const { port } = gate.address() as AddressInfo;
    using folder = makeFolder({
      "index.mjs": `export const handler = async (e) => {
        console.log("began", e.rawPath);
        if (e.rawPath === "/busy") await fetch("http://127.0.0.1:${port}/").then((answer) => answer.text());
        return 1;
      };`,
    });
    await daemon.deploy(folder.path, "queue", "--timeout", "120");
    const busy = Array.from({ length: 10 }, () => daemon.call("queue", "/busy"));
    await until(() => held.length === 10);
    const gone = new AbortController();
    const waiting = daemon.call("queue", "/gone", { signal: gone.signal });
    waiting.catch(() => undefined);
    gone.abort();
    await assert.rejects(waiting);
    for (const response of held) response.end();
    await Promise.all(busy);
    await daemon.call("queue", "/last");
    assert.doesNotMatch((await daemon.lambda("logs", "queue")).stdout, /began \/gone/);
  });
});
