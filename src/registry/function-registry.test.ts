import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ErrorCode, isPlatformError, PlatformError } from "../core/errors.ts";
import type { FunctionUrl } from "../core/function.ts";
import { sampleName } from "../store/samples.fake.ts";
import { fakeRegistry } from "../store/store.fake.ts";
import type { Registry } from "../store/store.ts";
import { newFunction, openFakeFunctions } from "./registry.fake.ts";

const f = sampleName("f");

describe("create, update, publish", () => {
  it("creates a function that has no version yet", async () => {
    const { functions } = openFakeFunctions();
    const record = await functions.create(newFunction("f"), { publish: false });
    assert.deepEqual(
      [record.liveVersion, record.nextVersion, record.latest.label],
      [undefined, 1, "$LATEST"],
    );
    assert.deepEqual(await functions.listVersions(f, { after: 0, limit: 9 }), []);
  });

  it("creates a function with version 1 live", async () => {
    const { functions } = openFakeFunctions();
    const record = await functions.create(newFunction("f"), { publish: true });
    assert.deepEqual([record.liveVersion, record.nextVersion], [1, 2]);
    const version = await functions.getVersion(f, 1);
    assert.deepEqual([version.code, version.config], [record.latest.code, record.latest.config]);
    assert.notEqual(version.revisionId, record.latest.revisionId);
  });

  it("gives `$LATEST` a new revision with every update and publish", async () => {
    const { functions } = openFakeFunctions();
    const revisions = [(await functions.create(newFunction("f"), { publish: false })).latest.revisionId];
    revisions.push(
      (await functions.update(f, { config: newFunction("f", "a", { memoryMib: 256 }).config })).latest
        .revisionId,
    );
    await functions.publish(f, {});
    revisions.push((await functions.get(f)).latest.revisionId);
    assert.equal(new Set(revisions).size, 3);
  });

  it("keeps what an update does not name", async () => {
    const { functions } = openFakeFunctions();
    await functions.create(newFunction("f", "a", { memoryMib: 512 }), { publish: true });
    const { latest, liveVersion } = await functions.update(f, { code: newFunction("f", "b").code });
    assert.deepEqual([latest.code.treeId, latest.config.memoryMib, liveVersion], ["tree-b", 512, undefined]);
  });

  it("publishes the same version again while nothing has changed, whatever description it was given", async () => {
    const { functions } = openFakeFunctions();
    await functions.create(newFunction("f"), { publish: false });
    const first = await functions.publish(f, { description: "the first" });
    assert.deepEqual(await functions.publish(f, {}), first);
    await functions.setTags(f, { team: "a" });
    await functions.update(f, { code: newFunction("f", "a").code });
    assert.deepEqual(await functions.publish(f, {}), first);
    assert.equal(first.config.description, "the first");
    assert.equal((await functions.get(f)).latest.config.description, "");
  });

  it("publishes a new number after a change, and after the last version was removed", async () => {
    const { functions } = openFakeFunctions();
    await functions.create(newFunction("f"), { publish: true });
    await functions.update(f, { code: newFunction("f", "b").code });
    assert.equal((await functions.publish(f, {})).label, "2");
    await functions.rollback(f, 1);
    await functions.removeVersion(f, 2);
    assert.equal((await functions.publish(f, {})).label, "3");
  });

  it("refuses to publish other code than the caller means", async () => {
    const { functions } = openFakeFunctions();
    await functions.create(newFunction("f"), { publish: false });
    await rejects(functions.publish(f, { ifArchiveSha256: "other" }), "InvalidRequest");
    assert.equal((await functions.publish(f, { ifArchiveSha256: "archive-a" })).label, "1");
  });

  it("throws FunctionExists for a name that is taken", async () => {
    const { functions } = openFakeFunctions();
    await functions.create(newFunction("f"), { publish: false });
    await rejects(functions.create(newFunction("f", "b"), { publish: true }), "FunctionExists");
    assert.equal((await functions.get(f)).latest.code.treeId, "tree-a");
  });

  it("refuses a change that is based on another revision", async () => {
    const { functions } = openFakeFunctions();
    const before = await functions.create(newFunction("f"), { publish: false });
    const ifRevision = before.latest.revisionId;
    await functions.update(f, { code: newFunction("f", "b").code, ifRevision });
    await rejects(functions.update(f, { code: newFunction("f", "c").code, ifRevision }), "RevisionChanged");
    await rejects(functions.publish(f, { ifRevision }), "RevisionChanged");
    assert.equal((await functions.get(f)).latest.code.treeId, "tree-b");
  });

  it("refuses more tags than Lambda takes", async () => {
    const { functions } = openFakeFunctions();
    const tags = Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`t${index}`, ""]));
    await rejects(functions.create({ ...newFunction("f"), tags }, { publish: false }), "InvalidRequest");
    await rejects(functions.deploy({ ...newFunction("f"), tags }), "InvalidRequest");
    await rejects(functions.get(f), "FunctionNotFound");
  });
});

