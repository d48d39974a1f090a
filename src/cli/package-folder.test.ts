import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, describe, it } from "node:test";
import { packageFolder } from "./package-folder.ts";

describe("packageFolder", () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "package-folder-"));
  });
  afterEach(async () => {
    await rm(dir, { recursive: true, force: true });
  });
  const put = async (path: string, text = path) => {
    await mkdir(join(dir, path, ".."), { recursive: true });
    await writeFile(join(dir, path), text);
  };
  const paths = async () => (await packageFolder(dir)).files.map((file) => file.path);
  const zip = async () => buffer(await (await packageFolder(dir)).openZip());

  it("lists files by name, without what nobody wants deployed", async () => {
    for (const path of [
      "z.mjs",
      "a/b.mjs",
      "a.mjs",
      ".git/HEAD",
      "node_modules/x/i.js",
      "node_modules/.cache/y",
    ]) {
      await put(path);
    }
    await put(".lambdaignore", "z.*\n");
    assert.deepEqual(await paths(), ["a/b.mjs", "a.mjs", "node_modules/x/i.js"]);
  });

  it("makes the same zip of the same files, whatever their times", async () => {
    await put("index.mjs");
    await put("b/c.txt", "x".repeat(10_000));
    const first = await zip();
    await utimes(join(dir, "index.mjs"), 1, 1);
    assert.deepEqual(await zip(), first);
    await chmod(join(dir, "index.mjs"), 0o755);
    assert.notDeepEqual(await zip(), first);
  });

  it("copies what links inside the folder point at", async () => {
    await put("real/a.txt");
    await symlink("real", join(dir, "linked"));
    await symlink("../real/a.txt", join(dir, "real", "b.txt"));
    assert.deepEqual(await paths(), ["linked/a.txt", "linked/b.txt", "real/a.txt", "real/b.txt"]);
  });

  it("leaves a link alone that is left out", async () => {
    await put("a.txt");
    await put(".lambdaignore", "out\n");
    await symlink("/etc/passwd", join(dir, "out"));
    assert.deepEqual(await paths(), ["a.txt"]);
  });

  for (const [why, make, message] of [
    ["an empty folder", async () => undefined, /has nothing to deploy/],
    [
      "a link that leads outside",
      (at: string) => symlink("/etc/passwd", join(at, "out")),
      /out is a link that leads outside of the folder, to \/etc\/passwd/,
    ],
    [
      "a link that leads outside by a folder",
      (at: string) => symlink("..", join(at, "up")),
      /up is a link that leads outside/,
    ],
    ["a link to nothing", (at: string) => symlink("nowhere", join(at, "dead")), /dead is a link to nothing/],
    [
      "a link to the folder itself",
      (at: string) => symlink(".", join(at, "loop")),
      /loop is a link to a folder that it is in/,
    ],
  ] as const) {
    it(`refuses ${why}, by name`, async () => {
      await make(dir);
      await assert.rejects(packageFolder(dir), message);
    });
  }

  it("refuses a socket", async () => {
    const server = createServer().listen(join(dir, "s"));
    await once(server, "listening");
    await assert.rejects(packageFolder(dir), /s is neither file nor folder/);
    server.close();
  });

  it("fails when a file shrinks while it is packed", async () => {
    await put("a.txt", "long enough");
    const folder = await packageFolder(dir);
    await put("a.txt", "short");
    await assert.rejects(async () => buffer(await folder.openZip()), /packaging failed/);
  });
});
