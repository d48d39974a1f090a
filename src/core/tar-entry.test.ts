import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { TAR_END, tarEntry } from "./tar-entry.ts";

it("tarEntry makes entries that tar unpacks, whatever their length", () => {
  const dir = mkdtempSync(join(tmpdir(), "tar-"));
  const texts = { empty: "", "a/short": "ü\n", block: "x".repeat(512), more: "y".repeat(513) };
  const entries = Object.entries(texts).map(([path, text]) => tarEntry(path, text));
  writeFileSync(join(dir, "x.tar"), Buffer.concat([...entries, TAR_END]));
  execFileSync("tar", ["-C", dir, "-xf", join(dir, "x.tar")]);
  for (const [path, text] of Object.entries(texts)) assert.equal(readFileSync(join(dir, path), "utf8"), text);
  rmSync(dir, { recursive: true });
});
