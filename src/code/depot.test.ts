import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import {
  appendFile,
  chmod,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import { makeZip } from "./archive-maker.fake.ts";
import { type DepotPlace, makeDepotPlace, never, snapshot } from "./depot-place.fake.ts";

const ZIP = makeZip([
  { name: "index.mjs", data: "export const handler = async () => 1;" },
  { name: "lib/tool", data: "#!/bin/sh\n", mode: 0o100755 },
  { name: "empty/", mode: 0o040755 },
]);
const HOUR_MS = 60 * 60 * 1_000;
const NOTHING = { treeIds: new Set<string>(), archives: new Set<string>() };

describe("openDepot", () => {
  it("keeps the archive as it was uploaded, and says its size and hash", async () => {
    await using place = await makeDepotPlace();
    const ref = await place.upload(ZIP);
    const archiveSha256 = createHash("sha256").update(ZIP).digest("base64");
    assert.deepEqual(ref, { ...ref, archiveSha256, archiveBytes: ZIP.length, treeBytes: 47 });
    const archive = await place.depot.findArchive(archiveSha256);
    assert.deepEqual(await readFile(archive ?? ""), ZIP);
    assert.equal(await place.depot.findArchive(createHash("sha256").digest("base64")), undefined);
    assert.equal(await place.depot.findArchive("../../../../etc/passwd"), undefined);
  });

  it("names a tree by its content, whatever packed it and in what order", async () => {
    await using place = await makeDepotPlace();
    const one = await place.upload(makeZip([{ name: "a", data: "1" }, { name: "b" }]));
    const other = await place.upload(makeZip([{ name: "b" }, { name: "a", data: "1", method: 0 }]));
    const executable = await place.upload(makeZip([{ name: "a", data: "1", mode: 0o100755 }, { name: "b" }]));
    assert.equal(one.treeId, other.treeId);
    assert.notEqual(one.treeId, executable.treeId);
  });

  it("takes in the same code many times at once", async () => {
    await using place = await makeDepotPlace();
    const refs = await Promise.all(Array.from({ length: 10 }, () => place.upload(ZIP)));
    assert.equal(new Set(refs.map((ref) => JSON.stringify(ref))).size, 1);
    assert.deepEqual(await readdir(join(place.depotDir, "staging")), []);
    assert.equal((await readdir(join(place.depotDir, "trees"))).length, 2);
  });

  it("opens a tree after a restart, once it has read it again", async () => {
    await using place = await makeDepotPlace();
    const { treeId } = await place.upload(ZIP);
    await place.reopen();
    const tree = await place.depot.openTree(treeId);
    assert.deepEqual(
      (await snapshot(tree)).map((line) => line.split(" ").slice(0, 2).join(" ")),
      ["empty/ 755", "index.mjs 644", "lib/ 755", "lib/tool 755"],
    );
  });

  const changes: readonly (readonly [string, (tree: string) => Promise<void>, RegExp])[] = [
    [
      "a byte",
      (tree) => writeFile(join(tree, "index.mjs"), "export const handler = async () => 2;"),
      /"index.mjs"/,
    ],
    ["a size", (tree) => appendFile(join(tree, "index.mjs"), " "), /"index.mjs"/],
    ["a mode", (tree) => chmod(join(tree, "lib/tool"), 0o644), /"lib\/tool"/],
    ["a file that is gone", (tree) => rm(join(tree, "lib/tool")), /"lib\/tool" is missing/],
    [
      "a file that was added",
      (tree) => writeFile(join(tree, "lib/new.js"), ""),
      /"lib\/new.js" does not belong/,
    ],
    ["a folder that was added", (tree) => mkdir(join(tree, "new")), /"new" does not belong/],
    ["a link in place of a file", (tree) => relink(tree, "index.mjs"), /"index.mjs"/],
    ["its list of files", (tree) => appendFile(`${tree}.json`, " "), /list of files was changed/],
    ["a list of files that is gone", (tree) => rm(`${tree}.json`), /list of files cannot be read/],
    ["the whole folder", (tree) => rm(tree, { recursive: true }), /missing/],
  ];
  for (const [what, change, message] of changes) {
    it(`refuses a tree in which ${what} changed, until it is uploaded again`, async () => {
      await using place = await makeDepotPlace();
      const { treeId } = await place.upload(ZIP);
      await change(join(place.depotDir, "trees", treeId));
      await place.reopen();
      await assert.rejects(place.depot.openTree(treeId), (error) => {
        assert.ok(isPlatformError(error, "StoreUnavailable"), String(error));
        assert.match(error.message, message);
        return true;
      });
      assert.equal((await place.upload(ZIP)).treeId, treeId);
      await place.reopen();
      await place.depot.openTree(treeId);
    });
  }

  it("refuses what is not the id of a tree", async () => {
    await using place = await makeDepotPlace();
    for (const id of [
      "",
      "..",
      "../archives",
      "a".repeat(63),
      `${"a".repeat(64)}/..`,
      "A".repeat(64),
      "a".repeat(64),
    ])
      await assert.rejects(place.depot.openTree(id), (error) => isPlatformError(error, "StoreUnavailable"));
  });

  it("removes at start what a crash left behind, and serves meanwhile", async () => {
    await using place = await makeDepotPlace();
    const staging = join(place.depotDir, "staging");
    await mkdir(join(staging, "left", "tree"), { recursive: true });
    await writeFile(join(staging, "left", "tree", "file"), "x");
    await place.reopen();
    await place.upload(ZIP);
    await until(async () => (await readdir(staging)).length === 0);
  });

  it("leaves nothing when the upload is aborted", async () => {
    await using place = await makeDepotPlace();
    const before = await snapshot(place.depotDir);
    const file = join(place.dir, "upload");
    await writeFile(
      file,
      makeZip(Array.from({ length: 2_000 }, (_, index) => ({ name: `f${index}`, data: "x" }))),
    );
    for (const stage of [0, 5, 40]) {
      const controller = new AbortController();
      const taking = place.depot.takeIn({ file, name: undefined }, { signal: controller.signal });
      setTimeout(() => controller.abort(new Error("enough")), stage);
      await assert.rejects(taking, /enough/);
      assert.deepEqual(await snapshot(place.depotDir), before);
    }
  });

  const cannotMount =
    process.getuid?.() === 0 || process.env.REQUIRE_ALL === "1" ? false : "mounting needs root";
  it("says that the disk is full, and keeps what was there", { skip: cannotMount }, async () => {
    await using place = await makeDepotPlace();
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "none", place.depotDir]);
    try {
      await place.reopen();
      const kept = await place.upload(ZIP);
      const before = await snapshot(place.depotDir);
      const large = makeZip([{ name: "large", data: Buffer.alloc(512 * 1024) }]);
      await assert.rejects(place.upload(large), (error) => isPlatformError(error, "StorageFull"));
      const noise = makeZip([{ name: "noise", data: randomBytes(512 * 1024) }]);
      await assert.rejects(place.upload(noise), (error) => isPlatformError(error, "StorageFull"));
      assert.deepEqual(await snapshot(place.depotDir), before);
      await place.reopen();
      await place.depot.openTree(kept.treeId);
    } finally {
      execFileSync("umount", [place.depotDir]);
    }
  });

  it("refuses an upload that is a link", async () => {
    await using place = await makeDepotPlace();
    await symlink("neighbour/secret.txt", join(place.dir, "link"));
    const taking = place.depot.takeIn({ file: join(place.dir, "link"), name: "a.txt" }, { signal: never });
    await assert.rejects(taking, { code: "ELOOP" });
  });
});

