import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, it } from "node:test";
import { readNames } from "./image-extensions.ts";

describe("readNames", () => {
  const dir = mkdtempSync(join(tmpdir(), "ext-"));
  mkdirSync(join(dir, "extensions/folder"), { recursive: true });
  for (const [path, size, mode] of [
    ["two", 70_000, 0o755],
    ["one", 512, 0o755],
    ["notes.txt", 3, 0o644],
    ["folder/inner", 1, 0o755],
  ] as const) {
    writeFileSync(join(dir, "extensions", path), "x".repeat(size));
    chmodSync(join(dir, "extensions", path), mode);
  }
  const tar = execFileSync("tar", ["-C", dir, "-cf", "-", "extensions"], { maxBuffer: 1024 * 1024 });
  rmSync(dir, { recursive: true });

  for (const size of [1, 100, 512, 1_000, tar.length]) {
    it(`finds the programs in pieces of ${size} bytes`, async () => {
      const pieces = Array.from({ length: Math.ceil(tar.length / size) }, (_, index) =>
        tar.subarray(index * size, (index + 1) * size),
      );
      assert.deepEqual(await readNames(Readable.from(pieces)), ["one", "two"]);
    });
  }

  it("takes what is no tar for nothing", async () => {
    assert.deepEqual(await readNames(Readable.from([Buffer.from("no tar".repeat(200))])), []);
    assert.deepEqual(await readNames(Readable.from([])), []);
  });
});
