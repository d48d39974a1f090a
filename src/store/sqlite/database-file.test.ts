import assert from "node:assert/strict";
import { appendFile, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, describe, it } from "node:test";
import { systemClock } from "../../core/clock.ts";
import { type ErrorCode, isPlatformError } from "../../core/errors.ts";
import { silentLog } from "../../core/log.ts";
import { sampleFunction, sampleName, sampleVersion } from "../samples.fake.ts";
import { Connection } from "./connection.ts";
import { openDatabaseFile } from "./database-file.ts";
import { type Migration, readMigrations } from "./migrations.ts";
import { openSqliteStore, requireSoundSqlite } from "./sqlite-store.ts";

const root = await mkdtemp(join(tmpdir(), "lambdad-file-"));
after(() => rm(root, { recursive: true }));
let count = 0;
const newDir = () => join(root, `${++count}`);
const open = (dir: string) => openSqliteStore({ dir, log: silentLog, clock: systemClock });

/** A data folder with a function in it, closed. */
async function usedFolder(functions = 1): Promise<{ readonly dir: string; readonly file: string }> {
  const dir = newDir();
  await using store = await open(dir);
  for (let index = 0; index < functions; index++) {
    await store.registry.saveFunction(sampleFunction(`f${index}`), sampleVersion(`f${index}`, "1"));
  }
  return { dir, file: join(dir, "lambdad.db") };
}

function alter(file: string, sql: string): void {
  const database = new DatabaseSync(file);
  database.exec(sql);
  database.close();
}

async function refuses(dir: string, code: ErrorCode, words: RegExp): Promise<void> {
  await assert.rejects(open(dir), (error) => {
    assert.ok(isPlatformError(error, code), String(error));
    assert.match(error.message, words);
    return true;
  });
}

describe("a data folder that is not ours to open is refused and stays as it is", () => {
  const cases: readonly [string, (file: string) => void | Promise<void>, RegExp][] = [
    [
      "a newer schema",
      (file) => alter(file, "PRAGMA user_version = 99"),
      /schema 99, .* up to \d+: use|schema 99, this lambdad knows schemas up to \d+; use the newer lambdad/,
    ],
    [
      "another program's database",
      (file) => alter(file, "PRAGMA application_id = 5"),
      /another program \(application id 5\); choose another folder/,
    ],
    ["a text file", (file) => writeFile(file, "hello ".repeat(100)), /damaged \(no SQLite header\); restore/],
    ["an empty file", (file) => truncate(file, 0), /damaged \(no SQLite header\); restore/],
    ["a file cut off", async (file) => truncate(file, (await stat(file)).size - 4096), /damaged/],
    [
      "a schema of other migrations",
      (file) => alter(file, "UPDATE migration SET checksum = 'x'"),
      /not made by migration 0001/,
    ],
  ];
  for (const [why, spoil, words] of cases) {
    it(why, async () => {
      const { dir, file } = await usedFolder();
      await spoil(file);
      const before = await readFile(file);
      await refuses(dir, "DataFolderMismatch", words);
      assert.deepEqual(await readFile(file), before);
      assert.deepEqual(
        (await readdir(dir)).filter((name) => name !== "lambdad.lock"),
        ["lambdad.db"],
      );
    });
  }

  it("a write-ahead log whose database is gone", async () => {
    const { dir, file } = await usedFolder();
    await rm(file);
    await writeFile(`${file}-wal`, "log");
    await refuses(dir, "DataFolderMismatch", /is gone but its write-ahead log is there; restore/);
    assert.equal(await readFile(`${file}-wal`, "utf8"), "log");
  });
});

it("starts over when the first start was cut short", async () => {
  const dir = newDir();
  await (await open(dir))[Symbol.asyncDispose]();
  await rm(join(dir, "lambdad.db"));
  await writeFile(join(dir, "lambdad.db.new"), "half a draft");
  await using store = await open(dir);
  await store.registry.saveFunction(sampleFunction("f"));
  assert.deepEqual((await readdir(dir)).includes("lambdad.db.new"), false);
});

it("keeps its files for nobody else to read, also the log", async () => {
  const dir = newDir();
  await using store = await open(dir);
  await store.registry.saveFunction(sampleFunction("f"));
  const files = await readdir(dir);
  assert.ok(files.includes("lambdad.db-wal"));
  for (const file of files) assert.equal((await stat(join(dir, file))).mode & 0o777, 0o600, file);
});

