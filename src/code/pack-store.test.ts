import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { PackStore } from "./pack-store.ts";

describe("PackStore", () => {
  let dir = "";
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "packs-"));
  });
  afterEach(async () => {
    await rm(dir, { recursive: true, force: true });
  });

  it("gives what was kept, also to a successor", async () => {
    await new PackStore(dir).keep("a", Buffer.from("pack"));
    assert.equal(Buffer.from((await new PackStore(dir).find("a")) ?? []).toString(), "pack");
    assert.equal(await new PackStore(dir).find("b"), undefined);
  });

  it("remembers that there is nothing to make", async () => {
    await new PackStore(dir).keep("a", new Uint8Array());
    const store = new PackStore(dir);
    assert.equal(store.isEmpty("a"), false);
    assert.equal((await store.find("a"))?.length, 0);
    assert.equal(store.isEmpty("a"), true);
  });

  it("takes what a crash has cut short for not there", async () => {
    await new PackStore(dir).keep("a", Buffer.from("a pack of some length"));
    const [name = ""] = await readdir(dir);
    for (const length of [0, 5, 20]) {
      await truncate(join(dir, name), length);
      assert.equal(await new PackStore(dir).find("a"), undefined);
    }
  });

  it("makes its folder when there is something to keep", async () => {
    const store = new PackStore(join(dir, "later"));
    assert.equal(await store.find("a"), undefined);
    await store.keep("a", Buffer.from("pack"));
    assert.deepEqual(await readdir(dir), ["later"]);
  });
});
