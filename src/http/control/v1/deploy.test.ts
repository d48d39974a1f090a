import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import type { CodeSettings } from "../../../code/prepare.ts";
import { PlatformError } from "../../../core/errors.ts";
import { named, startControl, type TestControl, zipOf } from "../control.fake.ts";
import type { ControlParts } from "../parts.ts";

let control: TestControl;
let usual: Pick<TestControl, "prepare" | "warm">;
before(async () => {
  control = await startControl();
  usual = { prepare: control.prepare, warm: control.warm };
});
beforeEach(() => Object.assign(control, usual));
after(() => control[Symbol.asyncDispose]());

interface Deployed {
  readonly status: number;
  readonly lines: readonly Record<string, unknown>[];
  readonly last: Record<string, unknown>;
}

async function deploy(name: string, options: object = {}, body: Buffer = zipOf()): Promise<Deployed> {
  const path = `/v1/functions/${name}/deploy?options=${encodeURIComponent(JSON.stringify(options))}`;
  const answer = await control.send({ method: "POST", path, body });
  const lines = answer.text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
  return { status: answer.status, lines, last: lines.at(-1) };
}

const STEPPING: ControlParts["prepare"] = async (upload, settings, options) => {
  options.step("Packaging", "1 file, 31 B");
  options.step("Building", "npm packages");
  options.output("added 1 package");
  return usual.prepare(upload, settings, options);
};

