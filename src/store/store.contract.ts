import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import type { FunctionUrl } from "../core/function.ts";
import {
  sampleFunction,
  sampleKey,
  sampleKeyId,
  sampleLayer,
  sampleName,
  sampleVersion,
} from "./samples.fake.ts";
import type { Store } from "./store.ts";

/** The promises of store.ts. `open` gives an empty store. */
export function describeStore(name: string, open: () => Promise<Store>): void {
  let store: Store;
  beforeEach(async () => {
    store = await open();
  });
  afterEach(() => store[Symbol.asyncDispose]());

  describe(`${name}: Registry`, () => {
    it("gives back a function as it was saved, with every member", async () => {
      const full = sampleFunction("full", {
        liveVersion: 1,
        nextVersion: 2,
        aliases: [
          { name: "live", version: "1", description: "d", split: undefined, revisionId: "r1" },
          {
            name: "canary",
            version: "1",
            description: "",
            split: { version: "2", weight: 0.25 },
            revisionId: "r2",
          },
        ],
        urls: [url("u1", undefined), { ...url("u2", "live"), cors: { AllowOrigins: ["*"] } }],
        concurrencyMax: 0,
        tags: { team: "naïve" },
      });
      const bare = sampleFunction("bare");
      await store.registry.saveFunction(full);
      await store.registry.saveFunction(bare);
      assert.deepEqual(await store.registry.findFunction(full.name), full);
      assert.deepEqual(await store.registry.findFunction(bare.name), bare);
    });

    it("finds nothing where nothing is", async () => {
      const nobody = sampleName("nobody");
      assert.equal(await store.registry.findFunction(nobody), undefined);
      assert.equal(await store.registry.findVersion(nobody, 1), undefined);
      assert.equal(await store.registry.findFunctionByUrlId("none"), undefined);
      assert.deepEqual(await store.registry.listFunctions({ after: undefined, limit: 10 }), []);
      assert.deepEqual(await store.registry.listVersions(nobody, { after: 0, limit: 10 }), []);
      assert.equal(await store.registry.countFunctions(), 0);
      assert.equal(await store.registry.deleteFunction(nobody), false);
      assert.equal(await store.registry.deleteVersion(nobody, 1), false);
    });

    it("lists functions by name in pages, and counts them", async () => {
      for (const name of ["b", "a", "D", "c-2", "c"]) await store.registry.saveFunction(sampleFunction(name));
      const first = await store.registry.listFunctions({ after: undefined, limit: 2 });
      const second = await store.registry.listFunctions({ after: first[1]?.name, limit: 10 });
      assert.deepEqual(
        [...first, ...second].map(({ name }) => name),
        ["D", "a", "b", "c", "c-2"],
      );
      assert.equal(first.length, 2);
      assert.equal(await store.registry.countFunctions(), 5);
    });

    it("throws FunctionExists for a second generation 1, and keeps the first", async () => {
      await store.registry.saveFunction(sampleFunction("f"));
      await rejects(store.registry.saveFunction(sampleFunction("f", { createdAt: 9 })), "FunctionExists");
      assert.equal((await store.registry.findFunction(sampleName("f")))?.createdAt, 1);
    });

    it("throws FunctionNotFound for a later generation of a function that is gone", async () => {
      await rejects(store.registry.saveFunction(sampleFunction("f", { generation: 2 })), "FunctionNotFound");
      assert.equal(await store.registry.countFunctions(), 0);
    });

    for (const generation of [2, 4, 17]) {
      it(`throws ResourceConflict for generation ${generation} upon 2`, async () => {
        await store.registry.saveFunction(sampleFunction("f"));
        await store.registry.saveFunction(sampleFunction("f", { generation: 2 }));
        const late = sampleFunction("f", { generation, createdAt: 9 });
        await rejects(store.registry.saveFunction(late, sampleVersion("f", "1")), "ResourceConflict");
        assert.equal((await store.registry.findFunction(sampleName("f")))?.createdAt, 1);
        assert.equal(await store.registry.findVersion(sampleName("f"), 1), undefined);
      });
    }

    it("lets exactly one of many saves of the same generation through", async () => {
      await store.registry.saveFunction(sampleFunction("f"));
      const saves = Array.from({ length: 20 }, (_, index) =>
        store.registry.saveFunction(sampleFunction("f", { generation: 2, createdAt: index })),
      );
      const settled = await Promise.allSettled(saves);
      assert.equal(settled.filter(({ status }) => status === "fulfilled").length, 1);
    });

    it("publishes a version in the same step, and lists versions in pages", async () => {
      const name = sampleName("f");
      await store.registry.saveFunction(sampleFunction("f"), sampleVersion("f", "1"));
      for (const number of [2, 10, 3]) {
        const generation = ((await store.registry.findFunction(name))?.generation ?? 0) + 1;
        await store.registry.saveFunction(
          sampleFunction("f", { generation }),
          sampleVersion("f", `${number}`),
        );
      }
      assert.deepEqual(await store.registry.findVersion(name, 10), sampleVersion("f", "10"));
      const labels = async (after: number, limit: number) =>
        (await store.registry.listVersions(name, { after, limit })).map(({ label }) => label);
      assert.deepEqual(await labels(0, 100), ["1", "2", "3", "10"]);
      assert.deepEqual(await labels(1, 2), ["2", "3"]);
      assert.deepEqual(await labels(10, 2), []);
    });

    it("never replaces a version: such a save changes nothing", async () => {
      await store.registry.saveFunction(sampleFunction("f"), sampleVersion("f", "1", "a"));
      const next = sampleFunction("f", { generation: 2 });
      await rejects(store.registry.saveFunction(next, sampleVersion("f", "1", "b")), "ResourceConflict");
      assert.equal((await store.registry.findVersion(sampleName("f"), 1))?.code.treeId, "tree-a");
      assert.equal((await store.registry.findFunction(sampleName("f")))?.generation, 1);
    });

    it("deletes one version and leaves the others", async () => {
      const name = sampleName("f");
      await store.registry.saveFunction(sampleFunction("f"), sampleVersion("f", "1"));
      await store.registry.saveFunction(sampleFunction("f", { generation: 2 }), sampleVersion("f", "2"));
      assert.equal(await store.registry.deleteVersion(name, 1), true);
      assert.equal(await store.registry.deleteVersion(name, 1), false);
      assert.deepEqual(
        (await store.registry.listVersions(name, { after: 0, limit: 9 })).map(({ label }) => label),
        ["2"],
      );
    });

    it("deletes a function with its versions and URLs, and nobody else's", async () => {
      await store.registry.saveFunction(
        sampleFunction("f", { urls: [url("u1", undefined)] }),
        sampleVersion("f", "1"),
      );
      await store.registry.saveFunction(
        sampleFunction("g", { urls: [url("u2", undefined)] }),
        sampleVersion("g", "1"),
      );
      assert.equal(await store.registry.deleteFunction(sampleName("f")), true);
      assert.equal(await store.registry.findFunction(sampleName("f")), undefined);
      assert.equal(await store.registry.findVersion(sampleName("f"), 1), undefined);
      assert.equal(await store.registry.findFunctionByUrlId("u1"), undefined);
      assert.equal((await store.registry.findFunctionByUrlId("u2"))?.name, "g");
      assert.ok(await store.registry.findVersion(sampleName("g"), 1));
      await store.registry.saveFunction(sampleFunction("f"), sampleVersion("f", "1"));
    });

    it("finds a function by the URLs it has now", async () => {
      await store.registry.saveFunction(
        sampleFunction("f", { urls: [url("u1", undefined), url("u2", "a")] }),
      );
      await store.registry.saveFunction(sampleFunction("f", { generation: 2, urls: [url("u2", "a")] }));
      assert.equal(await store.registry.findFunctionByUrlId("u1"), undefined);
      assert.equal((await store.registry.findFunctionByUrlId("u2"))?.generation, 2);
    });

    it("throws ResourceConflict for a URL id that another function has", async () => {
      await store.registry.saveFunction(sampleFunction("f", { urls: [url("u1", undefined)] }));
      const thief = sampleFunction("g", { urls: [url("u1", undefined)] });
      await rejects(store.registry.saveFunction(thief), "ResourceConflict");
      assert.equal(await store.registry.findFunction(thief.name), undefined);
    });

    it("names all code that some version needs, and no other", async () => {
      await store.registry.saveFunction(
        sampleFunction("f", { latest: sampleVersion("f", "$LATEST", "b") }),
        sampleVersion("f", "1", "a"),
      );
      await store.registry.saveFunction(sampleFunction("g", { latest: sampleVersion("g", "$LATEST", "c") }));
      const all = await store.registry.codeInUse();
      assert.deepEqual([...all.treeIds].sort(), ["tree-a", "tree-b", "tree-c"]);
      assert.deepEqual([...all.archives].sort(), ["archive-a", "archive-b", "archive-c"]);
      await store.registry.deleteVersion(sampleName("f"), 1);
      await store.registry.deleteFunction(sampleName("g"));
      assert.deepEqual([...(await store.registry.codeInUse()).treeIds], ["tree-b"]);
    });
  });

  describe(`${name}: KeyStore`, () => {
    it("gives back keys as they were saved, by id", async () => {
      const full = sampleKey("ZZZZZZZZZZZZZZZZZZZZ", {
        expiresAt: 5,
        revokedAt: 6,
        importedSecret: "c2VjcmV0",
      });
      const bare = sampleKey("AAAAAAAAAAAAAAAAAAAA");
      await store.keys.saveKey(full);
      await store.keys.saveKey(bare);
      assert.deepEqual(await store.keys.findKey(full.id), full);
      assert.deepEqual(await store.keys.listKeys(), [bare, full]);
    });

    it("replaces a key that is saved again", async () => {
      const key = sampleKey("AAAAAAAAAAAAAAAAAAAA");
      await store.keys.saveKey(key);
      await store.keys.saveKey({ ...key, revokedAt: 7 });
      assert.equal((await store.keys.findKey(key.id))?.revokedAt, 7);
      assert.equal((await store.keys.listKeys()).length, 1);
    });

    it("finds no key where none is", async () => {
      assert.equal(await store.keys.findKey(sampleKeyId("AAAAAAAAAAAAAAAAAAAA")), undefined);
      assert.deepEqual(await store.keys.listKeys(), []);
    });
  });

  describe(`${name}: Layers`, () => {
    it("numbers versions from 1, and never gives a number twice", async () => {
      assert.equal(await store.layers.publish(sampleLayer("tools")), 1);
      assert.equal(await store.layers.publish(sampleLayer("tools", "b")), 2);
      assert.equal(await store.layers.publish(sampleLayer("other")), 1);
      assert.equal(await store.layers.deleteVersion("tools", 2), true);
      assert.equal(await store.layers.deleteVersion("tools", 2), false);
      assert.equal(await store.layers.publish(sampleLayer("tools", "c")), 3);
    });

    it("gives numbers apart to publishers at the same time", async () => {
      const numbers = await Promise.all(
        ["a", "b", "c"].map((code) => store.layers.publish(sampleLayer("l", code))),
      );
      assert.deepEqual(numbers.sort(), [1, 2, 3]);
    });

    it("gives back a version as it was published", async () => {
      const full = { ...sampleLayer("full"), license: "Apache-2.0" };
      await store.layers.publish(full);
      await store.layers.publish(sampleLayer("bare"));
      assert.deepEqual(await store.layers.findVersion("full", 1), { ...full, number: 1 });
      assert.deepEqual(await store.layers.findVersion("bare", 1), { ...sampleLayer("bare"), number: 1 });
      assert.equal(await store.layers.findVersion("bare", 2), undefined);
      assert.equal(await store.layers.findVersion("nobody", 1), undefined);
    });

    it("lists versions from the newest, and names that have one, in pages", async () => {
      for (const code of ["a", "b", "c"]) await store.layers.publish(sampleLayer("m", code));
      for (const name of ["z", "k"]) await store.layers.publish(sampleLayer(name));
      await store.layers.deleteVersion("z", 1);
      const numbers = async (before: number | undefined, limit: number) =>
        (await store.layers.listVersions("m", { before, limit })).map(({ number }) => number);
      assert.deepEqual(await numbers(undefined, 2), [3, 2]);
      assert.deepEqual(await numbers(2, 2), [1]);
      assert.deepEqual(await store.layers.listNames({ after: undefined, limit: 10 }), ["k", "m"]);
      assert.deepEqual(await store.layers.listNames({ after: "k", limit: 10 }), ["m"]);
      assert.deepEqual(await store.layers.listNames({ after: undefined, limit: 1 }), ["k"]);
    });

    it("keeps the code of layers, and of functions whose layer was deleted", async () => {
      await store.layers.publish(sampleLayer("kept", "kept"));
      await store.layers.publish(sampleLayer("gone", "gone"));
      const { code } = sampleLayer("gone", "gone");
      const version = sampleVersion("f");
      const layers = [{ arn: "arn:aws:lambda:eu-central-1:123456789012:layer:gone:1", code }];
      const latest = { ...version, config: { ...version.config, layers, optTreeId: "merged" } };
      await store.registry.saveFunction(sampleFunction("f", { latest }));
      assert.deepEqual(await store.registry.findFunction(sampleName("f")), sampleFunction("f", { latest }));
      await store.layers.deleteVersion("gone", 1);
      const inUse = await store.registry.codeInUse();
      assert.deepEqual([...inUse.treeIds].sort(), ["layer-tree-gone", "layer-tree-kept", "merged", "tree-a"]);
      assert.deepEqual([...inUse.archives].sort(), ["archive-a", "layer-archive-gone", "layer-archive-kept"]);
    });
  });

  it(`${name} can be closed twice`, async () => {
    await store[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
  });
}

function url(urlId: string, qualifier: string | undefined): FunctionUrl {
  return {
    urlId,
    qualifier,
    authType: "NONE",
    invokeMode: "BUFFERED",
    cors: undefined,
    createdAt: 1,
    modifiedAt: 1,
  };
}

async function rejects(
  promise: Promise<unknown>,
  code: Parameters<typeof isPlatformError>[1],
): Promise<void> {
  await assert.rejects(promise, (error) => isPlatformError(error, code));
}
