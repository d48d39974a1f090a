import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import type { SandboxSpec } from "../driver.ts";
import { PATH } from "../sandbox-spec.fake.ts";
import { findTool } from "./host-world.ts";
import { openTestDriver, type TestDriver, without } from "./test-driver.fake.ts";

const run = promisify(execFile);

const NODE = `
const { Worker } = require("node:worker_threads");
const { execFileSync } = require("node:child_process");
const { createServer, connect } = require("node:net");
const { readFileSync, writeFileSync } = require("node:fs");
writeFileSync("/tmp/a", "x");
const said = [readFileSync("/tmp/a", "utf8"), execFileSync("echo", ["child"]).toString().trim()];
require("node:os").networkInterfaces(); require("node:os").cpus();
new Worker("require('node:worker_threads').parentPort.postMessage('worker')", { eval: true }).once("message", (word) => {
  said.push(word);
  const server = createServer((socket) => socket.end("tcp")).listen(0, "127.0.0.1", () =>
    connect(server.address().port, "127.0.0.1").on("data", (data) => {
      require("node:dns").lookup("localhost", (error, address) => {
        console.log([...said, data.toString(), address].join(" "));
        server.close();
      });
    }));
});`;

const PYTHON = `
import subprocess, threading, socket, tempfile, multiprocessing, ssl, hashlib, sqlite3, asyncio
said = [subprocess.check_output(["echo", "child"], text=True).strip()]
t = threading.Thread(target=lambda: said.append("thread")); t.start(); t.join()
with tempfile.TemporaryFile() as f: f.write(b"x")
p = multiprocessing.Process(target=lambda: None); p.start(); p.join(); said.append(str(p.exitcode))
q = multiprocessing.Queue(); q.put("queue"); said.append(q.get())
sqlite3.connect("/tmp/db").execute("create table t (x)"); ssl.create_default_context()
async def main(): said.append(socket.gethostbyname("localhost"))
asyncio.run(main()); print(*said)`;

const GO = `package main
import ("fmt"; "net"; "net/http"; "os"; "os/exec"; "io")
func main() {
  l, err := net.Listen("tcp", "127.0.0.1:0"); if err != nil { panic(err) }
  go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "http") }))
  r, err := http.Get("http://" + l.Addr().String()); if err != nil { panic(err) }
  b, _ := io.ReadAll(r.Body)
  out, err := exec.Command("echo", "child").Output(); if err != nil { panic(err) }
  if err := os.WriteFile("/tmp/a", b, 0600); err != nil { panic(err) }
  fmt.Printf("%s %s", b, out)
}`;

const JAVA = `import java.net.*; import java.util.concurrent.*;
class Main { public static void main(String[] a) throws Exception {
  var server = com.sun.net.httpserver.HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
  server.createContext("/", x -> { x.sendResponseHeaders(200, 4); x.getResponseBody().write("http".getBytes()); x.close(); });
  server.start();
  var url = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/").toURL();
  var body = new String(url.openStream().readAllBytes());
  var child = new String(new ProcessBuilder("echo", "child").start().getInputStream().readAllBytes()).trim();
  System.out.println(body + " " + child + " " + InetAddress.getLocalHost().getHostName()); System.exit(0);
} }`;

describe("programs under the system-call filter", { skip: without("bwrap") }, () => {
  let host: TestDriver;
  before(async () => {
    host = await openTestDriver();
  });
  after(() => host[Symbol.asyncDispose]());

  const runProgram = (command: readonly [string, ...string[]], changes: Partial<SandboxSpec> = {}) =>
    host.run("", {
      memoryMib: 1024,
      pidsMax: 256,
      tmpMib: 64,
      launch: (places) => ({
        command,
        environment: { PATH, HOME: places.tmpDir, LANG: "C.UTF-8" },
        workingDir: places.codeDir,
      }),
      ...changes,
    });

  it("run on Node: threads, children, sockets, names", async () => {
    const said = await runProgram([process.execPath, "-e", NODE], { toolDirs: [dirname(process.execPath)] });
    assert.match(said, /^x child worker tcp (127\.0\.0\.1|::1)\n$/);
  });

  it("run on Python: threads, children, queues, certificates", { skip: without("python3") }, async () => {
    assert.equal(await runProgram(["/usr/bin/python3", "-c", PYTHON]), "child thread 0 queue 127.0.0.1\n");
  });

  // Where Go's own installer puts it.
  const go = findTool("go") ?? "/usr/local/go/bin/go";
  it("run when built with Go", { skip: without(go) }, async () => {
    await mkdir(join(host.codeDir, "go"), { recursive: true });
    await writeFile(join(host.codeDir, "go", "main.go"), GO);
    await run(go, ["build", "-o", join(host.codeDir, "main"), join(host.codeDir, "go", "main.go")], {
      env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "-mod=mod" },
    });
    assert.equal(await runProgram(["/var/task/main"]), "http child\n");
  });

  it("run on Java", { skip: without("java") }, async () => {
    await writeFile(join(host.codeDir, "Main.java"), JAVA);
    const said = await runProgram(["java", "-XX:TieredStopAtLevel=1", "Main.java"]);
    assert.equal(said, "http child sandbox\n");
  });

  it("run in the shell with its tools", async () => {
    assert.equal(await runProgram(["sh", "-c", "echo b a | tr ' ' '\\n' | sort | paste -sd, -"]), "a,b\n");
  });
});