describe("deploy and rollback", () => {
  it("always makes a new number live, and keeps aliases and URLs", async () => {
    const { functions } = openFakeFunctions();
    await functions.deploy(newFunction("f"));
    await functions.createAlias(f, { name: "prod", version: "1", description: "", split: undefined });
    await functions.saveUrl(f, url("u", "prod"));
    const { record, version } = await functions.deploy(newFunction("f"));
    assert.deepEqual([version.label, record.liveVersion, record.nextVersion], ["2", 2, 3]);
    assert.deepEqual([record.aliases.length, record.urls.length], [1, 1]);
  });

  it("restores code and configuration as a whole, and never gives a number twice", async () => {
    const { functions } = openFakeFunctions();
    const old = newFunction("f", "a", {
      memoryMib: 1024,
      timeoutMs: 9,
      environment: { A: "1" },
      network: "none",
    });
    await functions.deploy(old);
    await functions.deploy(newFunction("f", "b"));
    const { record, version } = await functions.rollback(f, undefined);
    assert.deepEqual([record.latest.code, record.latest.config], [old.code, old.config]);
    assert.deepEqual([version.label, record.liveVersion, record.nextVersion], ["1", 1, 3]);
    assert.equal((await functions.deploy(newFunction("f", "c"))).version.label, "3");
    assert.equal((await functions.rollback(f, undefined)).version.label, "2");
    assert.equal((await functions.rollback(f, 3)).version.label, "3");
  });

  it("goes back over versions that are gone", async () => {
    const { functions } = openFakeFunctions();
    for (let count = 1; count <= 40; count++) await functions.deploy(newFunction("f", `c${count}`));
    for (let number = 2; number < 40; number++) await functions.removeVersion(f, number);
    assert.equal((await functions.rollback(f, undefined)).version.label, "1");
    await rejects(functions.rollback(f, undefined), "VersionNotFound");
  });

  it("undoes a change of `$LATEST` by going to the last published version", async () => {
    const { functions } = openFakeFunctions();
    await functions.deploy(newFunction("f", "a"));
    await functions.deploy(newFunction("f", "b"));
    await functions.update(f, { code: newFunction("f", "c").code });
    assert.equal((await functions.rollback(f, undefined)).version.label, "2");
  });

  it("throws VersionNotFound, and changes nothing, if there is nothing to go back to", async () => {
    const { functions, changes } = openFakeFunctions();
    await functions.create(newFunction("f"), { publish: false });
    changes.length = 0;
    await rejects(functions.rollback(f, undefined), "VersionNotFound");
    await rejects(functions.rollback(f, 7), "VersionNotFound");
    assert.deepEqual(changes, []);
  });

  it("loses none of many deploys at once", async () => {
    const { functions } = openFakeFunctions();
    const deploys = await Promise.all(
      Array.from({ length: 20 }, (_, i) => functions.deploy(newFunction("f", `${i}`))),
    );
    assert.deepEqual(
      deploys.map(({ version }) => Number(version.label)).sort((a, b) => a - b),
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
  });

  it("tries again when another node has saved in between", async () => {
    const registry = fakeRegistry();
    const here = openFakeFunctions({ registry }).functions;
    const there = openFakeFunctions({ registry }).functions;
    const deploys = Array.from({ length: 6 }, (_, i) =>
      (i % 2 ? here : there).deploy(newFunction("f", `${i}`)),
    );
    await Promise.all(deploys);
    assert.equal((await here.get(f)).nextVersion, 7);
  });
});

describe("removal", () => {
  it("removes a function with all that belongs to it; its numbers begin anew", async () => {
    const { functions } = openFakeFunctions();
    await functions.deploy(newFunction("f"));
    await functions.saveUrl(f, url("u", undefined));
    await functions.remove(f);
    for (const gone of [
      functions.get(f),
      functions.resolve(f, undefined),
      functions.resolve(f, "1"),
      functions.remove(f),
    ]) {
      await rejects(gone, "FunctionNotFound");
    }
    assert.equal(await functions.findByUrlId("u"), undefined);
    assert.equal((await functions.deploy(newFunction("f"))).version.label, "1");
  });

  it("keeps a version that an alias points at", async () => {
    const { functions } = openFakeFunctions();
    for (const code of ["a", "b", "c"]) await functions.deploy(newFunction("f", code));
    await functions.createAlias(f, {
      name: "x",
      version: "1",
      description: "",
      split: { version: "2", weight: 0.5 },
    });
    for (const number of [1, 2]) await rejects(functions.removeVersion(f, number), "ResourceConflict");
    await functions.removeAlias(f, "x");
    await functions.removeVersion(f, 1);
    await functions.removeVersion(f, 1);
    await rejects(functions.resolve(f, "1"), "VersionNotFound");
    await rejects(functions.removeVersion(sampleName("nobody"), 1), "FunctionNotFound");
  });

  it("goes on with the live code when its number is removed", async () => {
    const { functions } = openFakeFunctions();
    for (const code of ["a", "b"]) await functions.deploy(newFunction("f", code));
    const before = await functions.resolve(f, undefined);
    await functions.removeVersion(f, 2);
    const after = await functions.resolve(f, undefined);
    assert.deepEqual([after.version, after.record.liveVersion], [before.version, undefined]);
    assert.equal((await functions.rollback(f, undefined)).version.label, "1");
  });
});

describe("aliases", () => {
  const badAliases: [string, ErrorCode, object][] = [
    ["a name of digits only", "InvalidRequest", { name: "12" }],
    ["an empty name", "InvalidRequest", { name: "" }],
    ["a name with a dot", "InvalidRequest", { name: "a.b" }],
    ["a name of 129 characters", "InvalidRequest", { name: "a".repeat(129) }],
    ["a description of 257 characters", "InvalidRequest", { description: "d".repeat(257) }],
    ["a version that is not there", "VersionNotFound", { version: "9" }],
    ["a second version that is not there", "VersionNotFound", { split: { version: "9", weight: 0.1 } }],
    ["the same version twice", "InvalidRequest", { split: { version: "1", weight: 0.1 } }],
    [
      "$LATEST with a second version",
      "InvalidRequest",
      { version: "$LATEST", split: { version: "1", weight: 0.1 } },
    ],
    ["$LATEST as the second version", "InvalidRequest", { split: { version: "$LATEST", weight: 0.1 } }],
    ["a weight above 1", "InvalidRequest", { split: { version: "2", weight: 1.1 } }],
    ["a negative weight", "InvalidRequest", { split: { version: "2", weight: -0.1 } }],
    ["a weight that is no number", "InvalidRequest", { split: { version: "2", weight: Number.NaN } }],
  ];
  for (const [why, code, bad] of badAliases) {
    it(`refuses ${why}, when made and when changed`, async () => {
      const { functions } = openFakeFunctions();
      await functions.deploy(newFunction("f", "a"));
      await functions.deploy(newFunction("f", "b"));
      const good = { name: "good", version: "1", description: "", split: undefined } as const;
      await rejects(functions.createAlias(f, { ...good, ...bad }), code);
      if ("name" in bad) return;
      const before = await functions.createAlias(f, good);
      await rejects(functions.updateAlias(f, "good", bad), code);
      assert.deepEqual((await functions.get(f)).aliases, [before]);
    });
  }

  it("changes what is named, clears a split with undefined, and has a new revision each time", async () => {
    const { functions } = openFakeFunctions();
    await functions.deploy(newFunction("f", "a"));
    await functions.deploy(newFunction("f", "b"));
    const made = await functions.createAlias(f, {
      name: "x",
      version: "1",
      description: "d",
      split: { version: "2", weight: 0.5 },
    });
    const described = await functions.updateAlias(f, "x", { description: "e", ifRevision: made.revisionId });
    assert.deepEqual(described, { ...made, description: "e", revisionId: described.revisionId });
    const cleared = await functions.updateAlias(f, "x", { split: undefined });
    assert.deepEqual([cleared.split, cleared.description, cleared.version], [undefined, "e", "1"]);
    assert.equal(new Set([made, described, cleared].map(({ revisionId }) => revisionId)).size, 3);
    await rejects(
      functions.updateAlias(f, "x", { version: "2", ifRevision: made.revisionId }),
      "RevisionChanged",
    );
  });

  it("says what is there already, and what is not", async () => {
    const { functions } = openFakeFunctions();
    await functions.deploy(newFunction("f"));
    const alias = { name: "x", version: "1", description: "", split: undefined } as const;
    await functions.createAlias(f, alias);
    await rejects(functions.createAlias(f, alias), "AliasExists");
    await rejects(functions.updateAlias(f, "y", { description: "" }), "AliasNotFound");
    await rejects(functions.createAlias(sampleName("nobody"), alias), "FunctionNotFound");
    await functions.removeAlias(f, "y");
    await rejects(functions.removeAlias(sampleName("nobody"), "x"), "FunctionNotFound");
  });
});

describe("URLs, concurrency, tags", () => {
  it("keeps one URL per qualifier, and drops an alias's with the alias", async () => {
    const { functions } = openFakeFunctions();
    await functions.deploy(newFunction("f"));
    await rejects(functions.saveUrl(f, url("u1", "x")), "AliasNotFound");
    await functions.createAlias(f, { name: "x", version: "1", description: "", split: undefined });
    await functions.saveUrl(f, url("u1", "x"));
    await functions.saveUrl(f, url("u2", undefined));
    await functions.saveUrl(f, url("u3", undefined));
    assert.equal(await functions.findByUrlId("u2"), undefined);
    assert.equal((await functions.findByUrlId("u1"))?.name, "f");
    await functions.removeAlias(f, "x");
    assert.equal(await functions.findByUrlId("u1"), undefined);
    await functions.removeUrl(f, undefined);
    await rejects(functions.removeUrl(f, undefined), "ResourceNotFound");
  });

  it("leaves revision and versions alone", async () => {
    const { functions } = openFakeFunctions();
    const { record } = await functions.deploy(newFunction("f"));
    await functions.setConcurrency(f, 0);
    const after = await functions.setTags(f, { a: "b" });
    assert.deepEqual([after.latest, after.liveVersion, after.concurrencyMax], [record.latest, 1, 0]);
    assert.equal((await functions.resolve(f, undefined)).record.concurrencyMax, 0);
    assert.equal((await functions.setConcurrency(f, undefined)).concurrencyMax, undefined);
  });
});

describe("resolve", () => {
  it("gives the same target each time, from memory once it was asked for", async () => {
    const { functions } = openFakeFunctions({ registry: (await seeded()).registry });
    assert.equal(functions.resolveCached(f, undefined), undefined);
    const target = await functions.resolve(f, undefined);
    assert.equal(functions.resolveCached(f, undefined), target);
    assert.equal(functions.resolveCached(f, "1"), undefined);
    const numbered = await functions.resolve(f, "1");
    assert.equal(functions.resolveCached(f, "1"), numbered);
    assert.deepEqual([numbered.version.label, numbered.qualifier], ["1", "1"]);
  });

  it("reads once for all who ask at the same time", async () => {
    const { registry, reads } = await seeded();
    const { functions } = openFakeFunctions({ registry });
    await Promise.all(Array.from({ length: 50 }, () => functions.resolve(f, "1")));
    assert.deepEqual(reads, ["f", "f:1"]);
  });

  it("does not keep what was read before a change that came in between", async () => {
    const { registry, hold } = await seeded();
    const { functions } = openFakeFunctions({ registry });
    const release = hold();
    const early = functions.resolve(f, undefined);
    const deployed = functions.deploy(newFunction("f", "new"));
    release();
    await deployed;
    assert.equal(functions.resolveCached(f, undefined)?.version.code.treeId, "tree-new");
    await early;
    assert.equal(functions.resolveCached(f, undefined)?.version.code.treeId, "tree-new");
  });

  it("tells everybody of a change after routing has it and before the change resolves", async () => {
    const { functions, changes } = openFakeFunctions();
    await functions.deploy(newFunction("f", "a"));
    await functions.rollback(f, 1);
    await functions.removeAlias(f, "none");
    assert.deepEqual(changes, ["f", "f"]);
  });

  it("draws between the versions of a split alias anew for each call", async () => {
    const drawn = [0, 0.1, 0.199, 0.2, 0.5, 0.999];
    let next = 0;
    const { functions } = openFakeFunctions({ random: () => drawn[next++ % drawn.length] ?? 0 });
    await functions.deploy(newFunction("f", "a"));
    await functions.deploy(newFunction("f", "b"));
    await functions.createAlias(f, {
      name: "x",
      version: "1",
      description: "",
      split: { version: "2", weight: 0.2 },
    });
    const labels = [];
    for (const _ of drawn) labels.push((await functions.resolve(f, "x")).version.label);
    assert.deepEqual(labels, ["2", "2", "2", "1", "1", "1"]);
  });

  for (const [why, qualifier, code] of [
    ["an alias nobody made", "nope", "AliasNotFound"],
    ["a number nobody published", "9", "VersionNotFound"],
    ["an empty qualifier", "", "AliasNotFound"],
    ["a number with a zero in front", "01", "AliasNotFound"],
    ["an endless number", "9".repeat(400), "AliasNotFound"],
    ["$LATEST in small letters", "$latest", "AliasNotFound"],
  ] as const) {
    it(`throws ${code} for ${why}`, async () => {
      const { functions } = openFakeFunctions();
      await functions.deploy(newFunction("f"));
      await rejects(functions.resolve(f, qualifier), code);
      assert.equal(functions.resolveCached(f, qualifier), undefined);
    });
  }

  it("says when the store cannot be read, and asks again next time", async () => {
    const inner = (await seeded()).registry;
    let isBroken = true;
    const registry: Registry = {
      ...inner,
      async findFunction(name) {
        if (isBroken) throw new PlatformError("StoreUnavailable", "the disk is gone");
        return await inner.findFunction(name);
      },
    };
    const { functions } = openFakeFunctions({ registry });
    await rejects(functions.resolve(f, undefined), "StoreUnavailable");
    isBroken = false;
    assert.equal((await functions.resolve(f, undefined)).record.name, "f");
  });
});

/** A store with function `f` at version 1, that counts reads and can hold them back. */
async function seeded() {
  const inner = fakeRegistry();
  await openFakeFunctions({ registry: inner }).functions.deploy(newFunction("f"));
  const reads: string[] = [];
  let gate: Promise<void> = Promise.resolve();
  const registry: Registry = {
    ...inner,
    async findFunction(name) {
      reads.push(name);
      const record = await inner.findFunction(name);
      await gate;
      return record;
    },
    async findVersion(name, number) {
      reads.push(`${name}:${number}`);
      return await inner.findVersion(name, number);
    },
  };
  const hold = () => {
    const held = Promise.withResolvers<void>();
    gate = held.promise;
    return held.resolve;
  };
  return { registry, reads, hold };
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

async function rejects(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(promise, (error) => isPlatformError(error, code));
}