describe("a deploy", () => {
  it("tells its steps and ends with where the function is", async () => {
    control.prepare = STEPPING;
    const { status, lines, last } = await deploy("greet", { memoryMib: 256, environment: { STAGE: "x" } });
    assert.equal(status, 200);
    assert.deepEqual(lines.slice(0, -1), [
      { type: "step", step: 1, of: 4, title: "Packaging" },
      { type: "step", step: 1, of: 4, title: "Packaging", detail: "1 file, 31 B" },
      { type: "step", step: 2, of: 4, title: "Building", detail: "npm packages" },
      { type: "output", text: "added 1 package" },
      { type: "step", step: 3, of: 4, title: "Publishing version 1" },
      { type: "step", step: 4, of: 4, title: "Starting" },
    ]);
    const { type, version, readyMs, url } = last;
    assert.deepEqual(
      { type, version, readyMs, url },
      { type: "done", version: 1, readyMs: 12, url: "http://greet.localhost:8080" },
    );
    const { liveVersion, latest } = await control.functions.get(named("greet"));
    const { memoryMib, environment, entry } = latest.config;
    assert.deepEqual(
      { liveVersion, memoryMib, environment, entry },
      {
        liveVersion: 1,
        memoryMib: 256,
        environment: { STAGE: "x" },
        entry: { kind: "handler", handler: "index.handler" },
      },
    );
    assert.deepEqual(await readdir(join(control.dir, "uploads")), []);
  });

  it("keeps what a later one leaves out", async () => {
    await deploy("kept", {
      memoryMib: 512,
      timeoutMs: 9_000,
      environment: { AA: "1" },
      concurrencyMax: 3,
      handler: "app.run",
    });
    const seen: CodeSettings[] = [];
    control.prepare = (upload, settings, options) => {
      seen.push(settings);
      return usual.prepare(upload, settings, options);
    };
    const { last } = await deploy("kept", { timeoutMs: 4_000 });
    assert.equal(last.version, 2);
    assert.deepEqual(
      [seen[0]?.handler, seen[0]?.runtime, seen[0]?.kind],
      ["app.run", "nodejs24.x", "handler"],
    );
    const { latest, concurrencyMax } = await control.functions.get(named("kept"));
    const { memoryMib, timeoutMs, environment } = latest.config;
    assert.deepEqual(
      { memoryMib, timeoutMs, environment, concurrencyMax },
      { memoryMib: 512, timeoutMs: 4_000, environment: { AA: "1" }, concurrencyMax: 3 },
    );
    await deploy("kept", { concurrencyMax: null });
    assert.equal((await control.functions.get(named("kept"))).concurrencyMax, undefined);
  });

  it("detects anew when the code no longer has what ran before", async () => {
    await deploy("moved", { handler: "old.run" });
    control.prepare = async (upload, settings, options) => {
      if (settings.handler === "old.run") throw new PlatformError("InvalidHandler", "there is no old.js");
      return usual.prepare(upload, settings, options);
    };
    await deploy("moved");
    const { latest } = await control.functions.get(named("moved"));
    assert.deepEqual(latest.config.entry, { kind: "handler", handler: "index.handler" });
  });

  it("takes the upload to the name of a single file", async () => {
    const names: (string | undefined)[] = [];
    control.prepare = (upload, settings, options) => {
      names.push(upload.name);
      return usual.prepare(upload, settings, options);
    };
    await deploy("single", { fileName: "hello.js" }, Buffer.from("exports.handler = async () => 1;"));
    assert.deepEqual(names, ["hello.js"]);
  });

  it("gives programs that serve several calls several slots, and handlers one", async () => {
    control.prepare = async (upload, settings, options) => ({
      ...(await usual.prepare(upload, settings, options)),
      entry: { kind: "server", command: ["./run"] },
    });
    await deploy("slots");
    await deploy("slots-3", { slotsPerInstance: 3 });
    const slots = async (name: string) =>
      (await control.functions.get(named(name))).latest.config.slotsPerInstance;
    assert.deepEqual([await slots("slots"), await slots("slots-3")], [10, 3]);

    Object.assign(control, usual);
    const { last } = await deploy("slots-h", { slotsPerInstance: 3 });
    assert.match(JSON.stringify(last), /"code":"InvalidRequest".*serves one call at a time/);
    await assert.rejects(control.functions.get(named("slots-h")));
  });

  it("is live although it does not start, and says why", async () => {
    control.warm = async () => {
      throw new Error("index.js:1: SyntaxError: Unexpected token");
    };
    const { lines, last } = await deploy("broken");
    assert.deepEqual(
      [last.type, last.version, last.readyMs, last.readyError],
      ["done", 1, undefined, "index.js:1: SyntaxError: Unexpected token"],
    );
    assert.match(String(lines.at(-2)?.text), /^warning: version 1 does not start: index\.js:1/);
    assert.equal((await control.functions.get(named("broken"))).liveVersion, 1);
  });

  it("starts nothing of a function that nobody may call", async () => {
    control.warm = async () => assert.fail("it was started");
    const { last } = await deploy("closed", { concurrencyMax: 0 });
    assert.deepEqual([last.type, last.readyMs, last.readyError], ["done", undefined, undefined]);
  });

  it("changes nothing when the build fails, and gives the tool's own words", async () => {
    await deploy("stays");
    const before = await control.functions.get(named("stays"));
    control.prepare = async (_upload, _settings, { output }) => {
      output("npm ERR! 404");
      throw new PlatformError("BuildFailed", "npm ci ended with 1: npm ERR! 404");
    };
    const { status, last } = await deploy("stays");
    const { code, message } = Object(last.error);
    assert.deepEqual(
      [status, last.type, code, message],
      [200, "error", "BuildFailed", "npm ci ended with 1: npm ERR! 404"],
    );
    assert.deepEqual(await control.functions.get(named("stays")), before);
  });

  it("keeps what broke inside to itself", async () => {
    control.prepare = async () => {
      throw new Error("secret detail");
    };
    const { last } = await deploy("inside");
    const { code, message } = Object(last.error);
    assert.deepEqual([code, message], ["Internal", "internal error"]);
  });

  it("changes nothing when the caller leaves before the version is published", async () => {
    const begun = Promise.withResolvers<void>();
    const left = Promise.withResolvers<void>();
    control.prepare = async (_upload, _settings, { signal }) => {
      begun.resolve();
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      left.resolve();
      throw signal.reason;
    };
    const outgoing = request({
      host: "127.0.0.1",
      port: control.port,
      method: "POST",
      path: "/v1/functions/left/deploy",
      agent: false,
      headers: { authorization: `Bearer ${control.token}` },
    });
    outgoing.on("error", () => undefined);
    outgoing.end(zipOf());
    await begun.promise;
    outgoing.destroy();
    await left.promise;
    await assert.rejects(control.functions.get(named("left")));
  });

  for (const [why, options, pattern] of [
    ["an unknown option", { memory: 128 }, /unrecognized key: "memory"/],
    ["too little memory", { memoryMib: 64 }, /memoryMib: .*128/],
    ["a network that is none", { network: "bridge" }, /network: /],
    ["a reserved variable", { environment: { AWS_REGION: "x" } }, /Reserved keys/],
    ["an ill-named variable", { environment: { "A-B": "x" } }, /environment/],
    ["a NUL in a variable", { environment: { AB: "x\0y" } }, /NUL character in the value of AB/],
    ["a file name with a folder", { fileName: "../x.js" }, /fileName/],
    ["an empty command", { command: [] }, /command/],
    ["a kind that is none", { kind: "daemon" }, /kind/],
  ] as const) {
    it(`refuses ${why} with a status, before anything is done`, async () => {
      control.prepare = async () => assert.fail("it was prepared");
      const path = `/v1/functions/refused/deploy?options=${encodeURIComponent(JSON.stringify(options))}`;
      const answer = await control.send({ method: "POST", path, body: zipOf() });
      assert.equal(answer.status, 400);
      assert.match(Object(answer.json).error.message, pattern);
    });
  }

  it("refuses options that are no JSON, an empty upload and a name outside the grammar", async () => {
    const post = (path: string, body: Buffer | string) => control.send({ method: "POST", path, body });
    const answers = [
      await post("/v1/functions/x/deploy?options=%7B", zipOf()),
      await post("/v1/functions/x/deploy", ""),
      await post("/v1/functions/_x/deploy", zipOf()),
      await post(`/v1/functions/${"x".repeat(65)}/deploy`, zipOf()),
    ];
    assert.deepEqual(
      answers.map((answer) => [answer.status, Object(answer.json).error.code]),
      [
        [400, "InvalidRequest"],
        [400, "InvalidArchive"],
        [400, "InvalidName"],
        [400, "InvalidName"],
      ],
    );
  });

  it("can be signed, and is refused if the archive was changed on the way", async () => {
    // The control listener takes SigV4 on its own API too; a wrong hash shows only after the upload.
    const answer = await control.send({
      method: "POST",
      path: "/v1/functions/signed/deploy",
      body: zipOf(),
      token: null,
      headers: {
        "x-amz-date": `${new Date().toISOString().replace(/[-:]|\.\d{3}/g, "")}`,
        authorization: `AWS4-HMAC-SHA256 Credential=${control.token.split(".")[0]}/${new Date().toISOString().slice(0, 10).replaceAll("-", "")}/x/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature=${"0".repeat(64)}`,
      },
    });
    assert.deepEqual([answer.status, Object(answer.json).error.code], [403, "SignatureInvalid"]);
    assert.deepEqual(await readdir(join(control.dir, "uploads")), []);
  });
});
