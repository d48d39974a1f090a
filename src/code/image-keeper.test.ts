import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { FunctionRecord, Version } from "../core/function.ts";
import { type FunctionName, parseFunctionName } from "../core/ids.ts";
import { silentLog } from "../core/log.ts";
import { ImageKeeper, type ImageTags } from "./image-keeper.ts";

const NAME = functionName("web");
const MIB = 1024 * 1024;

function functionName(text: string): FunctionName {
  const name = parseFunctionName(text);
  assert.ok(name);
  return name;
}

/** A function with versions 1 to `count`, each an image of its own of one MiB. */
function keeperOf(given: {
  readonly count: number;
  readonly live: number;
  readonly aliases?: readonly string[];
  readonly versionsMax?: number;
  readonly diskMib?: number;
}) {
  const image = (label: string) =>
    ({
      treeId: "",
      archiveSha256: "",
      archiveBytes: 0,
      treeBytes: MIB,
      image: { id: label, source: "" },
    }) as never;
  let versions = Array.from({ length: given.count }, (_, index) => {
    const label = `${index + 1}`;
    return { functionName: NAME, label, code: image(label), modifiedAt: index } as unknown as Version;
  });
  const record = {
    name: NAME,
    latest: { label: "$LATEST", functionName: NAME, code: image(`${given.live}`) },
    liveVersion: given.live,
    nextVersion: given.count + 1,
    aliases: (given.aliases ?? []).map((version) => ({ name: `a${version}`, version, split: undefined })),
  } as unknown as FunctionRecord;
  let leftovers = 1;
  const tagged: string[] = [];
  const tags: ImageTags = {
    reconcile: async (_name, wanted) => {
      tagged.push([...wanted.keys()].join());
    },
    collect: async () => 0,
    push: async () => undefined,
    restore: async ({ version }) => version === "2",
    usedBytes: async () => (versions.length + leftovers) * MIB,
    dropLeftovers: async () => {
      const count = leftovers;
      leftovers = 0;
      return count;
    },
  };
  const keeper = new ImageKeeper({
    tags,
    functions: {
      list: async ({ after }) => (after === undefined ? [record] : []),
      listVersions: async (_name, { after }) => versions.filter(({ label }) => Number(label) > after),
      removeVersion: async (_name, number) => {
        versions = versions.filter(({ label }) => label !== String(number));
      },
    },
    foundImages: async () => undefined,
    versionsMax: given.versionsMax ?? 0,
    diskBytesMax: given.diskMib === undefined ? undefined : given.diskMib * MIB,
    clock: { now: Date.now, monotonic: () => performance.now(), sleep: () => new Promise(() => undefined) },
    log: silentLog,
  });
  /** What is left when all that follows from a change was done. */
  const afterChange = async () => {
    keeper.functionChanged(NAME, record);
    await keeper.settled();
    return versions.map(({ label }) => label).join();
  };
  return { keeper, record, tagged, afterChange, leftovers: () => leftovers };
}

describe("ImageKeeper", () => {
  it("keeps the newest images, and whatever is live, aliased or what a rollback goes to", async () => {
    assert.equal(await keeperOf({ count: 8, live: 8, versionsMax: 3 }).afterChange(), "6,7,8");
    assert.equal(await keeperOf({ count: 8, live: 5, versionsMax: 2 }).afterChange(), "4,5,7,8");
    assert.equal(
      await keeperOf({ count: 6, live: 6, aliases: ["1"], versionsMax: 1 }).afterChange(),
      "1,5,6",
    );
    assert.equal(await keeperOf({ count: 9, live: 9 }).afterChange(), "1,2,3,4,5,6,7,8,9");
  });

  it("lets go of the oldest that nothing needs when the disk is too small, of failed builds first", async () => {
    const roomy = keeperOf({ count: 4, live: 4, diskMib: 4 });
    assert.equal(await roomy.afterChange(), "1,2,3,4");
    assert.equal(roomy.leftovers(), 0);
    assert.equal(await keeperOf({ count: 6, live: 6, diskMib: 4 }).afterChange(), "3,4,5,6");
    // What is needed stays, however small the disk.
    assert.equal(await keeperOf({ count: 6, live: 6, aliases: ["2"], diskMib: 1 }).afterChange(), "2,5,6");
  });

  it("takes the tags of a function that was deleted before they were made", async () => {
    const { keeper, record, tagged } = keeperOf({ count: 1, live: 1 });
    keeper.functionChanged(NAME, record);
    keeper.functionChanged(NAME, undefined);
    keeper.functionChanged(NAME, record);
    keeper.functionChanged(NAME, undefined);
    await keeper.settled();
    assert.deepEqual(tagged, ["latest,1", "", "latest,1", ""]);
    // There is nothing left to look for.
    keeper.functionChanged(NAME, undefined);
    await keeper.settled();
    assert.equal(tagged.length, 4);
  });

  it("finds whose image was lost, and says whether it is back", async () => {
    const { keeper } = keeperOf({ count: 3, live: 3 });
    const { signal } = new AbortController();
    assert.deepEqual(await Promise.all(["2", "3", "9"].map((id) => keeper.restore(id, { signal }))), [
      true,
      false,
      false,
    ]);
  });
});
