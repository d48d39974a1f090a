import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { DialledIn } from "./dialled-in.ts";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "ld-dial-"));
});
after(() => rm(folder, { recursive: true, force: true }));

async function dial(path: string): Promise<Socket> {
  const socket = connect({ path });
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

describe("DialledIn", () => {
  it("gives each connection of the program once, to whoever asked first", async () => {
    const path = join(folder, "a");
    await using dialled = new DialledIn(path, 4);
    const first = dialled.connect();
    const second = dialled.connect();
    const [one, two] = [await dial(path), await dial(path)];
    one.write("1");
    two.write("2");
    assert.equal(String((await once(await first, "data"))[0]), "1");
    assert.equal(String((await once(await second, "data"))[0]), "2");
  });

  it("forgets a connection that the program closed before it was needed", async () => {
    const path = join(folder, "b");
    await using dialled = new DialledIn(path, 4);
    const closed = await dial(path);
    closed.destroy();
    const open = await dial(path);
    open.write("open");
    // The first is given only if its end has not arrived yet, and is then seen to be closed.
    for (;;) {
      const given = await dialled.connect();
      const [chunk] = await Promise.race([once(given, "data"), once(given.resume(), "close").then(() => [])]);
      if (chunk === undefined) continue;
      assert.equal(String(chunk), "open");
      break;
    }
  });

  it("drops connections beyond its limit, and takes others when those have gone", async () => {
    const path = join(folder, "c");
    await using dialled = new DialledIn(path, 2);
    const kept = [await dial(path), await dial(path)];
    await once((await dial(path)).resume(), "close");
    for (const _ of kept) {
      const given = await dialled.connect();
      given.destroy();
      await once(given, "close");
    }
    const next = dialled.connect();
    await dial(path);
    (await next).destroy();
  });

  it("turns away who waits when it is closed, and who comes after", async () => {
    const path = join(folder, "d");
    const dialled = new DialledIn(path, 2);
    const waiting = dialled.connect();
    await dialled[Symbol.asyncDispose]();
    await dialled[Symbol.asyncDispose]();
    await assert.rejects(waiting, /the channel is closed/);
    await assert.rejects(dialled.connect(), /the channel is closed/);
  });
});
