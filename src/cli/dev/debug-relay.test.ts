import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import { it } from "node:test";
import { openDebugRelay } from "./debug-relay.ts";

async function saying(text: string): Promise<Server> {
  const server = createServer((socket) => socket.end(text)).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address ? address.port : 0;
}

/** What is heard there until it closes. */
async function heardAt(port: number): Promise<string> {
  const socket = connect(port, "127.0.0.1").setEncoding("utf8");
  let text = "";
  socket.on("data", (chunk: string) => (text += chunk));
  return await new Promise((resolve) => {
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(text));
  });
}

it("leads to the latest instance, and to the one before if that one does not stay", async () => {
  const [first, second] = [await saying("first"), await saying("second")];
  using relay = await openDebugRelay(20_000 + (process.pid % 20_000));
  try {
    assert.equal(await heardAt(relay.port), "", "nothing has said where it listens");
    relay.aim(portOf(first));
    assert.equal(await heardAt(relay.port), "first");
    relay.aim(portOf(second));
    assert.equal(await heardAt(relay.port), "second");
    second.close();
    await once(second, "close");
    assert.equal(await heardAt(relay.port), "first");
    first.close();
    await once(first, "close");
    assert.equal(await heardAt(relay.port), "");
  } finally {
    first.close();
    second.close();
  }
});

it("steps over ports that are taken", async () => {
  const taken = await saying("other");
  try {
    using relay = await openDebugRelay(portOf(taken));
    assert.ok(relay.port > portOf(taken));
  } finally {
    taken.close();
  }
});
