import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import { silentLog } from "../core/log.ts";
import { exchangeRaw, statusOf } from "./gateway/gateway.fake.ts";
import { authorityOf, type ListenParts, listen } from "./listener.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

function start(facts: Partial<ListenParts> = {}) {
  return listen({
    host: "127.0.0.1",
    port: 0,
    setting: "--gateway or LAMBDAD_GATEWAY",
    log: silentLog,
    requestMsMax: 10_000,
    drainMs: 2_000,
    handler: (_, response) => void response.end("ok"),
    ...facts,
  });
}

async function connected(port: number, host = "127.0.0.1"): Promise<Socket> {
  const socket = connect(port, host);
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

/** A request that is answered when the test says so. */
function heldRequest() {
  const arrived = Promise.withResolvers<ServerResponse>();
  return {
    arrived: arrived.promise,
    handler: (_: unknown, response: ServerResponse) => arrived.resolve(response),
  };
}

describe("listen", () => {
  it("says the real port", async () => {
    await using listener = await start();
    const { port, authority, url } = listener.address;
    assert.ok(port > 0);
    assert.deepEqual([authority, url], [`127.0.0.1:${port}`, `http://127.0.0.1:${port}`]);
    assert.equal(await (await fetch(url)).text(), "ok");
  });

  it("writes IPv6 addresses with brackets", async (context) => {
    const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
      all?.some(({ address }) => address === "::1"),
    );
    if (!hasIpv6) {
      assert.notEqual(process.env.REQUIRE_ALL, "1");
      context.skip("this machine has no ::1");
      return;
    }
    await using listener = await start({ host: "::1" });
    assert.equal(listener.address.url, `http://[::1]:${listener.address.port}`);
    assert.equal(await (await fetch(listener.address.url)).text(), "ok");
    assert.equal(authorityOf("localhost", 80), "localhost:80");
  });

  it("names address and setting when the port is in use", async () => {
    await using listener = await start();
    const { port } = listener.address;
    await assert.rejects(start({ port }), (error) => {
      assert.ok(isPlatformError(error, "PortInUse"));
      assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port}.*LAMBDAD_GATEWAY`));
      return true;
    });
  });

  it("refuses an address that is not this machine's", async () => {
    await assert.rejects(start({ host: "192.0.2.1" }), (error) =>
      isPlatformError(error, "ConfigurationInvalid"),
    );
  });

  it("ends by itself when disposed twice, with idle connections open", async () => {
    const listener = await start();
    const socket = await connected(listener.address.port);
    const closed = once(socket, "close");
    socket.resume();
    socket.write(GET);
    await once(socket, "data");
    await Promise.all([listener[Symbol.asyncDispose](), listener[Symbol.asyncDispose]()]);
    await closed;
    await assert.rejects(connected(listener.address.port));
  });

  it("lets a running request end when disposed", async () => {
    const held = heldRequest();
    const listener = await start({ handler: held.handler });
    const answered = fetch(listener.address.url);
    const response = await held.arrived;
    const disposed = listener[Symbol.asyncDispose]();
    response.end("late");
    assert.equal(await (await answered).text(), "late");
    await disposed;
  });

  it("cuts a request that runs longer than the drain time", async () => {
    const held = heldRequest();
    const listener = await start({ handler: held.handler, drainMs: 50 });
    const answered = fetch(listener.address.url);
    await held.arrived;
    const refused = assert.rejects(answered);
    await listener[Symbol.asyncDispose]();
    await refused;
  });

  it("cuts upgraded connections after the drain time", async () => {
    const upgraded = Promise.withResolvers<void>();
    const listener = await start({ drainMs: 50, onUpgrade: () => upgraded.resolve() });
    const socket = await connected(listener.address.port);
    const closed = once(socket, "close");
    socket.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    await upgraded.promise;
    await listener[Symbol.asyncDispose]();
    await closed;
  });

  it("declines an upgrade to HTTP/2 by answering", async () => {
    await using listener = await start({ onUpgrade: () => assert.fail("not an upgrade of ours") });
    const offer =
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n";
    assert.equal(statusOf(await exchangeRaw(listener.address.port, offer, { halfClose: true })), 200);
  });

  it("answers 408 to headers that do not come to an end, and goes on serving meanwhile", async () => {
    await using listener = await start({ requestMsMax: 300 });
    const { port, url } = listener.address;
    const slow = exchangeRaw(port, "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    assert.equal(await (await fetch(url)).text(), "ok");
    const response = await slow;
    assert.equal(statusOf(response), 408);
    assert.match(response, /"code":"InvalidRequest"/);
  });

  it("answers 431 to more headers, or longer ones, than it takes", async () => {
    await using listener = await start();
    const { port } = listener.address;
    for (const headers of [
      "x: y\r\n".repeat(100),
      "x: y\r\n".repeat(1_000),
      `x: ${"y".repeat(17_000)}\r\n`,
    ]) {
      assert.equal(statusOf(await exchangeRaw(port, `GET / HTTP/1.1\r\nHost: a\r\n${headers}\r\n`)), 431);
    }
    const most = `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${"x: y\r\n".repeat(98)}\r\n`;
    assert.equal(statusOf(await exchangeRaw(port, most)), 200);
  });

  it("answers 500 when the handler throws or rejects, and says nothing of why", async () => {
    for (const handler of [
      () => {
        throw new Error("hunter2");
      },
      () => Promise.reject(new Error("hunter2")),
    ]) {
      await using listener = await start({ handler });
      const response = await fetch(listener.address.url);
      assert.equal(response.status, 500);
      assert.doesNotMatch(await response.text(), /hunter2/);
    }
  });

  it("survives an upgrade handler that throws or rejects", async () => {
    for (const onUpgrade of [
      () => {
        throw new Error("x");
      },
      () => Promise.reject(new Error("x")),
    ]) {
      await using listener = await start({ onUpgrade });
      const upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
      assert.equal(await exchangeRaw(listener.address.port, upgrade), "");
    }
  });

  it("sends 100 Continue at once, or leaves it to the handler", async () => {
    const request =
      "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    await using eager = await start();
    assert.match(
      await exchangeRaw(eager.address.port, request),
      /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200/,
    );
    await using lazy = await start({ handlesContinue: true });
    assert.match(await exchangeRaw(lazy.address.port, request), /^HTTP\/1\.1 200/);
  });
});
