import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, it, type TestContext } from "node:test";
import { silentLog } from "../core/log.ts";
import { discardRest } from "./discard-rest.ts";
import { statusOf } from "./gateway/gateway.fake.ts";
import { listen } from "./listener.ts";

const UPLOAD = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n";

/** Refuses every request as soon as its head is there. */
function startRefusing() {
  return listen({
    host: "127.0.0.1",
    port: 0,
    setting: "--gateway or LAMBDAD_GATEWAY",
    log: silentLog,
    requestMsMax: 60_000,
    drainMs: 100,
    handler: (request, response) => {
      discardRest(request);
      response.writeHead(413, { "content-length": 3 });
      response.end("big");
    },
  });
}

/** A client that goes on sending, whatever the server does. */
async function stubbornClient(port: number, context: TestContext) {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  context.after(() => socket.destroy());
  const client = { socket, received: "", error: undefined as Error | undefined };
  socket.setEncoding("latin1");
  socket.on("error", (error) => (client.error = error));
  socket.on("data", (text) => (client.received += String(text)));
  await once(socket, "connect");
  return client;
}

/** Resolves with what went wrong. */
function written(socket: Socket, bytes: Uint8Array): Promise<Error | undefined> {
  return new Promise((resolve) => socket.write(bytes, (error) => resolve(error ?? undefined)));
}

/** Also after an error, which `once` would throw. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

describe("discardRest", () => {
  it("gives the client its answer before it cuts off an upload that nobody reads", async (context) => {
    await using listener = await startRefusing();
    const client = await stubbornClient(listener.address.port, context);
    const { socket } = client;
    const gone = closed(socket);
    socket.write(`${UPLOAD}\r\n`);
    const piece = Buffer.alloc(65_536);
    const sending = setInterval(() => socket.write(piece), 5);
    await gone;
    clearInterval(sending);
    assert.equal(statusOf(client.received), 413);
  });

  it("reads on where the answer is the connection's last, so that its end is no reset", async (context) => {
    await using listener = await startRefusing();
    const client = await stubbornClient(listener.address.port, context);
    const { socket } = client;
    const ended = once(socket, "end");
    socket.write(`${UPLOAD}Connection: close\r\n\r\n`);
    await ended;
    assert.equal(statusOf(client.received), 413);
    // A closed socket takes the first of them and answers with a reset, which the others meet.
    for (let piece = 0; piece < 5; piece += 1) {
      assert.equal(await written(socket, Buffer.alloc(1_024)), undefined);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(client.error, undefined);
  });

  it("closes the connection behind its last answer once all of the upload has come", async (context) => {
    await using listener = await startRefusing();
    const client = await stubbornClient(listener.address.port, context);
    const { socket } = client;
    const ended = once(socket, "end");
    socket.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n");
    await ended;
    const gone = closed(socket);
    socket.end(Buffer.alloc(100_000));
    await gone;
    assert.deepEqual([statusOf(client.received), client.error], [413, undefined]);
  });
});
