import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { silentLog } from "../../core/log.ts";
import { exchangeRaw, statusOf } from "../gateway/gateway.fake.ts";
import { type Listener, listen } from "../listener.ts";
import type { HttpRequest, HttpResponse } from "../message.ts";
import { PlainRequest } from "./plain-request.ts";

/** Answers with all that was read of a request. */
async function echo(request: HttpRequest, response: HttpResponse): Promise<void> {
  const body = request instanceof PlainRequest ? request.body : await buffer(request);
  const { method, url, rawHeaders, httpVersion } = request;
  const text = JSON.stringify({
    method,
    url,
    rawHeaders,
    httpVersion,
    body: (body ?? Buffer.alloc(0)).toString("latin1"),
  });
  response.writeHead(200, ["content-length", String(Buffer.byteLength(text))]);
  response.end(text);
}

const PARTS = {
  host: "127.0.0.1",
  port: 0,
  setting: "--gateway",
  log: silentLog,
  requestMsMax: 10_000,
  drainMs: 2_000,
};

describe("plain requests", () => {
  let nodeOnly: Listener;
  let both: Listener;
  /** How many requests were read directly, and how many by node:http. */
  const read = { plain: 0, node: 0 };
  before(async () => {
    nodeOnly = await listen({ ...PARTS, handler: echo });
    both = await listen({
      ...PARTS,
      handler: (request, response) => {
        read.node += 1;
        return echo(request, response);
      },
      plainHandler: (request, response) => {
        read.plain += 1;
        return echo(request, response);
      },
    });
  });
  after(async () => {
    await both[Symbol.asyncDispose]();
    await nodeOnly[Symbol.asyncDispose]();
  });

  /** Which of the two read a request, by what it counted. */
  async function readerOf(bytes: string): Promise<string> {
    const before = { ...read };
    await exchangeRaw(both.address.port, bytes);
    return `${read.plain - before.plain} plain, ${read.node - before.node} by node:http`;
  }

  const END = "Connection: close\r\n\r\n";
  for (const [why, bytes] of [
    ["without a body", `GET /a?b=c HTTP/1.1\r\nHost: a\r\n${END}`],
    ["with a body", `POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n${END}abc`],
    ["with blanks around a value", `GET / HTTP/1.1\r\nHost: \t a \t\r\nX-Empty:\r\n${END}`],
    ["with bytes beyond ASCII in a value", `GET / HTTP/1.1\r\nHost: a\r\nX: caf\xe9\r\n${END}`],
  ] as const) {
    it(`are read directly ${why}`, async () => {
      assert.equal(await readerOf(bytes), "1 plain, 0 by node:http");
    });
  }

  for (const [why, bytes, served] of [
    [
      "a chunked body",
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n${END}1\r\na\r\n0\r\n\r\n`,
      1,
    ],
    [
      "an expectation",
      `POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n${END}a`,
      1,
    ],
    [
      "a larger body",
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n${END}${"a".repeat(70_000)}`,
      1,
    ],
    ["another method", `PURGE / HTTP/1.1\r\nHost: a\r\n${END}`, 1],
    ["a whole URL", `GET http://a/ HTTP/1.1\r\nHost: a\r\n${END}`, 1],
    ["HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", 1],
    ["other options for the connection", `GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X\r\n\r\n`, 1],
    ["two hosts", `GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n${END}`, 0],
    ["no host", `GET / HTTP/1.1\r\n${END}`, 0],
    ["two lengths", `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n${END}a`, 0],
    ["a folded header", `GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n${END}`, 0],
    ["a blank before the colon", `GET / HTTP/1.1\r\nHost : a\r\n${END}`, 0],
    ["a bare line feed", `GET / HTTP/1.1\r\nHost: a\nX: b\r\n${END}`, 0],
    [
      "a request behind the last one",
      `GET / HTTP/1.1\r\nHost: a\r\n${END}GET / HTTP/1.1\r\nHost: a\r\n\r\n`,
      1,
    ],
  ] as const) {
    it(`leave ${why} to node:http`, async () => {
      assert.equal(await readerOf(bytes), `0 plain, ${served} by node:http`);
    });
  }

  it("are read by node:http from the first on that is not plain, with nothing lost or read twice", async () => {
    const chunked = "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    const bytes = `GET /1 HTTP/1.1\r\nHost: a\r\n\r\n${chunked}GET /3 HTTP/1.1\r\nHost: a\r\n${END}`;
    const response = await exchangeRaw(both.address.port, bytes);
    assert.deepEqual(
      [...response.matchAll(/"url":"([^"]*)"/g)].map(([, url]) => url),
      ["/1", "/2", "/3"],
    );
    assert.match(response, /"url":"\/2".*"body":"ab"/);
  });

  it("may come in two pieces, head and body; what comes in more is node:http's", async () => {
    const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";
    for (const [pieces, reader] of [
      [[head, "abcd"], "plain"],
      [[head, "ab", "cd"], "node"],
      [[head.slice(0, 20), `${head.slice(20)}abcd`], "node"],
    ] as const) {
      const before = read[reader];
      const socket = await opened(both.address.port);
      const answer = text(socket);
      for (const piece of pieces) {
        socket.write(piece);
        // Each is read before the next is sent, as far as one turn of the loop on both sides tells.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      assert.match(await answer, /"body":"abcd"/);
      assert.equal(read[reader], before + 1, `${pieces.length} pieces, by ${reader}`);
    }
  });

  it("mean what they mean to node:http, whatever they are made of", async () => {
    const name = fc.constantFrom(
      "X-A",
      "x-a",
      "Cookie",
      "Connection",
      "Content-Length",
      "Transfer-Encoding",
      "Host",
      "Expect",
      "a b",
      "",
      "Upgrade",
      "Trailer",
      "TE",
    );
    const value = fc.oneof(
      fc.constantFrom(
        "",
        "a",
        "close",
        "keep-alive",
        "chunked",
        "0",
        "3",
        "03",
        "+3",
        "3, 3",
        "100-continue",
        " a\t",
        "a\rb",
        "a\nb",
        "\x00",
        "é",
        "a:b",
        "identity",
      ),
      fc.string({ maxLength: 8 }),
    );
    const separator = fc.constantFrom(": ", ":", ":\t", " : ");
    const lineEnd = fc.constantFrom("\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r");
    const line = fc.tuple(name, separator, value, lineEnd).map((all) => all.join(""));
    const first = fc.tuple(
      fc.constantFrom("GET", "POST", "DELETE", "get", "FOO", "PUT"),
      fc.constantFrom(" ", "  ", "\t"),
      fc.constantFrom("/", "/a?b=%zz", "*", "http://a/", "/a#b", "/\x7f", "/é", ""),
      fc.constantFrom(" HTTP/1.1", " HTTP/1.0", " HTTP/1.2", " http/1.1", ""),
    );
    const body = fc.constantFrom("", "abc", "abcGET / HTTP/1.1\r\nHost: a\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n");
    await fc.assert(
      fc.asyncProperty(first, fc.array(line, { maxLength: 4 }), body, async (start, lines, rest) => {
        const bytes = `${start.join("")}\r\nHost: a\r\n${lines.join("")}\r\n${rest}`;
        const actual = await exchangeRaw(both.address.port, bytes, { halfClose: true });
        // node:http does not answer the first request if what follows in the same piece is garbage; we do.
        const alone = statusOf(actual) === 200 ? firstRequest(bytes, firstBody(actual)) : bytes;
        const expected = await exchangeRaw(nodeOnly.address.port, alone, { halfClose: true });
        // A client that has closed its side is gone: whether it still gets an answer is chance.
        if (actual === "" || expected === "") return;
        assert.equal(statusOf(actual), statusOf(expected), JSON.stringify(bytes));
        assert.equal(firstBody(actual), firstBody(expected), JSON.stringify(bytes));
      }),
      { numRuns: 400 },
    );
  });
});

describe("a plain response", () => {
  async function answerOf(
    handler: (response: HttpResponse) => void | Promise<void>,
    request = `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
  ): Promise<string> {
    await using listener = await listen({
      ...PARTS,
      handler: () => assert.fail("not plain"),
      plainHandler: (_, response) => handler(response),
    });
    return withoutDate(await exchangeRaw(listener.address.port, request));
  }

  it("leaves with its head in one piece, whatever its characters", async () => {
    for (const body of ["ok", "grüße", "日本", Buffer.from([0, 255, 13, 10])]) {
      const bytes = Buffer.from(body);
      assert.equal(
        await answerOf((response) => {
          response.writeHead(200, ["Content-Length", String(bytes.length), "x", "é"]);
          response.end(body);
        }),
        `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\nx: é\r\nConnection: close\r\n\r\n${bytes.toString("latin1")}`,
      );
    }
  });

  it("is chunked where its length is not known", async () => {
    const streaming = (response: HttpResponse) => {
      response.writeHead(200, ["a", "b"]);
      response.write(Buffer.from("one"));
      response.write(Buffer.alloc(0));
      response.write(Buffer.from("two"));
      response.end();
    };
    const head = "HTTP/1.1 200 OK\r\na: b\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert.equal(await answerOf(streaming), `${head}3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n`);
    const atOnce = (response: HttpResponse) => {
      response.writeHead(200, ["a", "b"]);
      response.end("é");
    };
    assert.equal(await answerOf(atOnce), `${head}2\r\nÃ©\r\n0\r\n\r\n`);
  });

  for (const [why, status, request] of [
    ["to HEAD", 200, "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
    ["that is 204", 204, undefined],
    ["that is 304", 304, undefined],
  ] as const) {
    it(`has no body ${why}`, async () => {
      const answer = await answerOf((response) => {
        response.writeHead(status, ["a", "b"]);
        response.write(Buffer.from("never"));
        response.end("sent");
      }, request);
      assert.match(
        answer,
        new RegExp(`^HTTP/1.1 ${status} [A-Za-z ]+\r\na: b\r\nConnection: close\r\n\r\n$`),
      );
    });
  }

  it("ends the connection if its head says so, and what came behind it is not served", async () => {
    let served = 0;
    await using listener = await listen({
      ...PARTS,
      handler: () => assert.fail("not plain"),
      plainHandler: (_, response) => {
        served += 1;
        response.writeHead(400, ["connection", "close", "content-length", "0"]);
        response.end();
      },
    });
    const answer = await exchangeRaw(listener.address.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3));
    assert.equal(served, 1);
    assert.match(answer, /^HTTP\/1.1 400 Bad Request\r\n(?!.*HTTP)/s);
  });

  it("is waited for, and ends its connection, when the listener closes", async () => {
    const arrived = Promise.withResolvers<HttpResponse>();
    const listener = await listen({
      ...PARTS,
      handler: () => assert.fail("not plain"),
      plainHandler: (_, response) => arrived.resolve(response),
    });
    const idle = await opened(listener.address.port);
    const busy = await opened(listener.address.port);
    const answer = text(busy);
    busy.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const response = await arrived.promise;
    const idleEnded = once(idle, "close");
    const closed = listener[Symbol.asyncDispose]();
    await idleEnded;
    response.writeHead(200, ["content-length", "2"]);
    response.end("ok");
    assert.match(await answer, /ok$/);
    await closed;
  });

  it("waits for a client that reads slowly", async () => {
    const chunk = Buffer.alloc(256 * 1024, "a");
    let waits = 0;
    await using listener = await listen({
      ...PARTS,
      handler: () => assert.fail("not plain"),
      plainHandler: async (_, response) => {
        response.writeHead(200, ["connection", "close"]);
        for (let i = 0; i < 40; i++) {
          if (response.write(chunk)) continue;
          waits += 1;
          await new Promise<void>((resolve) => response.once("drain", resolve));
        }
        response.end();
      },
    });
    const socket = await opened(listener.address.port);
    socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let bytes = 0;
    for await (const piece of socket) bytes += piece.length;
    assert.ok(bytes > 40 * chunk.length);
    assert.ok(waits > 0);
  });
});

async function opened(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

/** All that comes until the connection ends. */
async function text(socket: Socket): Promise<string> {
  return (await buffer(socket)).toString("latin1");
}

function withoutDate(response: string): string {
  return response.replace(/Date: [^\r]*\r\n/g, "");
}

/** The bytes of the first request, by what was read of it; all if it had no length. */
function firstRequest(bytes: string, read: string): string {
  if (read === "" || /transfer-encoding/i.test(read)) return bytes;
  const { body } = JSON.parse(read);
  return bytes.slice(0, bytes.indexOf("\r\n\r\n") + 4 + body.length);
}

/** Of the first response, by its length. */
function firstBody(response: string): string {
  const at = response.indexOf("\r\n\r\n") + 4;
  const length = Number(/\r\ncontent-length: (\d+)/i.exec(response)?.[1] ?? 0);
  const body = response.slice(at, at + length);
  // Each error has an id of its own.
  return body.replace(/"requestId":"[^"]*"/, "");
}
