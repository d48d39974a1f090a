import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { describe, it } from "node:test";
import { findClient, holdsSocket, parseClient, parseListeners } from "./socket-owner.ts";

const HEADER =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const ROW =
  "   3: 0100007F:A2C4 0100007F:1F91 01 00000000:00000000 00:00000000 00000000 123456        0 98765 1 0 20 4 30 10 -1\n";
const SERVER_ROW =
  "   4: 0100007F:1F91 0100007F:A2C4 01 00000000:00000000 00:00000000 00000000     0        0 11111 1 0 20 4 30 10 -1\n";
const MAPPED_ROW =
  "   0: 0000000000000000FFFF00000100007F:A2C4 0000000000000000FFFF00000100007F:1F91 01 00000000:00000000 00:00000000 00000000 77 0 555 1 0 20 4 30 10 -1\n";

describe("parseClient", () => {
  const client = 0xa2c4;
  const server = 0x1f91;

  it("finds the client's side of a connection, not the server's", () => {
    assert.deepEqual(parseClient(HEADER + SERVER_ROW + ROW, client, server), {
      uid: 123_456,
      inode: "98765",
    });
  });

  it("finds IPv4 spoken through an IPv6 socket", () => {
    assert.deepEqual(parseClient(HEADER + MAPPED_ROW, client, server), { uid: 77, inode: "555" });
  });

  for (const [what, table, from, to] of [
    ["an empty table", "", client, server],
    ["the header alone", HEADER, client, server],
    ["another client port", HEADER + ROW, client + 1, server],
    ["another server port", HEADER + ROW, client, server + 1],
    ["a row cut short", HEADER + ROW.slice(0, 40), client, server],
    ["noise", "0100007F:1F91 0100007F:1F91", client, server],
  ] as const) {
    it(`finds nobody in ${what}`, () => assert.equal(parseClient(table, from, to), undefined));
  }
});

describe("the owner of a real socket", { skip: process.platform === "linux" ? false : "needs /proc" }, () => {
  it("is this process, and no other", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    assert.ok(address !== null && typeof address !== "string");
    const { port } = address;
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    const owner = await findClient(socket.localPort ?? 0, port);
    assert.equal(owner?.uid, process.getuid?.());
    assert.equal(await holdsSocket([process.pid], owner?.inode ?? ""), true);
    assert.equal(await holdsSocket([process.ppid, 999_999_999], owner?.inode ?? ""), false);
    socket.destroy();
    server.close();
    assert.equal(await findClient(1, port), undefined);
  });
});

it("finds who listens on a port, on any address", () => {
  const table = [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 111 1",
    "   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1002        0 222 1",
    "   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1003        0 333 1",
    "   3: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1004        0 444 1",
  ].join("\n");
  assert.deepEqual(parseListeners(table, 8080), [
    { uid: 1001, inode: "111" },
    { uid: 1002, inode: "222" },
  ]);
  assert.deepEqual(parseListeners("", 8080), []);
});
