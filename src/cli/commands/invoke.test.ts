import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { startFakeControl } from "../control-server.fake.ts";
import { openLambda } from "../lambda-process.fake.ts";

const INVOCATIONS = "POST /2015-03-31/functions/greet/invocations";

describe("lambda invoke", () => {
  it("prints the answer byte by byte", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on(INVOCATIONS, { text: '{"message": "Hello\u001b"}' });
    const ran = await lambda.run(["invoke", "greet:prod", "--data", '{"name":"World"}']);
    assert.deepEqual(ran, { exitCode: 0, stdout: '{"message": "Hello\u001b"}', stderr: "" });
    const [request] = server.requests;
    assert.deepEqual([request?.query, request?.body.toString()], [{ Qualifier: "prod" }, '{"name":"World"}']);
  });

  it("takes its input from a file, from stdin when piped, and sends none otherwise", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on(INVOCATIONS, { text: "null" });
    await writeFile(join(lambda.dir, "event.json"), '{"from":"file"}');
    await lambda.run(["invoke", "greet", "--data", "@event.json"]);
    await lambda.run(["invoke", "greet"], { input: '{"from":"pipe"}' });
    await lambda.run(["invoke", "greet", "-d", "-"], { input: '{"from":"dash"}' });
    await lambda.run(["invoke", "greet"]);
    assert.deepEqual(
      server.requests.map((request) => request.body.toString()),
      ['{"from":"file"}', '{"from":"pipe"}', '{"from":"dash"}', ""],
    );
  });

  it("explains a function's error on stderr, and exits with 1", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    const error = {
      errorType: "TypeError",
      errorMessage: "x is \u001b[31mnot a function",
      trace: ["TypeError: x is not a function", "    at handler (file:///var/task/index.mjs:3:9)"],
    };
    server.on(INVOCATIONS, {
      json: error,
      headers: {
        "x-amz-function-error": "Unhandled",
        "x-amzn-requestid": "6a0e0f7e-1111-4000-8000-000000000000",
      },
    });
    assert.deepEqual(await lambda.run(["invoke", "greet", "-d", "{}"]), {
      exitCode: 1,
      stdout: JSON.stringify(error),
      stderr:
        "error: greet failed: TypeError: x is \\x1b[31mnot a function\n" +
        "    at handler (file:///var/task/index.mjs:3:9)\n" +
        "hint:  lambda logs greet --id 6a0e0f7e-1111-4000-8000-000000000000\n",
    });
  });

  it("exits with 124 when the function took too long", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on(INVOCATIONS, {
      json: {
        errorType: "Sandbox.Timedout",
        errorMessage: "RequestId: 1 Error: Task timed out after 3.00 seconds",
      },
      headers: { "x-amz-function-error": "Unhandled" },
    });
    assert.equal((await lambda.run(["invoke", "greet", "-d", "{}"])).exitCode, 124);
  });

  it("shows the end of the log on stderr when asked, with nothing that could act", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    const log = Buffer.from("START RequestId: 1\n\u001b]0;pwned\u0007hello\nEND\n").toString("base64");
    server.on(INVOCATIONS, { text: "1", headers: { "x-amz-log-result": log } });
    const ran = await lambda.run(["invoke", "greet", "-d", "{}", "--log"]);
    assert.deepEqual([ran.stdout, ran.stderr], ["1", "START RequestId: 1\n\\x1b]0;pwned\\x07hello\nEND\n"]);
    assert.equal(server.requests[0]?.headers["x-amz-log-type"], "Tail");
  });

  it("tells an unknown function by AWS's error", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on(INVOCATIONS, {
      status: 404,
      json: { Type: "User", Message: "Function not found: arn:…:greet" },
      headers: { "x-amzn-errortype": "ResourceNotFoundException" },
    });
    const ran = await lambda.run(["invoke", "greet", "-d", "{}"]);
    assert.deepEqual(
      [ran.exitCode, ran.stderr],
      [3, "error: Function not found: arn:…:greet\nhint:  lambda list shows what there is\n"],
    );
  });

  for (const [args, message] of [
    [["-d", "@missing.json"], /--data: there is no .*missing\.json/],
    [["-d", "@."], /--data: cannot read/],
    [["-d", "{}", "--client-context", "{"], /--client-context: expected JSON/],
  ] as const) {
    it(`refuses ${args.join(" ")}`, async () => {
      await using lambda = await openLambda("http://127.0.0.1:1");
      const ran = await lambda.run(["invoke", "greet", ...args]);
      assert.equal(ran.exitCode, 2);
      assert.match(ran.stderr, message);
    });
  }
});
