import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { PlainConnection } from "./plain-connection.ts";
import { SharedReading } from "./shared-reading.ts";

/** Both ends of a connection, one of them served. */
async function openPair() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted: Promise<Socket[]> = once(server, "connection");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [first] = await accepted;
  assert.ok(first);
  const reading = new SharedReading(first);
  const { socket } = reading;
  new PlainConnection({
    reading,
    handler: (_, response) => response.writeHead(200, ["content-length", "2"]).end("ok"),
    handOver: () => assert.fail("all that comes is plain"),
  });
  return {
    client,
    socket,
    async [Symbol.asyncDispose]() {
      client.destroy();
      socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

describe("a connection whose time is over", () => {
  it("is served what had come before the loop could look", async () => {
    await using pair = await openPair();
    const answered = once(pair.client, "data");
    // The kernel has it at once; a loop that stood still comes to its timers before it reads.
    setTimeout(() => {
      pair.client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      pair.socket.emit("timeout");
    });
    const [answer] = await Promise.race([answered, once(pair.client, "close")]);
    assert.match(String(answer), /^HTTP\/1.1 200 /);
  });

  it("is ended where nothing has come", async () => {
    await using pair = await openPair();
    pair.socket.emit("timeout");
    await once(pair.client.resume(), "close");
  });
});
