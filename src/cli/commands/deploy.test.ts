import assert from "node:assert/strict";
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fakeFunction, startFakeControl } from "../control-server.fake.ts";
import { openLambda } from "../lambda-process.fake.ts";

const DEPLOY = "POST /v1/functions/greet/deploy";

const PROGRESS = [
  { type: "step", step: 1, of: 4, title: "Packaging", detail: "1.1 KiB" },
  { type: "step", step: 2, of: 4, title: "Building" },
  { type: "step", step: 2, of: 4, title: "Packaging", detail: "2 files, 38 B" },
  { type: "step", step: 2, of: 4, title: "Building", detail: "nothing to build" },
  { type: "step", step: 3, of: 4, title: "Publishing version 1" },
  { type: "step", step: 4, of: 4, title: "Starting" },
  {
    type: "done",
    version: 1,
    readyMs: 38,
    url: "http://greet.localhost:8080",
    function: fakeFunction("greet"),
  },
];

async function openFolder(dir: string, name = "hello"): Promise<void> {
  await mkdir(join(dir, name));
  await writeFile(join(dir, name, "index.mjs"), "export const handler = () => 1;\n");
  await writeFile(join(dir, name, "README.md"), "hello\n");
}

describe("lambda deploy", () => {
  it("shows the steps on stderr, and where the function is on stdout", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    await openFolder(lambda.dir);
    server.on(DEPLOY, { lines: PROGRESS });
    assert.deepEqual(await lambda.run(["deploy", "hello", "--name", "greet"]), {
      exitCode: 0,
      stdout: "greet (version 1) is live at http://greet.localhost:8080\n",
      stderr:
        "[1/4] Packaging hello… 2 files, 38 B\n" +
        "[2/4] Building… nothing to build\n" +
        "[3/4] Publishing version 1…\n" +
        "[4/4] Starting… ready in 38 ms\n\n",
    });
    const [request] = server.requests;
    assert.equal(request?.body.subarray(0, 2).toString(), "PK");
    assert.deepEqual(request?.query, { options: "{}" });
  });

  it("sends what was set, in the units of the API", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    await openFolder(lambda.dir);
    await writeFile(join(lambda.dir, "vars"), '# comment\nA=from file\nB="quoted # text"\n');
    server.on(DEPLOY, { lines: PROGRESS });
    await lambda.run([
      ...["deploy", "hello", "--name", "greet", "--runtime", "nodejs24.x", "--kind", "server"],
      ...["--command", "node 'my server.mjs'", "--memory", "1G", "--timeout", "2m", "--tmp", "64"],
      ...[
        "--env-file",
        "vars",
        "-e",
        "A=wins",
        "-e",
        "C=",
        "--network",
        "none",
        "--slots",
        "5",
        "--max",
        "none",
      ],
      ...["--description", "greets", "--allow-scripts", "--no-build"],
    ]);
    assert.deepEqual(JSON.parse(server.requests[0]?.query.options ?? ""), {
      runtime: "nodejs24.x",
      kind: "server",
      command: ["node", "my server.mjs"],
      memoryMib: 1_024,
      timeoutMs: 120_000,
      tmpMib: 64,
      environment: { A: "wins", B: "quoted # text", C: "" },
      network: "none",
      slotsPerInstance: 5,
      concurrencyMax: null,
      description: "greets",
      allowScripts: true,
      build: false,
    });
  });

  it("sends a single file as it is, with its name", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    await writeFile(join(lambda.dir, "greet.mjs"), "export const handler = () => 1;\n");
    server.on(DEPLOY, { lines: PROGRESS });
    const ran = await lambda.run(["deploy", "greet.mjs"]);
    assert.match(ran.stderr, /^\[1\/4\] Packaging greet\.mjs… 32 B\n/);
    const [request] = server.requests;
    assert.equal(request?.body.toString(), "export const handler = () => 1;\n");
    assert.deepEqual(request?.query, { options: '{"fileName":"greet.mjs"}' });
  });

  it("names the function after its folder, made valid", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    await openFolder(lambda.dir, "_My shop (v2)");
    server.on("POST /v1/functions/My-shop-v2/deploy", { lines: PROGRESS });
    assert.equal((await lambda.run(["deploy", "_My shop (v2)"])).exitCode, 0);
  });

  it("passes on the output of build tools, and their failure", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    await openFolder(lambda.dir);
    server.on(DEPLOY, {
      lines: [
        { type: "step", step: 2, of: 4, title: "Building" },
        { type: "output", text: "npm error \u001b[31m404\n" },
        { type: "error", error: { code: "BuildFailed", message: "npm install failed with exit status 1" } },
      ],
    });
    assert.deepEqual(await lambda.run(["deploy", "hello", "--name", "greet"]), {
      exitCode: 7,
      stdout: "",
      stderr:
        "[1/4] Packaging hello… 2 files, 38 B\n[2/4] Building…\nnpm error \\x1b[31m404\n" +
        "error: npm install failed with exit status 1\n",
    });
  });

  it("says that a version is live and does not start", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    await openFolder(lambda.dir);
    server.on(DEPLOY, {
      lines: [
        { type: "step", step: 4, of: 4, title: "Starting" },
        { type: "output", text: "warning: version 1 does not start: SyntaxError" },
        {
          type: "done",
          version: 1,
          readyError: "SyntaxError",
          url: "http://greet.localhost:8080",
          function: {},
        },
      ],
    });
    const ran = await lambda.run(["deploy", "hello", "--name", "greet"]);
    assert.equal(ran.stdout, "greet (version 1) is live at http://greet.localhost:8080\n");
    assert.match(
      ran.stderr,
      /warning: version 1 does not start: SyntaxError\n[\s\S]*lambda rollback greet goes back\n$/,
    );
  });

  it("prints one document with --json", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    await openFolder(lambda.dir);
    server.on(DEPLOY, { lines: PROGRESS });
    const { stdout } = await lambda.run(["deploy", "hello", "--name", "greet", "--json"]);
    assert.deepEqual(JSON.parse(stdout), {
      name: "greet",
      version: 1,
      readyMs: 38,
      url: "http://greet.localhost:8080",
      function: fakeFunction("greet"),
    });
  });

  it("shows the refusal of a server that does not read the upload to its end", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    await writeFile(join(lambda.dir, "greet.bin"), Buffer.alloc(20 * 1024 * 1024, 7));
    server.on(DEPLOY, {
      status: 413,
      json: { error: { code: "PayloadTooLarge", message: "the upload is larger than 10 MiB" } },
    });
    const ran = await lambda.run(["deploy", "greet.bin"]);
    assert.deepEqual(
      [ran.exitCode, ran.stderr.split("\n").at(-2)],
      [7, "error: the upload is larger than 10 MiB"],
    );
  });

  it("does not take a broken answer for a success", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    await openFolder(lambda.dir);
    server.on(DEPLOY, { lines: PROGRESS.slice(0, 5) });
    const ran = await lambda.run(["deploy", "hello", "--name", "greet"]);
    assert.equal(ran.exitCode, 6);
    assert.match(ran.stderr, /ended the deployment of greet without saying how/);
  });

  for (const [what, make, args, message] of [
    ["a path that is not there", async () => undefined, ["nowhere"], /there is no nowhere/],
    ["an empty folder", (dir: string) => mkdir(join(dir, "e")), ["e"], /e has nothing to deploy/],
    ["an empty file", (dir: string) => writeFile(join(dir, "e.zip"), ""), ["e.zip"], /e\.zip is empty/],
    [
      "a name outside the grammar",
      openFolder,
      ["hello", "--name", "a.b"],
      /function name "a\.b": expected 1 to 64/,
    ],
    [
      "a folder whose name gives none",
      (dir: string) => openFolder(dir, "日本"),
      ["日本"],
      /cannot be made a function name/,
    ],
    ["a size that is none", openFolder, ["hello", "--memory", "lots"], /--memory: expected MiB/],
    ["a kind that is none", openFolder, ["hello", "--kind", "batch"], /Allowed choices are handler/],
    ["a variable without a name", openFolder, ["hello", "-e", "=s3cret"], /-e: expected KEY=VALUE/],
    ["a missing file of variables", openFolder, ["hello", "--env-file", "no"], /--env-file: cannot read/],
    [
      "a command with an open quote",
      openFolder,
      ["hello", "--command", "sh -c 'x"],
      /--command: expected words/,
    ],
  ] as const) {
    it(`refuses ${what} before any request`, async () => {
      await using server = await startFakeControl();
      await using lambda = await openLambda(server.url);
      await make(lambda.dir);
      const ran = await lambda.run(["deploy", ...args]);
      assert.equal(ran.exitCode, 2);
      assert.match(ran.stderr, message);
      assert.doesNotMatch(ran.stderr, /s3cret/);
      assert.deepEqual(server.requests, []);
    });
  }

  it("refuses a link that leads outside, and says how to leave it out", async () => {
    await using lambda = await openLambda("http://127.0.0.1:1");
    await openFolder(lambda.dir);
    await symlink("/etc/passwd", join(lambda.dir, "hello", "pw"));
    await chmod(join(lambda.dir, "hello"), 0o755);
    const ran = await lambda.run(["deploy", "hello"]);
    assert.equal(ran.exitCode, 2);
    assert.match(
      ran.stderr,
      /pw is a link that leads outside of the folder, to \/etc\/passwd\nhint: .*echo "\/pw" >> \.lambdaignore/,
    );
  });
});
