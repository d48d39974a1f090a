import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import type { RequestInput, ResponseHead } from "../../core/invocation.ts";
import { RESPONSE_BYTES_MAX } from "../../core/limits.ts";
import { describeChannel } from "../protocol.contract.ts";
import { newRequest, type Program, startTestChannel, TestSink, textOf } from "../test-channel.fake.ts";
import { httpAdapter } from "./adapter.ts";

const adapter = httpAdapter();
const runtime = { interpreter: process.execPath, runtimeDir: undefined, toolDirs: [] };

/** A server of node:http whose listener has this body, with `request` and `response`. */
function nodeServer(handle: string, around = ""): Program {
  return {
    entry: { kind: "server", command: ["node", "./server.js"] },
    files: {
      "server.js": `
const http = require("node:http");
${around}
const server = http.createServer(async (request, response) => { ${handle} });
server.listen(process.env.PORT, process.env.HOST);
`,
    },
  };
}

/** A server of node:net that speaks raw bytes: what it answers, connection by connection. */
function rawServer(onConnection: string): Program {
  return {
    entry: { kind: "server", command: ["node", "./server.js"] },
    files: {
      "server.js": `
let connections = 0;
require("node:net").createServer((socket) => {
  connections += 1;
  socket.on("error", () => undefined);
  ${onConnection}
}).listen(process.env.PORT, "127.0.0.1");
`,
    },
  };
}

const ECHO = nodeServer("request.pipe(response);");

/** Answers once, then lives on without a port. */
const LEAVES_ITS_PORT = nodeServer(
  "response.writeHead(200, { connection: 'close' }); response.end('1'); server.close();",
  "setTimeout(() => undefined, 1e6);",
);

describeChannel("http server", {
  adapter,
  options: { runtime },
  echo: ECHO,
  hang: nodeServer("request.resume();"),
  exit: nodeServer("process.exit(1);"),
  flood: nodeServer('request.resume(); response.end(Buffer.alloc(4194304, "x"));'),
});

function start(program: Program, slots = 1) {
  return startTestChannel(adapter, program, { runtime, slots });
}

function headOf(outcome: { readonly kind: string; readonly head?: ResponseHead | undefined }) {
  assert.ok(outcome.kind === "returned" && outcome.head?.kind === "http");
  return outcome.head;
}

