import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { SharedReading } from "./shared-reading.ts";

/** A server's end of a connection, read into shared memory, and its client. */
async function openReading() {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [first] = await accepted;
  const reading = new SharedReading(first);
  return {
    server,
    client,
    reading,
    async [Symbol.asyncDispose]() {
      client.destroy();
      reading.socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Resolves with so many bytes that its receiver is given. */
function received(reading: SharedReading, length: number): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    reading.receiver = (bytes, count) => {
      text += bytes.toString("latin1", 0, count);
      if (text.length >= length) resolve(text);
    };
  });
}

describe("SharedReading", () => {
  it("gives what comes to its receiver", async () => {
    await using pair = await openReading();
    const all = received(pair.reading, 6);
    pair.client.write("abc");
    pair.client.write("def");
    assert.equal(await all, "abcdef");
  });

  it("keeps two connections apart that are read by turns", async () => {
    await using one = await openReading();
    await using other = await openReading();
    const ofOne = received(one.reading, 20_000);
    const ofOther = received(other.reading, 20_000);
    for (let i = 0; i < 10_000; i += 1) {
      one.client.write("1");
      one.client.write("1");
      other.client.write("22");
    }
    assert.match(await ofOne, /^1{20000}$/);
    assert.match(await ofOther, /^2{20000}$/);
  });

  it("is an ordinary socket without a receiver, whose bytes stay what they are", async () => {
    await using pair = await openReading();
    const { socket } = pair.reading;
    const sent = Buffer.alloc(1024 * 1024, "0123456789");
    pair.client.end(sent);
    const pieces: Buffer[] = [];
    for await (const piece of socket) pieces.push(piece);
    assert.ok(Buffer.concat(pieces).equals(sent));
  });

  it("reads no more than an ordinary socket while nobody takes it", async () => {
    await using pair = await openReading();
    const { socket } = pair.reading;
    const sent = Buffer.alloc(32 * 1024 * 1024, "0123456789");
    pair.client.end(sent);
    // It has stopped to read once two looks at it find the same.
    let before = -1;
    while (socket.bytesRead !== before || before === 0) {
      before = socket.bytesRead;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.ok(before <= 256 * 1024, `${before} bytes were read`);
    let bytes = 0;
    for await (const piece of socket) bytes += piece.length;
    assert.equal(bytes, sent.length);
  });

  it("tells that the other side has ended", async () => {
    await using pair = await openReading();
    pair.reading.receiver = () => assert.fail("nothing was sent");
    pair.client.end();
    await once(pair.reading.socket, "end");
    pair.reading.socket.end("bye");
    const [answer] = await once(pair.client, "data");
    assert.equal(String(answer), "bye");
  });

  it("counts as the connection of its server until it is closed", async () => {
    await using pair = await openReading();
    const { server, reading } = pair;
    const count = () =>
      new Promise<number>((resolve, reject) =>
        server.getConnections((error, connections) => (error ? reject(error) : resolve(connections))),
      );
    assert.equal(await count(), 1);
    reading.socket.destroy();
    await once(reading.socket, "close");
    assert.equal(await count(), 0);
  });

  it("says who is at both ends", async () => {
    await using pair = await openReading();
    const { socket } = pair.reading;
    const { port } = pair.server.address() as AddressInfo;
    assert.deepEqual([socket.localAddress, socket.localPort], ["127.0.0.1", port]);
    assert.equal(socket.remoteAddress, "127.0.0.1");
  });
});
