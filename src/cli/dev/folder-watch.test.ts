import assert from "node:assert/strict";
import { appendFile, mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { openFolderWatch } from "./folder-watch.ts";

interface Place extends AsyncDisposable {
  readonly dir: string;
  /** Looks at what folders there are now. */
  refresh(): Promise<void>;
  /** Resolves with the next change, relative to `dir`. */
  next(): Promise<string>;
  /** Forgets what was seen. */
  clear(): void;
  readonly seen: string[];
}

const WAIT_MS_MAX = 30_000;

async function openPlace(): Promise<Place> {
  const above = await mkdtemp(join(tmpdir(), "lambda-watch-"));
  const dir = join(above, "function");
  await mkdir(join(dir, "lib"), { recursive: true });
  await mkdir(join(dir, "node_modules", "x"), { recursive: true });
  await writeFile(join(dir, "index.mjs"), "1");
  await writeFile(join(dir, "lib", "a.mjs"), "1");
  const seen: string[] = [];
  let wake: (() => void) | undefined;
  const watch = openFolderWatch(
    (path) => {
      seen.push(path.slice(dir.length + 1));
      wake?.();
    },
    () => assert.fail("there are watches enough"),
  );
  const isIgnored = (path: string) => path.split("/").includes("node_modules") || path.endsWith(".log");
  const refresh = () => watch.watch([{ dir, isIgnored }]);
  await refresh();
  return {
    dir,
    seen,
    refresh,
    clear: () => void seen.splice(0),
    async next() {
      const deadline = AbortSignal.timeout(WAIT_MS_MAX);
      while (seen.length === 0) {
        deadline.throwIfAborted();
        await new Promise<void>((resolve) => {
          wake = resolve;
          deadline.addEventListener("abort", () => resolve());
        });
      }
      return seen.at(-1) ?? "";
    },
    async [Symbol.asyncDispose]() {
      watch[Symbol.dispose]();
      await rm(above, { recursive: true, force: true });
    },
  };
}

/** What else has been seen once a file that is written now has: changes are told in their order. */
async function fence(place: Place): Promise<readonly string[]> {
  await writeFile(join(place.dir, "fence"), String(Math.random()));
  while (!place.seen.includes("fence")) {
    await place.next();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return place.seen.filter((path) => path !== "fence");
}

describe("openFolderWatch sees", () => {
  for (const [what, change] of [
    ["a file that is written in place", (dir: string) => writeFile(join(dir, "index.mjs"), "2")],
    ["a file that grows", (dir: string) => appendFile(join(dir, "lib", "a.mjs"), "2")],
    [
      "a file that another is renamed over, time and again",
      async (dir: string) => {
        for (const text of ["2", "3", "4"]) {
          await writeFile(join(dir, "lib", ".a.tmp"), text);
          await rename(join(dir, "lib", ".a.tmp"), join(dir, "lib", "a.mjs"));
        }
      },
    ],
    [
      "a file that is moved away and written anew, as vim does",
      async (dir: string) => {
        await rename(join(dir, "index.mjs"), join(dir, "index.mjs~"));
        await writeFile(join(dir, "index.mjs"), "2");
        await unlink(join(dir, "index.mjs~"));
      },
    ],
    ["a new file", (dir: string) => writeFile(join(dir, "new.mjs"), "")],
    ["a file that is removed", (dir: string) => unlink(join(dir, "lib", "a.mjs"))],
    ["a link that leads elsewhere from now on", (dir: string) => symlink("lib/a.mjs", join(dir, "link.mjs"))],
    ["a new folder", (dir: string) => mkdir(join(dir, "new"))],
  ] as const) {
    it(what, async () => {
      await using place = await openPlace();
      await change(place.dir);
      await place.next();
    });
  }

  it("what happens in a folder that is new, and in one that took another's place", async () => {
    await using place = await openPlace();
    await mkdir(join(place.dir, "new", "inner"), { recursive: true });
    await rm(join(place.dir, "lib"), { recursive: true });
    await mkdir(join(place.dir, "lib"));
    await place.next();
    await place.refresh();
    for (const file of ["new/inner/b.mjs", "lib/a.mjs"]) {
      await fence(place);
      place.clear();
      await writeFile(join(place.dir, file), "2");
      assert.deepEqual((await fence(place)).slice(0, 1), [file]);
    }
  });

  it("that the whole folder is replaced, and what happens in it afterwards", async () => {
    await using place = await openPlace();
    const other = `${place.dir}.new`;
    await mkdir(other);
    await writeFile(join(other, "index.mjs"), "2");
    await rename(place.dir, `${place.dir}.old`);
    await rename(other, place.dir);
    await place.next();
    await place.refresh();
    await fence(place);
    place.clear();
    await writeFile(join(place.dir, "index.mjs"), "3");
    assert.ok((await fence(place)).includes("index.mjs"));
  });

  it("that the folder is gone, and that it is back", async () => {
    await using place = await openPlace();
    await rm(place.dir, { recursive: true });
    await place.next();
    await place.refresh();
    place.clear();
    await mkdir(place.dir);
    await place.next();
  });
});

describe("openFolderWatch does not see", () => {
  it("what is ignored, nor anything once it is closed", async () => {
    await using place = await openPlace();
    await writeFile(join(place.dir, "node_modules", "x", "index.js"), "2");
    await writeFile(join(place.dir, "debug.log"), "2");
    assert.deepEqual(await fence(place), []);
  });
});
