import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { isPlatformError } from "../../core/errors.ts";
import { jsonLog } from "../../core/log.ts";
import { returned } from "../../invoker/invocations.fake.ts";
import { call, startGateway } from "./gateway.fake.ts";

const UPLOAD = "POST /greet HTTP/1.1\r\nHost: localhost\r\n";

describe("the gateway, when the client goes away", () => {
  it("aborts the call with CallerGone and logs nothing as an error", async () => {
    const lines: string[] = [];
    const running = Promise.withResolvers<AbortSignal>();
    await using gateway = await startGateway({
      log: jsonLog((line) => lines.push(line), "warn"),
      run: async (_, { signal }) => {
        running.resolve(signal);
        await once(signal, "abort");
        throw signal.reason;
      },
    });
    const socket = connect(gateway.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write("GET /greet HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const signal = await running.promise;
    const aborted = once(signal, "abort");
    socket.resetAndDestroy();
    await aborted;
    assert.ok(isPlatformError(signal.reason, "CallerGone"));
    assert.deepEqual(lines, []);
  });

  it("aborts the call that runs of many pipelined ones, and starts none of the others", async () => {
    const running = Promise.withResolvers<AbortSignal>();
    await using gateway = await startGateway({
      run: async (_, { signal }) => {
        running.resolve(signal);
        await once(signal, "abort");
        throw signal.reason;
      },
    });
    const socket = connect(gateway.port, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write("GET /greet HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20));
    const signal = await running.promise;
    const aborted = once(signal, "abort");
    socket.destroy();
    await aborted;
    assert.ok(isPlatformError(signal.reason, "CallerGone"));
    assert.equal((await call(gateway.port, "/", { host: "localhost" })).status, 200);
    assert.equal(gateway.invocations.calls.length, 1);
  });

  it("starts no call whose body never comes", async () => {
    await using gateway = await startGateway();
    const socket = connect(gateway.port, "127.0.0.1");
    socket.on("error", () => undefined);
    await once(socket, "connect");
    socket.write(`${UPLOAD}Content-Length: 10\r\n\r\nabc`, () => socket.resetAndDestroy());
    await once(socket, "close");
    // The next call is served after the other connection's end was seen.
    assert.equal((await call(gateway.port, "/")).status, 200);
    assert.equal(gateway.invocations.calls.length, 1);
  });

  it("does not abort a call because another client goes", async () => {
    const running = Promise.withResolvers<void>();
    const otherWent = Promise.withResolvers<void>();
    let calls = 0;
    await using gateway = await startGateway({
      run: async (_, { signal }) => {
        calls += 1;
        if (calls === 1) {
          running.resolve();
          await otherWent.promise;
        }
        assert.equal(signal.aborted, false);
        return returned("1");
      },
    });
    const first = call(gateway.port, "/");
    await running.promise;
    assert.equal((await call(gateway.port, "/")).status, 200);
    otherWent.resolve();
    assert.equal((await first).status, 200);
  });
});

describe("the gateway, under a slow client", () => {
  it("serves others while one sends nothing", async () => {
    await using gateway = await startGateway();
    const idle = Array.from({ length: 200 }, () => connect(gateway.port, "127.0.0.1"));
    await Promise.all(idle.map((socket) => once(socket, "connect")));
    for (const socket of idle)
      socket.on("error", () => undefined).write(`${UPLOAD}Content-Length: 10\r\n\r\n`);
    assert.equal((await call(gateway.port, "/")).status, 200);
    assert.equal(gateway.invocations.calls.length, 1);
    for (const socket of idle) socket.destroy();
  });

  it("reuses a connection for many calls", async () => {
    await using gateway = await startGateway({ run: () => returned("1") });
    const socket = connect(gateway.port, "127.0.0.1");
    let answers = 0;
    const enough = Promise.withResolvers<void>();
    socket.on("data", (data) => {
      answers += String(data).split("HTTP/1.1 200").length - 1;
      if (answers === 100) enough.resolve();
    });
    for (let i = 0; i < 100; i++)
      socket.write("POST /greet HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1");
    await enough.promise;
    assert.equal(socket.listenerCount("close") < 10, true);
    socket.destroy();
  });
});