describe("takeInFolder", () => {
  it("takes in what a build made, with ordinary modes, and only reads the folder", async () => {
    await using place = await makeDepotPlace();
    const ref = await place.upload(ZIP);
    const built = await makeFolder(place, { "index.mjs": "built", "a/README": "1", "a/readme": "2" });
    await chmod(join(built, "index.mjs"), 0o4711);
    const before = await snapshot(built);
    const taken = await place.depot.takeInFolder(built, ref, { signal: never });
    assert.equal(taken.archiveSha256, ref.archiveSha256);
    assert.deepEqual(
      (await snapshot(await place.depot.openTree(taken.treeId))).map((line) =>
        line.split(" ").slice(0, 2).join(" "),
      ),
      ["a/ 755", "a/README 644", "a/readme 644", "index.mjs 755"],
    );
    assert.deepEqual(await snapshot(built), before);
  });

  it("refuses links and an empty folder", async () => {
    await using place = await makeDepotPlace();
    const ref = await place.upload(ZIP);
    const linked = await makeFolder(place, { a: "1" });
    await symlink("a", join(linked, "b"));
    await assert.rejects(place.depot.takeInFolder(linked, ref, { signal: never }), /"b" is a symbolic link/);
    const empty = await makeFolder(place, {});
    await assert.rejects(place.depot.takeInFolder(empty, ref, { signal: never }), /no files/);
  });
});

describe("collect", () => {
  it("removes what nobody needs and nobody used in the last hour", async () => {
    await using place = await makeDepotPlace();
    const kept = await place.upload(ZIP);
    const dropped = await place.upload("exports.handler = 1", "index.js");
    const inUse = { treeIds: new Set([kept.treeId]), archives: new Set([kept.archiveSha256]) };

    await place.depot.collect(inUse);
    await place.depot.openTree(dropped.treeId);

    place.clock.ahead = HOUR_MS + 1_000;
    const recent = await place.upload("exports.handler = 2", "index.js");
    await place.depot.collect(inUse);
    await assert.rejects(place.depot.openTree(dropped.treeId), /cannot be read/);
    assert.equal(await place.depot.findArchive(dropped.archiveSha256), undefined);
    for (const ref of [kept, recent]) {
      await place.depot.openTree(ref.treeId);
      assert.ok(await place.depot.findArchive(ref.archiveSha256));
    }
    assert.deepEqual(await readdir(join(place.depotDir, "staging")), []);
  });

  it("never takes away what is being taken in", async () => {
    await using place = await makeDepotPlace();
    for (let round = 0; round < 10; round += 1) {
      place.clock.ahead += 2 * HOUR_MS;
      const [ref] = await Promise.all([
        place.upload(ZIP),
        place.depot.collect(NOTHING),
        place.depot.collect(NOTHING),
      ]);
      await place.depot.openTree(ref.treeId);
      assert.ok((await snapshot(join(place.depotDir, "trees", ref.treeId))).length > 0);
    }
  });
});

async function makeFolder(place: DepotPlace, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = join(place.dir, `built-${Object.keys(files).length}`);
  await mkdir(folder);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(folder, path, ".."), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

async function relink(tree: string, name: string): Promise<void> {
  await rename(join(tree, name), join(tree, "..", "..", "moved"));
  await symlink("../../moved", join(tree, name));
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await isTrue()); tries += 1) {
    assert.ok(tries < 500, "did not happen within five seconds");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
