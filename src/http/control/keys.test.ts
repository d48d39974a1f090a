import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { cpuMsOf } from "../../core/cpu-time.fake.ts";
import { isPlatformError } from "../../core/errors.ts";
import { type KeyId, parseKeyId } from "../../core/ids.ts";
import type { KeyRecord, KeyStore } from "../../store/store.ts";
import { allowsFunction, allowsScope, KEYS_MAX, type NewKey, openKeyRing } from "./keys.ts";

/** A folder, a store and a clock of their own; `open` is a start of the daemon. */
async function keyPlace() {
  const dir = await mkdtemp(join(tmpdir(), "keys-test-"));
  const records = new Map<KeyId, KeyRecord>();
  const place = {
    dir,
    records,
    now: 1_000,
    reads: 0,
    open: () => openKeyRing({ dir, keys, clock }),
    adminToken: async () => (await readFile(join(dir, "admin.key"), "utf8")).trim(),
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
  const keys: KeyStore = {
    findKey: async (id) => records.get(id),
    async listKeys() {
      place.reads++;
      return [...records.values()];
    },
    async saveKey(key) {
      records.set(key.id, key);
    },
  };
  const clock = { now: () => place.now, monotonic: () => place.now, sleep: async () => undefined };
  return place;
}

const PLAIN: NewKey = {
  imported: undefined,
  description: "",
  scopes: ["invoke"],
  functions: "*",
  expiresAt: undefined,
};

function id(text: string): KeyId {
  const parsed = parseKeyId(text);
  assert.ok(parsed);
  return parsed;
}

describe("openKeyRing", () => {
  it("makes the admin key at the first start, in files that only their owner can read", async () => {
    await using place = await keyPlace();
    const ring = await place.open();

    const key = await ring.findByToken(await place.adminToken());
    assert.deepEqual([key?.scopes, key?.functions], [["admin"], "*"]);
    for (const file of ["admin.key", "master.key"]) {
      assert.equal((await stat(join(place.dir, file))).mode & 0o777, 0o600, file);
    }
    assert.deepEqual((await readdir(place.dir)).sort(), ["admin.key", "master.key"]);
  });

  it("finds the same key at the next start, without asking the store", async () => {
    await using place = await keyPlace();
    await place.open();
    const token = await place.adminToken();
    place.reads = 0;

    const ring = await place.open();
    assert.equal(place.reads, 0);
    assert.ok(await ring.findByToken(token));
  });

  it("writes a lost admin.key again, but not that of a revoked key", async () => {
    await using place = await keyPlace();
    await place.open();
    const token = await place.adminToken();
    await rm(join(place.dir, "admin.key"));

    const ring = await place.open();
    assert.equal(await place.adminToken(), token);

    await ring.revoke(id(token.split(".")[0] ?? ""));
    await rm(join(place.dir, "admin.key"));
    await place.open();
    await assert.rejects(place.adminToken(), { code: "ENOENT" });
  });

  it("agrees on one master when two daemons start at once", async () => {
    await using place = await keyPlace();
    await Promise.all([place.open(), place.open(), place.open()]);
    const ring = await place.open();
    assert.ok(await ring.findByToken(await place.adminToken()));
  });

  it("writes an admin.key again that a power failure has left empty", async () => {
    await using place = await keyPlace();
    await place.open();
    const token = await place.adminToken();
    await writeFile(join(place.dir, "admin.key"), "");
    await place.open();
    assert.equal(await place.adminToken(), token);
    assert.deepEqual((await readdir(place.dir)).sort(), ["admin.key", "master.key"]);
  });

  it("refuses a master key of the wrong length, and closes one that others can read", async () => {
    await using place = await keyPlace();
    await writeFile(join(place.dir, "master.key"), "short");
    await assert.rejects(place.open(), (error) => isPlatformError(error, "ConfigurationInvalid"));

    await writeFile(join(place.dir, "master.key"), Buffer.alloc(32, 7));
    await chmod(join(place.dir, "master.key"), 0o644);
    await place.open();
    assert.equal((await stat(join(place.dir, "master.key"))).mode & 0o777, 0o600);
  });
});

describe("a key ring", () => {
  it("issues keys whose secret looks like AWS's and is nowhere in the store", async () => {
    await using place = await keyPlace();
    const ring = await place.open();
    const { key, secret, token } = await ring.create(PLAIN);

    assert.match(secret, /^[A-Za-z0-9+/]{40}$/);
    assert.equal(token, `${key.id}.${secret}`);
    assert.deepEqual(await ring.findByToken(token), key);
    assert.ok(!JSON.stringify([...place.records.values()]).includes(secret));
  });

  it("takes over a key pair, sealed, and finds it after a restart", async () => {
    await using place = await keyPlace();
    const imported = { id: id("AKIAIOSFODNN7EXAMPLE"), secret: "wJalr.XUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
    await (await place.open()).create({ ...PLAIN, imported });

    const ring = await place.open();
    assert.equal((await ring.findUsable(imported.id))?.secret, imported.secret);
    assert.ok(await ring.findByToken(`${imported.id}.${imported.secret}`));
    assert.ok(!JSON.stringify([...place.records.values()]).includes(imported.secret));
  });

  it("seals secrets of other things, each for its own purpose and thing", async () => {
    await using place = await keyPlace();
    const sealed = (await place.open()).sealerFor("tests").seal("a", "geheim");
    const ring = await place.open();
    assert.ok(!Buffer.from(sealed, "base64").toString("latin1").includes("geheim"));
    assert.equal(ring.sealerFor("tests").unseal("a", sealed), "geheim");
    assert.equal(ring.sealerFor("tests").unseal("b", sealed), undefined);
    assert.equal(ring.sealerFor("others").unseal("a", sealed), undefined);
  });

  it("does not open a sealed secret under another id or another master", async () => {
    await using place = await keyPlace();
    const imported = { id: id("AKIAIOSFODNN7EXAMPLE"), secret: "x".repeat(20) };
    const { key } = await (await place.open()).create({ ...PLAIN, imported });
    const other = id("AKIAIOSFODNN7EXAMPL2");
    place.records.set(other, { ...key, id: other });
    assert.equal(await (await place.open()).findUsable(other), undefined);

    await writeFile(join(place.dir, "master.key"), Buffer.alloc(32, 1));
    assert.equal(await (await place.open()).findUsable(imported.id), undefined);
  });

  for (const [why, token] of [
    ["no secret", (own: string) => own.split(".")[0] ?? ""],
    ["an empty secret", (own: string) => `${own.split(".")[0]}.`],
    ["one letter changed", (own: string) => `${own.slice(0, -1)}${own.endsWith("A") ? "B" : "A"}`],
    ["one letter more", (own: string) => `${own}A`],
    ["another id", (own: string) => `LKZZZZZZZZZZZZZZZZZZ.${own.split(".")[1]}`],
    ["nothing", () => ""],
    ["garbage", () => "\u0000.\uffff"],
  ] as const) {
    it(`does not know a token with ${why}`, async () => {
      await using place = await keyPlace();
      const ring = await place.open();
      const { token: own } = await ring.create(PLAIN);
      assert.equal(await ring.findByToken(token(own)), undefined);
    });
  }

  it("refuses a key from its expiry on, and from its revocation on", async () => {
    await using place = await keyPlace();
    const ring = await place.open();
    const expiring = await ring.create({ ...PLAIN, expiresAt: 2_000 });
    const revoked = await ring.create(PLAIN);

    place.now = 1_999;
    assert.ok(await ring.findByToken(expiring.token));
    place.now = 2_000;
    assert.equal(await ring.findByToken(expiring.token), undefined);

    await ring.revoke(revoked.key.id);
    await ring.revoke(revoked.key.id);
    assert.equal(await ring.findByToken(revoked.token), undefined);
    await assert.rejects(ring.revoke(id("LKZZZZZZZZZZZZZZZZZZ")), (error) =>
      isPlatformError(error, "ResourceNotFound"),
    );
  });

  it("never gives an id twice, and stops at its limit", async () => {
    await using place = await keyPlace();
    const ring = await place.open();
    const imported = { id: id("AKIAIOSFODNN7EXAMPLE"), secret: "x".repeat(20) };
    const { key } = await ring.create({ ...PLAIN, imported });
    await ring.revoke(key.id);
    await assert.rejects(ring.create({ ...PLAIN, imported }), (error) =>
      isPlatformError(error, "ResourceConflict"),
    );

    for (let made = 1; made < KEYS_MAX; made++) await ring.create(PLAIN);
    await assert.rejects(ring.create(PLAIN), (error) => isPlatformError(error, "InvalidRequest"));
  });

  it("reads the store again after a failed read", async () => {
    await using place = await keyPlace();
    await place.open();
    const token = await place.adminToken();
    let fails = true;
    const ring = await openKeyRing({
      dir: place.dir,
      keys: {
        findKey: async () => undefined,
        saveKey: async () => undefined,
        listKeys: async () => {
          if (fails) throw new Error("disk");
          return [...place.records.values()];
        },
      },
      clock: { now: () => 1, monotonic: () => 1, sleep: async () => undefined },
    });
    await assert.rejects(ring.findByToken(token), /disk/);
    fails = false;
    assert.ok(await ring.findByToken(token));
  });
});

describe("allowsScope", () => {
  const table = {
    invoke: ["invoke"],
    read: ["read"],
    replay: ["replay"],
    deploy: ["read", "deploy"],
    admin: ["invoke", "read", "replay", "deploy", "admin"],
  } as const;
  for (const [held, allowed] of Object.entries(table)) {
    it(`${held} allows ${allowed.join(", ")} and nothing else`, () => {
      const scopes = (["invoke", "read", "replay", "deploy", "admin"] as const).filter((scope) =>
        allowsScope({ scopes: [held as "admin"] }, scope),
      );
      assert.deepEqual(scopes, allowed);
    });
  }
});

describe("allowsFunction", () => {
  for (const [pattern, name, isAllowed] of [
    ["*", "greet", true],
    ["greet", "greet", true],
    ["greet", "greet2", false],
    ["greet", "Greet", false],
    ["team-*", "team-a", true],
    ["team-*", "team-", true],
    ["team-*", "xteam-a", false],
    ["*-prod", "a-prod", true],
    ["*-prod", "a-prod2", false],
    ["a*b*c", "aXbXbXc", true],
    ["a*b*c", "aXc", false],
    ["a.c", "abc", false],
    ["", "a", false],
  ] as const) {
    it(`${JSON.stringify(pattern)} ${isAllowed ? "covers" : "does not cover"} ${name}`, () => {
      assert.equal(allowsFunction({ functions: pattern }, name), isAllowed);
    });
  }

  it("takes no exponential time", () => {
    const cpuMs = cpuMsOf(() =>
      assert.equal(allowsFunction({ functions: `${"*a".repeat(30)}b` }, "a".repeat(64)), false),
    );
    assert.ok(cpuMs < 100, `${cpuMs} ms of CPU`);
  });
});
