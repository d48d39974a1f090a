/**
 * Clients and tools for Lambda as they are published, unmodified, in the daemon's real sandboxes. They are fetched with
 * their own package managers, and some are compiled: minutes, so this is among the long suites.
 */
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { UpdateFunctionConfigurationCommand } from "@aws-sdk/client-lambda";
import { eventually, type Files, filesIn, startDaemon, type TestDaemon } from "../daemon.ts";

const run = promisify(execFile);
const FETCH_MS_MAX = 10 * 60_000;

function skip(...tools: readonly (readonly [string, string])[]): string | false {
  if (process.env.REQUIRE_ALL === "1") return false;
  const missing = tools.find(([tool, flag]) => spawnSync(tool, [flag]).status !== 0);
  return missing !== undefined && `${missing[0]} is not installed`;
}

describe("published for Lambda", { skip: skip(["bwrap", "--version"]) }, () => {
  let dir: string;
  let daemon: TestDaemon;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "published-"));
    daemon = await startDaemon();
  });
  after(async () => {
    await daemon[Symbol.asyncDispose]();
    await rm(dir, { recursive: true, force: true });
  });

  /** The program as it is here, built or filled by its own tools. */
  async function make(
    name: string,
    tool: string,
    args: readonly string[],
    env: object = {},
  ): Promise<string> {
    const folder = join(dir, name);
    await cp(join(import.meta.dirname, name), folder, { recursive: true });
    await run(tool, [...args], { cwd: folder, timeout: FETCH_MS_MAX, env: { ...process.env, ...env } });
    return folder;
  }

  it("aws-lambda-go is asked to end, since it registers for that", {
    skip: skip(["go", "version"]),
  }, async () => {
    const folder = await make("go", "go", ["build", "-o", "bootstrap", "."], {
      CGO_ENABLED: "0",
      GOFLAGS: "-mod=readonly",
    });
    const files: Files = { bootstrap: await readFile(join(folder, "bootstrap")) };
    const name = await daemon.create("go", files, { Runtime: "provided.al2023", Handler: "bootstrap" });
    assert.deepEqual((await daemon.invoke(name, { a: 1 })).result, { echo: { a: 1 } });
    await daemon.sdk.send(new UpdateFunctionConfigurationCommand({ FunctionName: name, Timeout: 9 }));
    await eventually(async () => (await daemon.log(name)).includes("ended in order"));
    assert.ok((await daemon.log(name)).includes("asked to end"));
  });

  it("lambda_runtime for Rust", { skip: skip(["cargo", "--version"]) }, async () => {
    const folder = await make("rust", "cargo", ["build", "--release", "--locked", "--quiet"]);
    const files: Files = { bootstrap: await readFile(join(folder, "target/release/bootstrap")) };
    const name = await daemon.create("rust", files, { Runtime: "provided.al2023", Handler: "bootstrap" });
    const { result, log } = await daemon.invoke(name, { a: 1 });
    assert.deepEqual(Object(result).echo, { a: 1 });
    assert.match(log, /served by Rust/);
    assert.match(log, new RegExp(Object(result).id));
    const failed = await daemon.invoke(name, { fail: true });
    assert.equal(failed.functionError, "Unhandled");
    assert.equal(Object(failed.result).errorMessage, "asked to fail");
  });

  it("aws-lambda-ric for Node, with its native client", {
    skip: skip(["npm", "--version"], ["cmake", "--version"]),
  }, async () => {
    const folder = await make("node-ric", "npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts=false"]);
    const name = await daemon.create("node-ric", await filesIn(folder), {
      Runtime: "nodejs24.x",
      Handler: "index.handler",
      Environment: { Variables: { AWS_LAMBDA_EXEC_WRAPPER: "/var/task/wrapper" } },
    });
    const { result, log } = await daemon.invoke(name, { a: 1 });
    assert.deepEqual(Object(result).echo, { a: 1 }, JSON.stringify(result));
    assert.match(Object(result).client, /aws-lambda-ric/);
    assert.match(log, /served by aws-lambda-ric/);
    const failed = await daemon.invoke(name, { fail: true });
    assert.deepEqual(
      [failed.functionError, Object(failed.result).errorType, Object(failed.result).errorMessage],
      ["Unhandled", "RangeError", "asked to fail"],
    );
  });

  it("awslambdaric for Python", { skip: skip(["python3", "--version"]) }, async () => {
    const folder = await make("python-ric", "python3", PIP);
    const name = await daemon.create("python-ric", await filesIn(folder), {
      Runtime: "provided.al2023",
      Handler: "main.handler",
    });
    const { result, log } = await daemon.invoke(name, { a: 1 });
    assert.deepEqual(Object(result).echo, { a: 1 }, JSON.stringify(result));
    assert.equal(Object(result).client, true);
    assert.match(log, /served by awslambdaric/);
    const failed = await daemon.invoke(name, { fail: true });
    assert.equal(Object(failed.result).errorType, "LookupError");
  });

  it("aws-lambda-java-runtime-interface-client, by the name of Java's runtime", {
    skip: skip(["java", "--version"], ["mvn", "--version"]),
  }, async () => {
    const folder = await make("java", "mvn", [
      "--batch-mode",
      "--quiet",
      "package",
      "dependency:copy-dependencies",
      "-DoutputDirectory=target/classes/lib",
    ]);
    const name = await daemon.create("java", await filesIn(join(folder, "target/classes")), {
      Runtime: "java17",
      Handler: "example.Handler::handleRequest",
      MemorySize: 512,
      Timeout: 60,
    });
    const { result, log } = await daemon.invoke(name, { a: 1 });
    assert.deepEqual(Object(result).echo, { a: 1 }, JSON.stringify(result));
    assert.match(Object(result).arn, /:function:java$/);
    assert.match(log, new RegExp(`served by Java ${Object(result).id}`));
    const failed = await daemon.invoke(name, { fail: true });
    assert.deepEqual(
      [failed.functionError, Object(failed.result).errorType, Object(failed.result).errorMessage],
      ["Unhandled", "java.lang.IllegalStateException", "asked to fail"],
    );
    const files = await filesIn(join(folder, "target/classes"));
    const classes = Object.fromEntries(Object.entries(files).filter(([path]) => !path.startsWith("lib/")));
    const bare = await daemon.create("java-bare", classes, {
      Runtime: "java17",
      Handler: "example.Handler::handleRequest",
    });
    const { result: missing } = await daemon.invoke(bare);
    assert.match(Object(missing).errorMessage, /aws-lambda-java-runtime-interface-client/);
  });

  it("Powertools for TypeScript", { skip: skip(["npm", "--version"]) }, async () => {
    const folder = await make("powertools-ts", "npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    const name = await daemon.create("powertools-ts", await filesIn(folder), {});
    await greets(name);
  });

  it("Powertools for Python", { skip: skip(["python3", "--version"]) }, async () => {
    const folder = await make("powertools-py", "python3", PIP);
    const name = await daemon.create("powertools-py", await filesIn(folder), {
      Runtime: "python3.11",
      Handler: "main.handler",
    });
    await greets(name);
  });

  /** A structured line with the request's id, and metrics in CloudWatch's embedded format. */
  async function greets(name: string): Promise<void> {
    const { result, functionError, log } = await daemon.invoke(name, { name: "you" });
    assert.deepEqual([result, functionError], ["hello you", undefined], log);
    const id = /^START RequestId: (\S+)/m.exec(log)?.[1];
    const lines = log
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line));
    const greeting = lines.find(({ message }) => message === "greeting");
    assert.deepEqual(
      [greeting.function_request_id, greeting.cold_start, greeting.who, greeting.function_memory_size],
      [id, true, "you", "256"],
    );
    const metric = lines.find((line) => "_aws" in line && "greetings" in line);
    assert.equal(metric._aws.CloudWatchMetrics[0].Namespace, "tests");
  }
});

/** Into the folder of the code, only what is named there. */
const PIP = ["-m", "pip", "install", "--quiet", "--target", ".", "--no-deps", "-r", "requirements.txt"];