describe("http server", () => {
  it("passes method, path and headers on as they are, without what ends at this hop", async () => {
    await using tested = await start(
      nodeServer("response.end(JSON.stringify([request.method, request.url, request.rawHeaders]));"),
    );
    await tested.channel.ready;
    const rawHeaders = [
      ..."Host|greet.localhost:8080|X-Two|1|x-two|2|Connection|keep-alive, X-Secret|X-Secret|a".split("|"),
      ..."Transfer-Encoding|chunked|TE|trailers|Upgrade|h2c|Expect|100-continue|Keep-Alive|5".split("|"),
      ..."Proxy-Authorization|basic|Content-Length|99|X-Latin|Gr\u00fc\u00dfe".split("|"),
    ];
    const outcome = await tested.invoke({ input: newRequest("/a%2Fb/../c?x=1&y=%20", "DELETE", rawHeaders) });
    const [method, path, headers] = JSON.parse(textOf(outcome));
    assert.deepEqual([method, path], ["DELETE", "/a%2Fb/../c?x=1&y=%20"]);
    assert.deepEqual(headers, [
      ..."host|greet.localhost:8080|connection|keep-alive|X-Two|1|x-two|2|X-Latin|Gr\u00fc\u00dfe".split("|"),
    ]);
  });

  it("passes status and headers of a response back, without what ends at this hop", async () => {
    await using tested = await start(
      nodeServer(`response.sendDate = false; response.writeHead(418, [
        "X-Order", "1", "Set-Cookie", "a=1", "x-order", "2", "Set-Cookie", "b=2",
        "Connection", "keep-alive, X-Hop", "X-Hop", "1", "Content-Type", "text/plain"]); response.end("tea");`),
    );
    await tested.channel.ready;
    const outcome = await tested.invoke({ input: newRequest("/") });
    assert.deepEqual(headOf(outcome), {
      kind: "http",
      status: 418,
      rawHeaders: "X-Order|1|Set-Cookie|a=1|x-order|2|Set-Cookie|b=2|Content-Type|text/plain".split("|"),
    });
    assert.equal(textOf(outcome), "tea");
  });

  it("substitutes $PORT in arguments, that and nothing else", async () => {
    const program = {
      entry: {
        kind: "server",
        command: ["./run", "-port", "$PORT", "a=$PORT,", "$PORTS", "$HOME", "$(id)"],
      },
      files: {
        run: `#!/usr/bin/env node
require("node:http").createServer((request, response) => {
  response.end(JSON.stringify([process.env.PORT, process.env.HOST, ...process.argv.slice(2)]));
}).listen(process.argv[3], "127.0.0.1");
`,
      },
    } as const;
    await using tested = await start(program);
    await tested.channel.ready;
    const { port } = tested.sandbox.places;
    const said = JSON.parse(textOf(await tested.invoke({ input: newRequest("/") })));
    const wanted = [`${port}`, "127.0.0.1", "-port", `${port}`, `a=${port},`, "$PORTS", "$HOME", "$(id)"];
    assert.deepEqual(said, wanted);
  });

  it("serves as many requests at a time as it has slots", async () => {
    await using tested = await start(
      nodeServer(
        "waiting.push(response); if (waiting.length === 8) for (const one of waiting) one.end('ok');",
        "const waiting = [];",
      ),
      8,
    );
    await tested.channel.ready;
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, () => tested.invoke({ input: newRequest("/") })),
    );
    assert.deepEqual(outcomes.map(textOf), Array(8).fill("ok"));
  });

  it("streams a request body while the response is under way", async () => {
    await using tested = await start(ECHO);
    await tested.channel.ready;
    const sink = new TestSink();
    async function* body() {
      yield Buffer.from("first,");
      // Only goes on when the first piece has come back.
      await sink.begun.promise;
      yield Buffer.from("second");
    }
    const input: RequestInput = { kind: "request", method: "POST", path: "/", rawHeaders: [], body: body() };
    const outcome = await tested.invoke({ input, sink });
    assert.ok(outcome.kind === "returned" && outcome.isStreamed);
    assert.equal(sink.body.toString(), "first,second");
  });

  it("blames the caller when its body breaks off", async () => {
    await using tested = await start(ECHO);
    await tested.channel.ready;
    async function* body() {
      yield Buffer.from("half");
      throw new Error("the client went away");
    }
    const input: RequestInput = { kind: "request", method: "POST", path: "/", rawHeaders: [], body: body() };
    await assert.rejects(tested.invoke({ input }), { code: "CallerGone" });
    async function* short() {
      yield Buffer.from("four");
    }
    const rawHeaders = ["Content-Length", "10"];
    await assert.rejects(tested.invoke({ input: { ...input, rawHeaders, body: short() } }), {
      code: "InvalidRequest",
    });
    assert.equal(textOf(await tested.invoke("still there")), "still there");
  });

  it("takes an answer that comes before the body was read", async () => {
    await using tested = await start(
      nodeServer('response.writeHead(413, { connection: "close" }); response.end("too much");'),
    );
    await tested.channel.ready;
    const outcome = await tested.invoke(Buffer.alloc(100_000));
    assert.equal(headOf(outcome).status, 413);
    assert.equal(textOf(outcome), "too much");
  });

  it("gives no body where HTTP has none, and goes on on that connection", async () => {
    await using tested = await start(
      nodeServer(
        "const status = Number(request.url.slice(1)); response.writeHead(status, status === 200 ? { 'content-length': 5 } : {}); response.end(status === 200 ? 'hello' : '');",
      ),
    );
    await tested.channel.ready;
    const head = await tested.invoke({ input: newRequest("/200", "HEAD") });
    assert.equal(textOf(head), "");
    assert.ok(headOf(head).rawHeaders.join().includes("content-length,5"));
    for (const status of [204, 304]) {
      const outcome = await tested.invoke({ input: newRequest(`/${status}`) });
      assert.deepEqual([headOf(outcome).status, textOf(outcome)], [status, ""]);
    }
    assert.equal(textOf(await tested.invoke({ input: newRequest("/200") })), "hello");
  });

  it("passes over interim answers and trailers", async () => {
    await using tested = await start(
      nodeServer(`response.writeProcessing(); response.writeEarlyHints({ link: "</a.css>; rel=preload" });
        response.writeHead(200, { trailer: "x-sum", "transfer-encoding": "chunked" });
        response.write("body"); response.addTrailers({ "x-sum": "1" }); response.end();`),
    );
    await tested.channel.ready;
    const outcome = await tested.invoke({ input: newRequest("/") });
    assert.deepEqual([headOf(outcome).status, textOf(outcome)], [200, "body"]);
    assert.doesNotMatch(headOf(outcome).rawHeaders.join(), /trailer|x-sum|transfer-encoding/i);
  });

  it("refuses a response over the limit where it is collected", async () => {
    await using tested = await start(nodeServer("response.end(Buffer.alloc(Number(request.url.slice(1))));"));
    await tested.channel.ready;
    const over = await tested.invoke({ input: newRequest(`/${RESPONSE_BYTES_MAX + 1}`) });
    assert.ok(over.kind === "threw" && over.errorType === "Function.ResponseSizeTooLarge");
    const just = await tested.invoke({ input: newRequest(`/${RESPONSE_BYTES_MAX}`) });
    assert.ok(just.kind === "returned" && just.payload.length === RESPONSE_BYTES_MAX);
  });

  for (const [why, answer] of [
    ["a CR in a header", "HTTP/1.1 200 OK\\r\\nX-A: b\\rSet-Cookie: c\\r\\nContent-Length: 0\\r\\n\\r\\n"],
    ["a NUL in a header", "HTTP/1.1 200 OK\\r\\nX-A: b\\0c\\r\\nContent-Length: 0\\r\\n\\r\\n"],
    ["a space in a header's name", "HTTP/1.1 200 OK\\r\\nX A: b\\r\\nContent-Length: 0\\r\\n\\r\\n"],
    ["two lengths", "HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\nContent-Length: 2\\r\\n\\r\\nab"],
    [
      "a length and chunks",
      "HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n",
    ],
    ["a bad chunk", "HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nzz\\r\\n"],
    ["no HTTP", "SSH-2.0-OpenSSH_9.2\\r\\n"],
    ["HTTP/0.9", "hello"],
    ["headers without end", `HTTP/1.1 200 OK\\r\\n" + "X: y\\\\r\\\\n".repeat(20000) + "`],
    [
      "an upgrade that nobody asked for",
      "HTTP/1.1 101 Switching Protocols\\r\\nConnection: upgrade\\r\\nUpgrade: x\\r\\n\\r\\n",
    ],
    ["less than it announced", 'HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nhalf"); socket.end("'],
    ["nothing", '"); socket.destroy("'],
  ] as const) {
    it(`calls it an invalid response when a server sends ${why}`, async () => {
      await using tested = await start(
        rawServer(`socket.once("data", () => { socket.write("${answer}"); });`),
      );
      await tested.channel.ready;
      const outcome = await tested.invoke({ input: newRequest("/") });
      assert.ok(outcome.kind === "threw", JSON.stringify(outcome));
      assert.equal(outcome.errorType, "Function.InvalidResponse");
      assert.match(textOf(outcome), /the program did not give a whole HTTP response: ./);
    });
  }

  it("says that a part was sent when a response breaks off", async () => {
    await using tested = await start(
      nodeServer(
        'response.writeHead(200); response.write("part"); setTimeout(() => request.socket.destroy(), 20);',
      ),
    );
    await tested.channel.ready;
    const sink = new TestSink();
    const outcome = await tested.invoke({ input: newRequest("/"), sink });
    assert.ok(outcome.kind === "threw" && outcome.isStreamed);
    assert.equal(sink.body.toString(), "part");
  });

  it("sends a request again when the connection it was sent on had just been closed, if that is harmless", async () => {
    // The second request of the first connection is read and dropped, as in a race with the server's idle timer.
    const program = rawServer(`
      const which = connections;
      let requests = 0;
      socket.on("data", (data) => {
        requests += 1;
        if (which === 1 && requests === 2) { socket.destroy(); return; }
        socket.write("HTTP/1.1 200 OK\\r\\nContent-Length: 1\\r\\n\\r\\n" + which);
      });`);
    await using tested = await start(program);
    await tested.channel.ready;
    assert.equal(textOf(await tested.invoke({ input: newRequest("/") })), "1");
    assert.equal(textOf(await tested.invoke({ input: newRequest("/") })), "2");

    await using other = await start(program);
    await other.channel.ready;
    assert.equal(textOf(await other.invoke({ input: newRequest("/") })), "1");
    const posted = await other.invoke("pay 10 euros");
    assert.ok(posted.kind === "threw" && posted.errorType === "Function.InvalidResponse");
  });

  it("destroys a request that was given up, so that the program notices", async () => {
    await using tested = await start(
      nodeServer(
        "if (request.url === '/hang') { response.on('close', () => gone()); } else { await left; response.end('noticed'); }",
        "let gone; const left = new Promise((resolve) => { gone = resolve; });",
      ),
      2,
    );
    await tested.channel.ready;
    const controller = new AbortController();
    const hanging = tested.invoke({ input: newRequest("/hang") }, controller);
    const asked = tested.invoke({ input: newRequest("/ask") });
    setImmediate(() => controller.abort(new Error("given up")));
    await assert.rejects(hanging, /given up/);
    // Where the abort came before the request was written, there was nothing to notice.
    void tested
      .invoke({ input: newRequest("/hang") }, { signal: AbortSignal.timeout(300) })
      .catch(() => undefined);
    assert.equal(textOf(await asked), "noticed");
  });

  it("is not ready before the program listens, and stops asking when it is closed", async () => {
    await using tested = await start({
      entry: { kind: "server", command: ["node", "-e", "setTimeout(() => {}, 1e6)"] },
      files: {},
    });
    const state = await Promise.race([
      tested.channel.ready.then(() => "ready"),
      new Promise((resolve) => setTimeout(resolve, 150, "pending")),
    ]);
    assert.equal(state, "pending");
  });

  it("says what is wrong when the port was closed again", async () => {
    await using tested = await start(LEAVES_ITS_PORT);
    await tested.channel.ready;
    await tested.invoke({ input: newRequest("/") });
    const outcome = await tested.invoke({ input: newRequest("/") });
    assert.ok(outcome.kind === "threw" && outcome.errorType === "Function.InvalidResponse");
  });

  it("refuses what cannot be sent, and serves on", async () => {
    await using tested = await start(ECHO);
    await tested.channel.ready;
    for (const [why, input] of [
      ["a method with a line end", newRequest("/", "GET\r\nX: y")],
      ["a path with a line end", newRequest("/\r\nX: y")],
      ["no path", newRequest("")],
      ["a header with a line end", newRequest("/", "GET", ["X", "a\r\nY: b"])],
      ["a header name with a colon", newRequest("/", "GET", ["X: a\r\nY", "b"])],
    ] as const) {
      await assert.rejects(tested.invoke({ input }), { code: "InvalidRequest" }, why);
    }
    const event = { kind: "event", payload: Buffer.alloc(0), contentType: "" } as const;
    await assert.rejects(tested.invoke({ input: event }), /invoked with a request/);
    assert.equal(textOf(await tested.invoke("fine")), "fine");
  });

  it("serves python's http.server, which takes one connection at a time", {
    skip: missingPython(),
  }, async () => {
    const program = {
      entry: {
        kind: "server",
        command: [
          "python3",
          "-c",
          "import http.server,sys; http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()",
          "$PORT",
        ],
      },
      files: { "hello.txt": "hello from a file" },
    } as const;
    const environment = { PATH: process.env.PATH ?? "" };
    await using tested = await startTestChannel(adapter, program, { environment });
    await tested.channel.ready;
    assert.equal(textOf(await tested.invoke({ input: newRequest("/hello.txt") })), "hello from a file");
    assert.equal(headOf(await tested.invoke({ input: newRequest("/no.txt") })).status, 404);
    assert.equal(textOf(await tested.invoke({ input: newRequest("/hello.txt") })), "hello from a file");
  });
});