it("lets go of the folder when it cannot be opened", async () => {
  const { dir, file } = await usedFolder();
  const good = await readFile(file);
  await truncate(file, 0);
  await refuses(dir, "DataFolderMismatch", /damaged/);
  await writeFile(file, good);
  await using store = await open(dir);
  assert.equal(await store.registry.countFunctions(), 1);
});

it("ignores what a crash left half-written at the end of the log", async () => {
  const { dir, file } = await usedFolder();
  await using store = await open(dir);
  await store.registry.saveFunction(sampleFunction("g"));
  const copy = newDir();
  await using _other = await open(copy);
  await _other[Symbol.asyncDispose]();
  await writeFile(join(copy, "lambdad.db"), await readFile(file));
  await writeFile(join(copy, "lambdad.db-wal"), await readFile(`${file}-wal`));
  await appendFile(join(copy, "lambdad.db-wal"), "half a frame".repeat(50));
  await using reopened = await open(copy);
  assert.equal(await reopened.registry.countFunctions(), 2);
});

it("never gives a wrong answer from a damaged database", async () => {
  const { dir, file } = await usedFolder(40);
  const good = await readFile(file);
  let noticed = 0;
  for (let damage = 0; damage < 60; damage++) {
    const bad = Buffer.from(good);
    const offset = Math.floor(Math.random() * bad.length);
    bad.writeUInt8(bad.readUInt8(offset) ^ (1 << (damage % 8)), offset);
    await writeFile(file, bad);
    try {
      await using store = await open(dir);
      for (let index = 0; index < 40; index++) {
        const name = sampleName(`f${index}`);
        assert.deepEqual(await store.registry.findFunction(name), sampleFunction(name), `offset ${offset}`);
        assert.deepEqual(
          await store.registry.findVersion(name, 1),
          sampleVersion(name, "1"),
          `offset ${offset}`,
        );
      }
      assert.deepEqual(await store.registry.codeInUse(), {
        treeIds: new Set(["tree-a"]),
        archives: new Set(["archive-a"]),
      });
    } catch (error) {
      assert.ok(isPlatformError(error), `offset ${offset}, bit ${damage % 8}: ${error}`);
      noticed++;
    }
  }
  assert.ok(noticed > 3, `${noticed} of 60 noticed; the rest was in unused space`);
});

describe("migrations", () => {
  const present = readMigrations();
  const number = present.length + 1;
  const more: Migration = {
    number,
    name: "9998-more.sql",
    sql: "CREATE TABLE more (x INTEGER) STRICT",
    checksum: "c2",
  };

  it("bring an older database up to date, and keep what is in it", async () => {
    const { file } = await usedFolder();
    const { reader } = openDatabaseFile(file, [...present, more], 5);
    assert.equal(reader.get("PRAGMA user_version")?.user_version, number);
    assert.equal(reader.get("SELECT count(*) AS n FROM function")?.n, 1);
    assert.deepEqual(
      { ...reader.get("SELECT * FROM migration WHERE number = ?", number) },
      { number, name: "9998-more.sql", checksum: "c2", applied_at: 5 },
    );
    reader.close();
    await assert.rejects(
      async () => openDatabaseFile(file, present, 6),
      (error) => isPlatformError(error, "DataFolderMismatch"),
    );
  });

  it("leave an older database as it was if one of them fails", async () => {
    const { dir, file } = await usedFolder();
    const bad: Migration = {
      number: number + 1,
      name: "9999-bad.sql",
      sql: "CREATE TABLE x (y INTEGER) STRICT; SELECT nothing",
      checksum: "c3",
    };
    assert.throws(
      () => openDatabaseFile(file, [...present, more, bad], 5),
      (error) => isPlatformError(error, "StoreUnavailable"),
    );
    const connection = Connection.open(file);
    assert.equal(connection.get("PRAGMA user_version")?.user_version, present.length);
    assert.equal(connection.get("SELECT count(*) AS n FROM sqlite_schema WHERE name IN ('more', 'x')")?.n, 0);
    connection.close();
    await using _store = await open(dir);
  });
});

for (const [version, isSound] of [
  ["3.51.2", false],
  ["3.50.9", false],
  ["2.99.99", false],
  [undefined, false],
  ["nonsense", false],
  ["3.51.3", true],
  ["3.52.1", true],
  ["3.100.0", true],
  ["4.0.0", true],
] as const) {
  it(`${isSound ? "trusts" : "refuses"} SQLite ${version}`, () => {
    const check = () => requireSoundSqlite(version);
    if (isSound) check();
    else
      assert.throws(
        check,
        (error) => isPlatformError(error, "StoreUnavailable") && /use Node 24\.21/.test(error.message),
      );
  });
}
