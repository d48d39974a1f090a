import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { isPlatformError, PlatformError } from "../../core/errors.ts";
import type { Tunnel } from "../../invoker/invocations.ts";
import { exchangeRaw, startGateway, statusOf } from "./gateway.fake.ts";

const functions = { chat: { kind: "server" }, greet: {} } as const;
const UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n";
const OPEN = `GET /room?a=b HTTP/1.1\r\nHost: chat.localhost\r\nX-Forwarded-For: 6.6.6.6\r\n${UPGRADE}\r\n`;

describe("an upgraded connection", () => {
  it("is passed through to a server, both ways, with what the client sent early", async () => {
    const seen: Tunnel[] = [];
    await using gateway = await startGateway({
      functions,
      tunnel: async (tunnel) => {
        seen.push(tunnel);
        tunnel.client.write(
          "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        tunnel.client.write(tunnel.head);
        for await (const chunk of tunnel.client) tunnel.client.write(String(chunk).toUpperCase());
        tunnel.client.end();
      },
    });
    const socket = connect(gateway.port, "127.0.0.1");
    socket.setEncoding("latin1");
    socket.write(`${OPEN}early`);
    let received = "";
    for await (const text of socket) {
      received += String(text);
      if (received.endsWith("early")) socket.write("later");
      if (received.endsWith("LATER")) socket.end();
    }
    assert.match(received, /^HTTP\/1\.1 101 [\s\S]*\r\n\r\nearlyLATER$/);
    const { method, path, rawHeaders } = seen[0]?.request ?? assert.fail("no tunnel");
    assert.deepEqual([method, path], ["GET", "/room?a=b"]);
    assert.deepEqual(rawHeaders.slice(0, 4), ["Host", "chat.localhost", "Sec-WebSocket-Key", "x"]);
    assert.ok(!rawHeaders.includes("6.6.6.6"));
    assert.deepEqual(rawHeaders.slice(-4), ["connection", "upgrade", "upgrade", "websocket"]);
  });

  it("is aborted with CallerGone when the client goes away", async () => {
    const opened = Promise.withResolvers<AbortSignal>();
    await using gateway = await startGateway({
      functions,
      tunnel: async (_, { signal }) => {
        opened.resolve(signal);
        await once(signal, "abort");
        throw signal.reason;
      },
    });
    const socket = connect(gateway.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(OPEN);
    const signal = await opened.promise;
    const aborted = once(signal, "abort");
    socket.resetAndDestroy();
    await aborted;
    assert.ok(isPlatformError(signal.reason, "CallerGone"));
  });

  for (const [why, request, status, code] of [
    ["a function that is not there", OPEN.replace("chat.", "nobody."), 404, "FunctionNotFound"],
    ["a handler", OPEN.replace("chat.", "greet."), 400, "InvalidRequest"],
    ["what is ours", OPEN.replace("chat.", ""), 404, "FunctionNotFound"],
    ["our own names", OPEN.replace("chat.", "").replace("/room", "/_x"), 404, "RouteNotFound"],
    ["an ambiguous path", OPEN.replace("chat.", "").replace("/room", "/chat/../x"), 400, "InvalidRequest"],
    ["two hosts", OPEN.replace("\r\n\r\n", "\r\nHost: greet.localhost\r\n\r\n"), 400, "InvalidRequest"],
    ["a body", OPEN.replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc"), 400, "InvalidRequest"],
  ] as const) {
    it(`is refused for ${why}`, async () => {
      await using gateway = await startGateway({
        functions,
        tunnel: async () => assert.fail("no tunnel is due"),
      });
      const answer = await exchangeRaw(gateway.port, request);
      assert.equal(statusOf(answer), status, answer);
      assert.match(answer, new RegExp(`"code":"${code}"`));
    });
  }

  it("is answered when no instance can take it, and cut when that comes too late", async () => {
    const busy = new PlatformError("TooManyInvocations", "busy");
    await using early = await startGateway({ functions, tunnel: () => Promise.reject(busy) });
    assert.equal(statusOf(await exchangeRaw(early.port, OPEN)), 429);
    await using late = await startGateway({
      functions,
      tunnel: async ({ client }) => {
        await new Promise((resolve) => client.write("HTTP/1.1 101 Switching Protocols\r\n\r\n", resolve));
        throw busy;
      },
    });
    assert.equal(await exchangeRaw(late.port, OPEN), "HTTP/1.1 101 Switching Protocols\r\n\r\n");
  });
});