/** Both ends of a connection, as a gateway has one. */
async function connectedPair(): Promise<{ readonly ours: Socket; readonly theirs: Socket }> {
  const { connect } = await import("node:net");
  const accepted = Promise.withResolvers<Socket>();
  const server = createServer({ allowHalfOpen: true }, accepted.resolve).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  assert.ok(address && typeof address === "object");
  const theirs = connect(address.port, "127.0.0.1");
  const ours = await accepted.promise;
  server.close();
  return { ours, theirs };
}

describe("http server: upgrades", () => {
  const WEB_SOCKET = nodeServer(
    'response.writeHead(404, { "content-length": 9 }); response.end("not here!");',
    `
const { createHash } = require("node:crypto");
setImmediate(() => server.on("upgrade", (request, socket, head) => {
  socket.on("error", () => undefined);
  if (request.url === "/refuse") { socket.end("HTTP/1.1 403 Forbidden\\r\\nContent-Length: 2\\r\\n\\r\\nno"); return; }
  if (request.url === "/hang-up") { socket.destroy(); return; }
  const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64");
  socket.write("HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: " + accept + "\\r\\n\\r\\n");
  const echo = (frame) => {
    // One short masked text frame at a time is all that this test sends.
    const length = frame[1] & 0x7f;
    const mask = frame.subarray(2, 6);
    const text = Buffer.from(frame.subarray(6, 6 + length).map((byte, index) => byte ^ mask[index % 4]));
    socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
    if (text.toString() === "bye") socket.end();
  };
  if (head.length > 0) echo(head);
  socket.on("data", echo);
}));`,
  );
  const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
  const rawHeaders = ["Host", "x", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Key", KEY];

  function frameOf(text: string): Buffer {
    const mask = Buffer.from([1, 2, 3, 4]);
    const masked = Buffer.from(text).map((byte, index) => byte ^ (mask[index % 4] ?? 0));
    return Buffer.concat([Buffer.from([0x81, 0x80 | text.length]), mask, masked]);
  }

  /** Reads until what came ends with `wanted`. */
  async function readUntil(socket: Socket, wanted: string): Promise<string> {
    let text = "";
    while (!text.endsWith(wanted)) {
      const chunk: Buffer =
        socket.read() ??
        (await new Promise((resolve) =>
          socket.once("readable", () => resolve(socket.read() ?? Buffer.alloc(0))),
        ));
      text += chunk.toString("latin1");
    }
    return text;
  }

  it("passes a WebSocket through, both ways, until one side closes", async () => {
    await using tested = await start(WEB_SOCKET);
    await tested.channel.ready;
    const { ours, theirs } = await connectedPair();
    const over = tested.channel.tunnel?.(frameOf("early"), ours, { method: "GET", path: "/", rawHeaders });
    const opening = await readUntil(theirs, "\x81\x05early");
    assert.match(opening, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
    assert.match(opening, /Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/);
    theirs.write(frameOf("again"));
    await readUntil(theirs, "\x81\x05again");
    theirs.write(frameOf("bye"));
    await readUntil(theirs, "\x81\x03bye");
    await over;
    theirs.resume();
    await new Promise((resolve) => theirs.once("close", resolve));
  });

  it("ends when the client goes away", async () => {
    await using tested = await start(WEB_SOCKET);
    await tested.channel.ready;
    const { ours, theirs } = await connectedPair();
    const over = tested.channel.tunnel?.(frameOf("hi"), ours, { method: "GET", path: "/", rawHeaders });
    await readUntil(theirs, "\x81\x02hi");
    theirs.destroy();
    await over;
  });

  for (const [path, status, body] of [
    ["/refuse", 403, "no"],
    ["/hang-up", 502, ""],
  ] as const) {
    it(`answers ${status} and closes when the server does not upgrade (${path})`, async () => {
      await using tested = await start(WEB_SOCKET);
      await tested.channel.ready;
      const { ours, theirs } = await connectedPair();
      const smuggled = Buffer.from("GET /secret HTTP/1.1\r\nHost: x\r\n\r\n");
      const over = tested.channel.tunnel?.(smuggled, ours, { method: "GET", path, rawHeaders });
      let text = "";
      for await (const chunk of theirs) text += chunk;
      await over;
      assert.match(text, new RegExp(`^HTTP/1.1 ${status} [\\s\\S]*Connection: close\r\n\r\n${body}$`));
    });
  }

  it("answers 502 when nothing listens", async () => {
    await using tested = await start(LEAVES_ITS_PORT);
    await tested.channel.ready;
    await tested.invoke({ input: newRequest("/") });
    const { ours, theirs } = await connectedPair();
    await tested.channel.tunnel?.(Buffer.alloc(0), ours, { method: "GET", path: "/", rawHeaders });
    let text = "";
    for await (const chunk of theirs) text += chunk;
    assert.match(text, /^HTTP\/1\.1 502 /);
  });

  it("closes what is open when the channel is closed", async () => {
    await using tested = await start(WEB_SOCKET);
    await tested.channel.ready;
    const { ours, theirs } = await connectedPair();
    const over = tested.channel.tunnel?.(frameOf("hi"), ours, { method: "GET", path: "/", rawHeaders });
    await readUntil(theirs, "\x81\x02hi");
    await tested.channel[Symbol.asyncDispose]();
    await over;
  });
});

function missingPython(): string | false {
  try {
    execFileSync("python3", ["--version"]);
    return false;
  } catch {
    assert.notEqual(process.env.REQUIRE_ALL, "1", "python3 is required here");
    return "python3 is not installed";
  }
}
