import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { startFakeControl } from "../control-server.fake.ts";
import { LAMBDA, openLambda } from "../lambda-process.fake.ts";

const LOGS = "GET /v1/functions/greet/logs";

function line(text: string, change: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    at: Date.parse("2026-11-20T12:00:00.123Z"),
    functionName: "greet",
    version: "$LATEST",
    liveVersion: 2,
    sandboxId: "sb-0",
    invocationId: "6a0e0f7e-1111-4000-8000-000000000000",
    stream: "stdout",
    text,
    ...change,
  };
}

describe("lambda logs", () => {
  it("shows control characters instead of obeying them", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on(LOGS, {
      lines: [
        line("hello"),
        line("\u001b]0;pwned\u0007\u009b2J\rx\u202e", { stream: "stderr", version: "1", liveVersion: null }),
      ],
    });
    assert.deepEqual(await lambda.run(["logs", "greet"]), {
      exitCode: 0,
      stdout:
        "2026-11-20T12:00:00.123Z 2 stdout   hello\n" +
        "2026-11-20T12:00:00.123Z 1 stderr   \\x1b]0;pwned\\x07\\x9b2J\\rx\\u{202e}\n",
      stderr: "",
    });
  });

  it("keeps its own colours apart from what functions write", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on(LOGS, { lines: [line("\u001b[31mred", { stream: "stderr" })] });
    const ran = await lambda.run(["logs", "greet"], { env: { FORCE_COLOR: "1" } });
    assert.equal(
      ran.stdout,
      "\u001b[2m2026-11-20T12:00:00.123Z 2\u001b[22m \u001b[33mstderr   \\x1b[31mred\u001b[39m\n",
    );
    const plain = await lambda.run(["logs", "greet", "--no-color"], { env: { FORCE_COLOR: "1" } });
    assert.equal(plain.stdout.includes("\u001b"), false);
  });

  it("prints lines as JSON that is safe to show, too", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on(LOGS, { lines: [line("a\u009b\u202e")] });
    const { stdout } = await lambda.run(["logs", "greet", "--json"]);
    assert.match(stdout, /"text":"a\\u009b\\u202e"/);
    assert.deepEqual(JSON.parse(stdout), line("a\u009b\u202e"));
  });

  it("asks for what it was asked for", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on(LOGS, { lines: [] });
    const since = "2026-11-20T12:00:00Z";
    const ran = await lambda.run([
      ...["logs", "greet", "--since", since, "--id", "6a0e0f7e-1111-4000-8000-000000000000"],
      ...["--version", "7", "--grep", "a&b=c", "--last", "5"],
    ]);
    assert.equal(ran.stderr, "no lines match\n");
    assert.deepEqual(server.requests[0]?.query, {
      since: String(Date.parse(since)),
      id: "6a0e0f7e-1111-4000-8000-000000000000",
      version: "7",
      grep: "a&b=c",
      last: "5",
    });
    await lambda.run(["logs", "greet"]);
    assert.deepEqual(server.requests[1]?.query, { last: "100" });
  });

  it("follows until Ctrl-C, which is 130", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on(LOGS, { lines: [line("first")], staysOpen: true });
    const child = spawn(LAMBDA, ["logs", "greet", "-f"], {
      cwd: lambda.dir,
      env: { PATH: process.env.PATH, LAMBDA_SERVER: server.url, LAMBDA_KEY: "LKTEST.s3cret" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(createInterface({ input: child.stdout }), "line");
    child.kill("SIGINT");
    assert.deepEqual(await once(child, "exit"), [130, null]);
    assert.equal(server.requests[0]?.query.follow, "1");
  });

  it("ends quietly when nobody reads any more", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    let isOver = false;
    server.on(LOGS, {
      respond: (response) => {
        const write = () => {
          while (!isOver && response.write(`${JSON.stringify(line("x".repeat(1_000)))}\n`));
        };
        response.on("drain", write);
        response.on("close", () => {
          isOver = true;
        });
        write();
      },
    });
    const child = spawn("sh", ["-c", `"$0" logs greet -f | head -n 1; exit 7`, LAMBDA], {
      cwd: lambda.dir,
      env: { PATH: process.env.PATH, LAMBDA_SERVER: server.url, LAMBDA_KEY: "LKTEST.s3cret" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    assert.deepEqual([await once(child, "close"), stderr], [[7, null], ""]);
  });
});
