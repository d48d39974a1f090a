import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { returned } from "../../invoker/invocations.fake.ts";
import { exchangeRaw, startGateway, statusOf } from "./gateway.fake.ts";

const HOST = "Host: greet.localhost\r\n";
const CANARY = "GET /canary HTTP/1.1\r\nHost: greet.localhost\r\n\r\n";

function post(headers: string, body: string, version = "1.1"): string {
  return `POST /first HTTP/${version}\r\n${HOST}${headers}\r\n${body}`;
}

function get(headers: string, start = "GET /first HTTP/1.1"): string {
  return `${start}\r\n${headers}\r\n`;
}

/** Requests whose end, or whose address, two readers could see differently. Each is followed by a canary. */
const REFUSED: readonly (readonly [why: string, bytes: string])[] = [
  ...[
    ["length and chunked", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"],
    ["chunked and length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"],
    ["length 0 and chunked", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"],
    ["chunked in capitals and length", "TRANSFER-ENCODING: CHUNKED\r\nCONTENT-LENGTH: 5\r\n"],
    ["identity and length", "Transfer-Encoding: identity\r\nContent-Length: 5\r\n"],
    ["another coding and length", "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n"],
    ["two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"],
    ["the same length twice", "Content-Length: 5\r\nContent-Length: 5\r\n"],
    ["a list of lengths", "Content-Length: 5, 5\r\n"],
    ["a list of different lengths", "Content-Length: 5, 6\r\n"],
    ["a length with a sign", "Content-Length: +5\r\n"],
    ["a negative length", "Content-Length: -1\r\n"],
    ["a hexadecimal length", "Content-Length: 0x5\r\n"],
    ["a length with an exponent", "Content-Length: 5e0\r\n"],
    ["a length with a fraction", "Content-Length: 5.0\r\n"],
    ["a length with an underscore", "Content-Length: 1_0\r\n"],
    ["a length of two numbers", "Content-Length: 5 5\r\n"],
    ["a length with letters after it", "Content-Length: 5abc\r\n"],
    ["an empty length", "Content-Length:\r\n"],
    ["a length beyond 64 bits", "Content-Length: 99999999999999999999999\r\n"],
    ["a quoted length", 'Content-Length: "5"\r\n'],
    ["two codings in two headers", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"],
    ["two codings, chunked last", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"],
    ["chunked twice in two headers", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"],
    ["chunked twice in one header", "Transfer-Encoding: chunked, chunked\r\n"],
    ["gzip then chunked", "Transfer-Encoding: gzip, chunked\r\n"],
    ["chunked then gzip", "Transfer-Encoding: chunked, gzip\r\n"],
    ["only identity", "Transfer-Encoding: identity\r\n"],
    ["only gzip", "Transfer-Encoding: gzip\r\n"],
    ["chunked with letters before it", "Transfer-Encoding: xchunked\r\n"],
    ["chunked with letters after it", "Transfer-Encoding: chunkedx\r\n"],
    ["chunked in quotes", 'Transfer-Encoding: "chunked"\r\n'],
    ["chunked with a parameter", "Transfer-Encoding: chunked;q=1\r\n"],
    ["chunked with a vertical tab", "Transfer-Encoding: \x0bchunked\r\n"],
    ["chunked with a vertical tab after it", "Transfer-Encoding: chunked\x0b\r\n"],
    ["chunked with a form feed", "Transfer-Encoding: \x0cchunked\r\n"],
    ["chunked with a NUL", "Transfer-Encoding: chunked\x00\r\n"],
    ["chunked with a non-breaking space", "Transfer-Encoding: \xa0chunked\r\n"],
    ["chunked with an empty member", "Transfer-Encoding: ,chunked\r\n"],
    ["an empty coding", "Transfer-Encoding:\r\n"],
    ["a space before the colon of the length", "Content-Length : 5\r\n"],
    ["a tab before the colon of the length", "Content-Length\t: 5\r\n"],
    ["a space before the colon of the coding", "Transfer-Encoding : chunked\r\n"],
    ["a space before the coding's name", " Transfer-Encoding: chunked\r\n"],
    ["a tab before the length's name", "\tContent-Length: 5\r\n"],
    ["a folded coding", "Transfer-Encoding:\r\n chunked\r\n"],
    ["a folded length", "Content-Length:\r\n 5\r\n"],
    ["a folded header", "X-A: b\r\n c\r\n"],
    ["a NUL in a name", "X-\x00A: b\r\n"],
    ["a NUL in a value", "X-A: b\x00c\r\n"],
    ["a bare CR in a value", "X-A: b\rTransfer-Encoding: chunked\r\n"],
    ["a bare LF between headers", "X-A: b\nTransfer-Encoding: chunked\r\n"],
    ["a bare LF after the last header", "X-A: b\n"],
    ["a name in brackets", "[X-A]: b\r\n"],
    ["a name with a space inside", "X A: b\r\n"],
    ["a name with a colon first", ": b\r\n"],
    ["a line without a colon", "Transfer-Encoding chunked\r\n"],
    ["a name beyond ASCII", "X-\xe4: b\r\n"],
    ["a DEL in a name", "X-\x7f: b\r\n"],
    ["two hosts", "Host: admin.localhost\r\n"],
    ["the same host twice", HOST],
  ].map(([why, headers]): [string, string] => [why ?? "", post(headers ?? "", "0\r\n\r\n")]),
  ...[
    ["a chunk size with a sign", "+1\r\na\r\n0\r\n\r\n"],
    ["a negative chunk size", "-1\r\na\r\n0\r\n\r\n"],
    ["a chunk size with 0x", "0x1\r\na\r\n0\r\n\r\n"],
    ["a chunk size that is no number", "z\r\na\r\n0\r\n\r\n"],
    ["an empty chunk size", "\r\na\r\n0\r\n\r\n"],
    ["a chunk size beyond 64 bits", "ffffffffffffffffff\r\na\r\n0\r\n\r\n"],
    ["a chunk size with a space before it", " 1\r\na\r\n0\r\n\r\n"],
    ["a chunk size with a NUL", "1\x00\r\na\r\n0\r\n\r\n"],
    ["a chunk size ended by a bare LF", "1\na\r\n0\r\n\r\n"],
    ["a chunk size ended by a bare CR", "1\ra\r\n0\r\n\r\n"],
    ["a chunk longer than its size", "1\r\nab\r\n0\r\n\r\n"],
    ["a chunk ended by a bare LF", "1\r\na\n0\r\n\r\n"],
    ["a chunk ended by nothing", "1\r\na0\r\n\r\n"],
    ["a chunk extension with a bare LF", "1;a\nb\r\na\r\n0\r\n\r\n"],
    ["a chunk extension with a bare CR", "1;a\rb\r\na\r\n0\r\n\r\n"],
    ["a quoted chunk extension with a bare LF", '1;a="b\nc"\r\na\r\n0\r\n\r\n'],
    ["a chunk extension with a NUL", "1;a\x00\r\na\r\n0\r\n\r\n"],
    ["a last chunk ended by a bare LF", "1\r\na\r\n0\n\n"],
    ["a trailer without a colon", "1\r\na\r\n0\r\nX-A\r\n\r\n"],
    ["a trailer with a space before its colon", "1\r\na\r\n0\r\nX-A : b\r\n\r\n"],
  ].map(([why, body]): [string, string] => [why ?? "", post("Transfer-Encoding: chunked\r\n", body ?? "")]),
  ["chunked in HTTP/1.0", post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "1.0")],
  ["a request after Connection: close", post("Connection: close\r\nContent-Length: 1\r\n", "a")],
  ["no host in HTTP/1.1", get("")],
  ["an empty host", get("Host:\r\n")],
  ["a host with a path", get("Host: greet.localhost/admin\r\n")],
  ["a host with a user", get("Host: admin@greet.localhost\r\n")],
  ["a host with a space", get("Host: greet localhost\r\n")],
  ["a list of hosts", get("Host: greet.localhost, admin.localhost\r\n")],
  ["a host with a trailing dot", get("Host: greet.localhost.\r\n")],
  ["a host with two dots", get("Host: greet..localhost\r\n")],
  ["a host with a leading dot", get("Host: .localhost\r\n")],
  ["a host with a port that is no number", get("Host: greet.localhost:80a\r\n")],
  ["a host with an empty port", get("Host: greet.localhost:\r\n")],
  ["a host with two ports", get("Host: greet.localhost:80:81\r\n")],
  ["a host beyond ASCII", get("Host: gr\xe4et.localhost\r\n")],
  ["a host with percent-encoding", get("Host: greet%2elocalhost\r\n")],
  ["a host with a backslash", get("Host: greet.localhost\\admin\r\n")],
  ["a host with a NUL", get("Host: greet\x00.localhost\r\n")],
  ["an absolute target for another host", get(HOST, "GET http://admin.localhost/ HTTP/1.1")],
  ["an absolute target with another port", get(HOST, "GET http://greet.localhost:81/ HTTP/1.1")],
  ["an absolute target with a user", get(HOST, "GET http://admin@greet.localhost/ HTTP/1.1")],
  ["an absolute https target", get(HOST, "GET https://greet.localhost/ HTTP/1.1")],
  ["an absolute target without a host", get(HOST, "GET http:/// HTTP/1.1")],
  ["a target of another scheme", get(HOST, "GET file:///etc/passwd HTTP/1.1")],
  ["a target without a slash", get(HOST, "GET first HTTP/1.1")],
  ["a target that is a star", get(HOST, "OPTIONS * HTTP/1.1")],
  ["a target that is an authority", get(HOST, "GET greet.localhost:80 HTTP/1.1")],
  ["a target with a fragment", get(HOST, "GET /first#part HTTP/1.1")],
  ["a target beyond ASCII", get(HOST, "GET /f\xefrst HTTP/1.1")],
  ["a target with a NUL", get(HOST, "GET /f\x00 HTTP/1.1")],
  ["a target with a tab", get(HOST, "GET /f\tx HTTP/1.1")],
  ["a target with a space", get(HOST, "GET /f x HTTP/1.1")],
  ["no version", get(HOST, "GET /first")],
  ["HTTP/0.9", get(HOST, "GET /first HTTP/0.9")],
  ["HTTP/2.0", get(HOST, "GET /first HTTP/2.0")],
  ["HTTP/1.2", get(HOST, "GET /first HTTP/1.2")],
  ["a version in lower case", get(HOST, "GET /first http/1.1")],
  ["a method in lower case", get(HOST, "get /first HTTP/1.1")],
  ["an unknown method", get(HOST, "SMUGGLE /first HTTP/1.1")],
  ["a start line ended by a bare LF", `GET /first HTTP/1.1\n${HOST}\r\n`],
  ["a start line ended by a bare CR", `GET /first HTTP/1.1\r${HOST}\r\n`],
  ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ["a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
  ["binary noise", "\x00\x01\x02\xff\xfe\r\n\r\n"],
  [
    "an upgrade with a body",
    get(`${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n`),
  ],
];

describe("request smuggling", () => {
  it(`has at least 100 vectors`, () => assert.ok(REFUSED.length >= 100, String(REFUSED.length)));

  it("refuses what can be read in two ways, ends the connection, and runs nothing of what follows", async () => {
    await using gateway = await startGateway({
      functions: { greet: {}, admin: {} },
      run: () => returned('"ok"'),
    });
    const wrong: string[] = [];
    for (const [why, bytes] of REFUSED) {
      const before = gateway.invocations.calls.length;
      const response = await exchangeRaw(gateway.port, bytes + CANARY);
      const paths = gateway.invocations.calls.slice(before).map(({ request }) => {
        return request.input.kind === "event"
          ? Buffer.from(request.input.payload).toString()
          : request.input.path;
      });
      const isRefused = [400, 404, 405, 431, 505].includes(statusOf(response));
      const canaries = paths.filter((path) => path.includes("canary")).length;
      const others = paths.filter((path) => path.includes("admin")).length;
      if (!isRefused || canaries > 0 || others > 0) {
        wrong.push(
          `${why}: status ${statusOf(response)}, ${canaries} canaries, ${others} others: ${response.slice(0, 200)}`,
        );
      }
    }
    assert.deepEqual(wrong, []);
  });

  it("serves pipelined requests in order, each with its own answer", async () => {
    await using gateway = await startGateway({ run: () => returned('"ok"') });
    const last = `GET /last HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`;
    const response = await exchangeRaw(gateway.port, post("Content-Length: 3\r\n", "abc") + last);
    assert.equal(response.split("HTTP/1.1 200 OK").length - 1, 2);
    assert.equal(gateway.invocations.calls.length, 2);
  });
});
