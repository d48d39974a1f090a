import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeFolder, run, skipWithout, startDaemon, type TestDaemon } from "./daemon.fake.ts";

const has = (command: string, ...args: string[]) => spawnSync(command, args).status === 0;

describe("the four ways to write a function", () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon[Symbol.asyncDispose]());

  it("runs the lifecycle module, one context per parallel slot, and logs what run throws", async () => {
    using folder = makeFolder({
      "index.mjs": `
        let started = 0;
        export const start = () => ({ number: ++started });
        export async function run(context, request, response) {
          if (request.url === "/fail") throw new Error("as asked");
          await new Promise((resolve) => setTimeout(resolve, 200));
          response.end(String(context.number));
        }
        export const stop = (context) => console.log("stopped", context.number);`,
    });
    await daemon.deploy(folder.path, "counter", "--slots", "3");
    const answers = await Promise.all([1, 2, 3, 4].map(() => daemon.call("counter")));
    assert.deepEqual([...new Set(answers.map((answer) => answer.text))].sort(), ["1", "2", "3"]);
    const failed = await daemon.call("counter", "/fail");
    assert.equal(failed.status, 500);
    const id = String(failed.headers["x-amzn-requestid"]);
    assert.match((await daemon.lambda("logs", "counter", "--id", id)).stdout, /as asked/);
  });

  it("passes requests through to a server as they are", async () => {
    using folder = makeFolder({
      "server.mjs": `
        import { createServer } from "node:http";
        createServer(async (request, response) => {
          const chunks = [];
          for await (const chunk of request) chunks.push(chunk);
          response.writeHead(418, "I am", { "X-Seen": request.headers["x-given"], "set-cookie": ["a=1", "b=2"] });
          response.end([request.method, request.url, Buffer.concat(chunks)].join(" "));
        }).listen(process.env.PORT);`,
    });
    await daemon.deploy(folder.path, "server", "--command", "node server.mjs", "--kind", "server");
    const answer = await daemon.call("server", "/a/b?c=d", {
      method: "PUT",
      headers: { "x-given": "yes" },
      body: "hello",
    });
    assert.deepEqual(
      [answer.status, answer.text, answer.headers["x-seen"], answer.headers["set-cookie"]],
      [418, "PUT /a/b?c=d hello", "yes", ["a=1", "b=2"]],
    );
  });

  it("runs an effe that somebody compiled with Go", {
    skip: skipWithout("go", has("go", "version")),
  }, async () => {
    using folder = makeFolder({
      "go.mod": "module effe\n\ngo 1.20\n",
      "main.go": `package main

import (
	"flag"
	"fmt"
	"net/http"
)

func main() {
	port := flag.Int("port", 8080, "where to serve")
	flag.Parse()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "an effe at ", r.URL.Path) })
	http.ListenAndServe(fmt.Sprintf(":%d", *port), nil)
}
`,
    });
    const built = await run("go", ["build", "-ldflags", "-s -w", "-o", "effe", "."], { cwd: folder.path });
    assert.equal(built.code, 0, built.stderr);
    await daemon.deploy(join(folder.path, "effe"), "effe");
    const answer = await daemon.call("effe", "/here");
    assert.deepEqual([answer.status, answer.text], [200, "an effe at /here"]);
  });

  it("runs a filter for each call: input on stdin, result on stdout, log on stderr", async () => {
    using folder = makeFolder({ "count.sh": "#!/bin/sh\necho working >&2\nwc -c\n" });
    await daemon.deploy(folder.path, "count", "--kind", "filter", "--command", "./count.sh");
    const big = "x".repeat(1_000_000);
    assert.equal((await daemon.call("count", "/", { body: big })).text.trim(), "1000000");
    const { headers } = await daemon.call("count", "/", { body: "abc" });
    const id = String(headers["x-amzn-requestid"]);
    assert.match((await daemon.lambda("logs", "count", "--id", id)).stdout, /working/);
  });

  it("takes a filter's non-zero exit for a failure", async () => {
    using folder = makeFolder({ "fail.sh": "#!/bin/sh\necho broken >&2\nexit 3\n" });
    await daemon.deploy(folder.path, "fail", "--kind", "filter", "--command", "./fail.sh");
    const answer = await daemon.call("fail", "/", { body: "x" });
    assert.deepEqual([answer.status, JSON.parse(answer.text).error.code], [502, "FunctionThrew"]);
  });

  it("streams a response while it is being made", async () => {
    using folder = makeFolder({
      "index.mjs": `
        export const handler = awslambda.streamifyResponse(async (event, stream) => {
          stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { "x-kind": "stream" } });
          stream.write("first ");
          await new Promise((resolve) => setTimeout(resolve, 100));
          stream.end("last");
        });`,
    });
    await daemon.deploy(folder.path, "stream");
    const answer = await daemon.call("stream");
    assert.deepEqual([answer.status, answer.text, answer.headers["x-kind"]], [201, "first last", "stream"]);
  });
});
