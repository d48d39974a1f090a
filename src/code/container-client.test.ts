/** The Runtime API clients of slim images, as they lie in an image, against a server that speaks the API. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { CLIENT, type Language } from "./build/generated-dockerfile.ts";
import { readClient } from "./image-build.ts";

const CLIENT_DIR = join(import.meta.dirname, "../../runtimes/container");
const mustRun = process.env.REQUIRE_ALL === "1";
const hasPython = spawnSync("python3", ["--version"]).status === 0;

interface Event {
  readonly payload: unknown;
  readonly traceId?: string;
}

describe("the Runtime API client of a slim image", () => {
  let folder: string;
  let server: Server | undefined;
  let client: ChildProcess | undefined;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "container-client-"));
  });
  afterEach(async () => {
    if (client && client.exitCode === null && client.kill("SIGKILL")) await once(client, "exit");
    server?.closeAllConnections();
    server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** What the handler answers to each event, an error being `{ errorType … }` as posted. */
  async function serve(
    language: Language,
    file: string,
    code: string,
    events: readonly Event[],
  ): Promise<unknown[]> {
    for (const [name, text] of await readClient(language, CLIENT_DIR)) {
      await writeFile(join(folder, name), text);
    }
    await writeFile(join(folder, file), code);
    const answers: unknown[] = [];
    const all = Promise.withResolvers<unknown[]>();
    let next = 0;
    server = createServer((request, response) => {
      if (request.method === "GET") {
        const event = events[next++];
        // A long poll that is never answered, as when nobody calls.
        if (!event) return;
        response.setHeader("Lambda-Runtime-Aws-Request-Id", `id-${next}`);
        if (event.traceId !== undefined) response.setHeader("Lambda-Runtime-Trace-Id", event.traceId);
        response.end(JSON.stringify(event.payload));
        return;
      }
      let text = "";
      request.setEncoding("utf8").on("data", (chunk) => (text += chunk));
      request.on("end", () => {
        response.writeHead(202).end('{"status":"OK"}');
        answers.push(JSON.parse(text));
        if (answers.length === events.length || request.url?.endsWith("/init/error")) all.resolve(answers);
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const program = language === "nodejs" ? process.execPath : CLIENT[language].interpreter;
    client = spawn(program, [join(folder, CLIENT[language].file), `${file.replace(/\..*/, "")}.handler`], {
      cwd: folder,
      env: { PATH: process.env.PATH, AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${port}` },
      stdio: ["ignore", "ignore", "inherit"],
    });
    void once(client, "exit").then(([status]) => all.reject(new Error(`the client left with ${status}`)));
    return all.promise;
  }

  const traced = [
    { payload: {}, traceId: "Root=1-2-3" },
    { payload: {}, traceId: "Root=4-5-6" },
    { payload: {} },
  ];

  it("gives a Node function the trace of each call, and the C library's environment none", async () => {
    const code = `
      import { execFileSync } from "node:child_process";
      import { once } from "node:events";
      import { SHARE_ENV, Worker } from "node:worker_threads";
      const NAME = "_X_AMZN_TRACE_ID";
      export const handler = async () => {
        const child = execFileSync(process.execPath, ["-p", "process.env." + NAME], { encoding: "utf8" }).trim();
        const look = "require('node:worker_threads').parentPort.postMessage(process.env." + NAME + ")";
        const [kept] = await once(new Worker(look, { eval: true, env: SHARE_ENV }), "message");
        return [process.env[NAME] ?? "none", child, kept ?? "none"];
      };`;
    assert.deepEqual(await serve("nodejs", "index.mjs", code, traced), [
      ["Root=1-2-3", "Root=1-2-3", "none"],
      ["Root=4-5-6", "Root=4-5-6", "none"],
      ["none", "undefined", "none"],
    ]);
  });

  it("gives a Python function the trace of each call, and keeps none of them", {
    skip: !hasPython && !mustRun && "python3 is not installed",
  }, async () => {
    const code = `import os, subprocess, sys
NAME = "_X_AMZN_TRACE_ID"
def pages():
  return int(open("/proc/self/statm").read().split()[1])
def handler(event, context):
  if "calls" in event:
    set_trace = sys.modules["__main__"].set_trace
    for _ in range(100):
      set_trace("first")
    before = pages()
    for n in range(event["calls"]):
      set_trace("Root=1-00000000-%024d" % n)
    return (pages() - before) * os.sysconf("SC_PAGE_SIZE") < 4_000_000
  child = subprocess.run(["printenv", NAME], capture_output=True, text=True).stdout.strip()
  return [os.environ.get(NAME), child]`;
    const [first, second, untraced] = traced;
    assert.ok(first && second && untraced);
    const events = [first, { payload: { calls: 200_000 } }, second, untraced];
    assert.deepEqual(await serve("python", "main.py", code, events), [
      ["Root=1-2-3", "Root=1-2-3"],
      true,
      ["Root=4-5-6", "Root=4-5-6"],
      [null, ""],
    ]);
  });

  it("says why a handler cannot be loaded", async () => {
    const [error] = await serve("nodejs", "index.mjs", "export const other = 1;", traced);
    const { errorType, errorMessage } = Object(error);
    assert.deepEqual(
      [errorType, errorMessage],
      ["Runtime.HandlerNotFound", "index.handler is undefined or not exported"],
    );
  });
});
