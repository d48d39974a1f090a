import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, it } from "node:test";
import { sampleFunction, sampleVersion } from "../samples.fake.ts";
import { Connection } from "./connection.ts";
import { openDatabaseFile } from "./database-file.ts";
import { functionDocument, versionDocument } from "./documents.ts";
import { runGroup } from "./group-transaction.ts";
import { readMigrations } from "./migrations.ts";
import type { Reply, WriteRequest } from "./writer-messages.ts";

let dir: string;
let connection: Connection;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "lambdad-group-"));
  const file = join(dir, "lambdad.db");
  openDatabaseFile(file, readMigrations(), 1).reader.close();
  connection = Connection.open(file);
});
afterEach(() => {
  connection.close();
  rmSync(dir, { recursive: true });
});

function save(
  name: string,
  generation = 1,
  more: { readonly publish?: number; readonly padding?: string } = {},
): WriteRequest {
  const record = sampleFunction(name, { generation, tags: { padding: more.padding ?? "" } });
  const columns = { treeId: "t", archiveSha256: "a" };
  const version = more.publish && sampleVersion(name, `${more.publish}`);
  return {
    name: "saveFunction",
    args: {
      ...columns,
      ...functionDocument(record),
      name,
      generation,
      urlIds: [],
      published: version ? { ...columns, ...versionDocument(version), number: more.publish ?? 0 } : undefined,
    },
  };
}

function names(): string[] {
  return connection.all("SELECT name FROM function ORDER BY name").map(({ name }) => String(name));
}

function codes(replies: readonly Reply[]): string[] {
  return replies.map((reply) => (reply.isDone ? "done" : reply.code));
}

it("does the neighbours of one that fails, and nothing of that one", () => {
  const replies = runGroup(connection, [
    save("a", 1, { publish: 1 }),
    save("a"),
    save("b", 7),
    // It replaces the row before it finds that version 1 is there.
    save("a", 2, { publish: 1 }),
    save("c"),
    { name: "deleteFunction", args: { name: "nobody" } },
  ]);
  assert.deepEqual(codes(replies), [
    "done",
    "FunctionExists",
    "FunctionNotFound",
    "ResourceConflict",
    "done",
    "done",
  ]);
  assert.deepEqual(replies.at(-1), { isDone: true, value: false });
  assert.deepEqual(names(), ["a", "c"]);
  assert.equal(connection.get("SELECT generation FROM function WHERE name = 'a'")?.generation, 1);
});

it("sees in a group what came before in it", () => {
  assert.deepEqual(codes(runGroup(connection, [save("a"), save("a", 2), save("a", 3)])), [
    "done",
    "done",
    "done",
  ]);
});

it("fails all of a group with StorageFull when the disk is full, keeps none of it, and works again when it is not", () => {
  runGroup(connection, [save("before")]);
  const pages = Number(connection.get("PRAGMA page_count")?.page_count);
  connection.exec(`PRAGMA max_page_count = ${pages + 5}`);
  const replies = runGroup(connection, [
    save("small"),
    save("large", 1, { padding: "x".repeat(100_000) }),
    save("after"),
  ]);
  assert.deepEqual(codes(replies), ["StorageFull", "StorageFull", "StorageFull"]);
  assert.deepEqual(names(), ["before"]);
  connection.exec("PRAGMA max_page_count = 1000000");
  assert.deepEqual(codes(runGroup(connection, [save("large", 1, { padding: "x".repeat(100_000) })])), [
    "done",
  ]);
});

it("answers StoreUnavailable when nothing can be written", () => {
  connection.becomeReader();
  assert.deepEqual(codes(runGroup(connection, [save("a"), save("b")])), [
    "StoreUnavailable",
    "StoreUnavailable",
  ]);
  assert.deepEqual(names(), []);
});

it("keeps a mistake in an operation to itself", () => {
  const wrong = { name: "deleteFunction", args: undefined } as unknown as WriteRequest;
  assert.deepEqual(codes(runGroup(connection, [save("a"), wrong, save("b")])), ["done", "Internal", "done"]);
  assert.deepEqual(names(), ["a", "b"]);
});
