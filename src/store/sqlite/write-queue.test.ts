import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, it } from "node:test";
import { isPlatformError } from "../../core/errors.ts";
import { sampleKey } from "../samples.fake.ts";
import { openDatabaseFile } from "./database-file.ts";
import { keyDocument } from "./documents.ts";
import { readMigrations } from "./migrations.ts";
import { startWriteQueue } from "./write-queue.ts";

const root = await mkdtemp(join(tmpdir(), "lambdad-queue-"));
after(() => rm(root, { recursive: true }));

function newDatabase(name: string): string {
  const file = join(root, name);
  openDatabaseFile(file, readMigrations(), 1).reader.close();
  return file;
}

const key = sampleKey("AAAAAAAAAAAAAAAAAAAA");
const row = { id: key.id, ...keyDocument(key) };

it("finishes what was asked for before it closes, and refuses what comes after", async () => {
  const queue = startWriteQueue(newDatabase("closing.db"));
  const writes = Array.from({ length: 3_000 }, () => queue.write("saveKey", row));
  const closed = queue[Symbol.asyncDispose]();
  await assert.rejects(queue.write("saveKey", row), (error) => isPlatformError(error, "ShuttingDown"));
  await Promise.all(writes);
  await closed;
  await queue[Symbol.asyncDispose]();
});

it("refuses more writes than may wait, and does those that wait", async () => {
  await using queue = startWriteQueue(newDatabase("full.db"));
  const settled = await Promise.allSettled(Array.from({ length: 25_000 }, () => queue.write("saveKey", row)));
  const refused = settled.filter((result) => result.status === "rejected");
  assert.ok(refused.length > 0 && refused.length <= 5_000, `${refused.length} refused`);
  assert.ok(refused.every(({ reason }) => isPlatformError(reason, "StoreUnavailable")));
});

it("fails what waits and all that comes when the writer dies, and says so once", async () => {
  const queue = startWriteQueue(join(root, "no-such-folder", "lambdad.db"));
  await assert.rejects(queue.write("saveKey", row), (error) => isPlatformError(error, "StoreUnavailable"));
  await assert.rejects(queue.failed, (error) => isPlatformError(error, "StoreUnavailable"));
  await assert.rejects(queue.write("saveKey", row), (error) => isPlatformError(error, "StoreUnavailable"));
  await queue[Symbol.asyncDispose]();
});
