import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { systemClock } from "../core/clock.ts";
import { isPlatformError } from "../core/errors.ts";
import { silentLog } from "../core/log.ts";
import { makeZip } from "./archive-maker.fake.ts";
import { type CodeDepot, openDepot } from "./depot.ts";
import { mergeManifests } from "./merge.ts";
import type { TreeFile } from "./tree.ts";

const NEVER = new AbortController().signal;

function tree(dir: string, paths: readonly string[], folders: readonly string[] = []) {
  const files = paths.map((path): TreeFile => [path, "-", 1, `${dir}:${path}`]);
  return { dir, manifest: { files, folders } };
}

function shown(...trees: ReturnType<typeof tree>[]) {
  const { manifest } = mergeManifests(trees);
  return { files: manifest.files.map(([, , , sha]) => sha), folders: manifest.folders };
}

describe("mergeManifests", () => {
  it("lets the later file be there", () => {
    assert.deepEqual(shown(tree("a", ["x", "y"]), tree("b", ["y", "z"])), {
      files: ["a:x", "b:y", "b:z"],
      folders: [],
    });
  });

  it("puts a file in place of a folder, with all that was in it", () => {
    assert.deepEqual(shown(tree("a", ["x/1", "x/2/3"], ["x/e"]), tree("b", ["x"])), {
      files: ["b:x"],
      folders: [],
    });
  });

  it("puts a folder in place of a file", () => {
    assert.deepEqual(shown(tree("a", ["x"]), tree("b", ["x/1/2"])), { files: ["b:x/1/2"], folders: [] });
    assert.deepEqual(shown(tree("a", ["x"]), tree("b", ["y"], ["x"])), { files: ["b:y"], folders: ["x"] });
  });

  it("names folders only while they are empty", () => {
    assert.deepEqual(shown(tree("a", ["y"], ["x"]), tree("b", ["x/1"])), {
      files: ["b:x/1", "a:y"],
      folders: [],
    });
  });
});

describe("CodeDepot.merge", () => {
  let dir: string;
  let depot: CodeDepot;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "merge-"));
    depot = await openDepot({ dir: join(dir, "depot"), log: silentLog, clock: systemClock });
  });
  after(() => rm(dir, { recursive: true, force: true }));

  async function takeIn(files: Readonly<Record<string, string>>): Promise<string> {
    const file = join(dir, "upload.zip");
    const entries = Object.entries(files).map(([name, data]) => ({
      name,
      data,
      mode: name.startsWith("bin/") ? 0o755 : 0o644,
    }));
    await writeFile(file, makeZip(entries));
    return (await depot.takeIn({ file, name: undefined }, { signal: NEVER })).treeId;
  }

  it("makes a tree like any other, the same for the same content, and in order", async () => {
    const one = await takeIn({ "bin/tool": "#!/bin/sh\n", "nodejs/a.js": "1" });
    const two = await takeIn({ "nodejs/a.js": "2", "nodejs/b.js": "3" });
    const merged = await depot.merge([one, two], { signal: NEVER });
    const again = await depot.merge([one, two], { signal: NEVER });
    const reversed = await depot.merge([two, one], { signal: NEVER });
    assert.deepEqual(again, merged);
    assert.notEqual(reversed.treeId, merged.treeId);
    const place = await depot.openTree(merged.treeId);
    assert.equal(await readFile(join(place, "nodejs/a.js"), "utf8"), "2");
    assert.deepEqual(await readdir(join(place, "nodejs")), ["a.js", "b.js"]);
    assert.equal((await stat(join(place, "bin/tool"))).mode & 0o777, 0o755);
    assert.equal((await stat(join(place, "bin"))).mode & 0o777, 0o755);
    assert.equal(await readFile(join(await depot.openTree(reversed.treeId), "nodejs/a.js"), "utf8"), "1");
    assert.equal(merged.treeBytes, 12);
  });

  it("is found whole by a depot that looks at it anew", async () => {
    const one = await takeIn({ "deep/er/x": "1", y: "2" });
    const two = await takeIn({ "deep/z": "3" });
    const { treeId } = await depot.merge([one, two], { signal: NEVER });
    const later = await openDepot({ dir: join(dir, "depot"), log: silentLog, clock: systemClock });
    assert.match(await later.openTree(treeId), new RegExp(treeId));
  });

  it("gives a single tree as it is", async () => {
    const only = await takeIn({ only: "this" });
    assert.deepEqual(await depot.merge([only], { signal: NEVER }), { treeId: only, treeBytes: 4 });
  });

  it("refuses a tree that is not there", async () => {
    await assert.rejects(depot.merge(["0".repeat(64)], { signal: NEVER }), (error) =>
      isPlatformError(error, "StoreUnavailable"),
    );
  });
});
