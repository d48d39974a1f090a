import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { type EventId, parseEventId } from "../core/ids.ts";
import { isPrivateHost, newHttpDelivery } from "./http-delivery.ts";

const KEY = Buffer.alloc(32, 7);
const secret = `whsec_${KEY.toString("base64")}`;
const ID: EventId = parseEventId("evt_00000000001") ?? assert.fail();
const NOW = 1_700_000_000_500;

async function startSink(answer: (request: IncomingMessage, response: ServerResponse, body: string) => void) {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request.setEncoding("utf8")) body += piece;
    answer(request, response, body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/hook?x=1`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

const to = (url: string) => ({ id: ID, url, body: Buffer.from('{"ü":1}'), depth: 3, now: NOW });
const never = { signal: new AbortController().signal };

describe("a delivery", () => {
  const deliver = newHttpDelivery({ secret, allowsPrivate: true, timeoutMs: 30_000 });
  const impatient = newHttpDelivery({ secret, allowsPrivate: true, timeoutMs: 300 });

  it("is a POST of the record, signed over id, time and body", async () => {
    let seen: unknown;
    await using sink = await startSink(({ method, url, headers }, response, body) => {
      seen = [
        method,
        url,
        headers["content-type"],
        headers["webhook-id"],
        headers["webhook-timestamp"],
        headers["x-lambdad-depth"],
        body,
      ];
      const signed = createHmac("sha256", KEY).update(`${ID}.1700000000.${body}`).digest("base64");
      response.writeHead(headers["webhook-signature"] === `v1,${signed}` ? 204 : 400).end();
    });
    assert.deepEqual(await deliver(to(sink.url), never), { kind: "delivered", status: 204 });
    assert.deepEqual(seen, ["POST", "/hook?x=1", "application/json", ID, "1700000000", "3", '{"ü":1}']);
  });

  for (const [why, status, kind] of [
    ["a server error", 500, "setback"],
    ["a refusal", 400, "setback"],
    ["a redirect, which is not followed", 302, "setback"],
    ["an address that is gone", 410, "hopeless"],
  ] as const) {
    it(`takes ${why} as ${kind}`, async () => {
      let requests = 0;
      await using sink = await startSink((_, response) => {
        requests += 1;
        response.writeHead(status, { location: "/elsewhere" }).end();
      });
      assert.equal((await deliver(to(sink.url), never)).kind, kind);
      assert.equal(requests, 1);
    });
  }

  for (const [why, answer] of [
    ["an address that never answers", () => undefined],
    ["a connection that is cut", (response: ServerResponse) => response.destroy()],
  ] as const) {
    it(`takes ${why} as a setback`, async () => {
      await using sink = await startSink((_, response) => void answer(response));
      const verdict = await impatient(to(sink.url), never);
      assert.equal(verdict.kind === "setback" && verdict.outcome, "unavailable");
    });
  }

  it("takes nobody listening as a setback", async () => {
    const sink = await startSink(() => undefined);
    await sink[Symbol.asyncDispose]();
    assert.equal((await deliver(to(sink.url), never)).kind, "setback");
  });

  it("is released when we stop", async () => {
    await using sink = await startSink(() => undefined);
    const stopping = new AbortController();
    const delivering = newHttpDelivery({ secret, allowsPrivate: true })(to(sink.url), stopping);
    stopping.abort(new Error("stop"));
    assert.deepEqual(await delivering, { kind: "released" });
  });
});

describe("addresses inside networks", () => {
  const deliver = newHttpDelivery({ secret, allowsPrivate: false, timeoutMs: 2_000 });

  it("are never connected to, by number or by a name that leads there", async () => {
    let requests = 0;
    await using sink = await startSink((_, response) => {
      requests += 1;
      response.end();
    });
    const { port } = new URL(sink.url);
    for (const host of ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"]) {
      const verdict = await deliver(to(`http://${host}:${port}/`), never);
      assert.equal(verdict.kind === "hopeless" && verdict.condition, "DeliveryRefused", host);
    }
    assert.equal(requests, 0);
  });

  for (const [address, isInside] of [
    ["10.1.2.3", true],
    ["172.16.0.1", true],
    ["172.32.0.1", false],
    ["192.168.1.1", true],
    ["169.254.169.254", true],
    ["100.64.0.1", true],
    ["8.8.8.8", false],
    ["0.0.0.0", true],
    ["255.255.255.255", true],
    ["::1", true],
    ["::", true],
    ["fd00::1", true],
    ["fe80::1", true],
    ["::ffff:8.8.8.8", true],
    ["64:ff9b::7f00:1", true],
    ["2606:4700::1111", false],
    ["example.org", false],
  ] as const) {
    it(`${isInside ? "include" : "do not include"} ${address}`, () => {
      assert.equal(isPrivateHost(address), isInside);
    });
  }
});
