import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, it } from "node:test";
import { newInvocationId } from "../core/ids.ts";
import { silentLog } from "../core/log.ts";
import { SHADOW_DIFFERENCES_MAX, type ShadowDifference } from "../core/shadow.ts";
import { sampleName } from "../store/samples.fake.ts";
import { openShadowReports } from "./shadow-reports.ts";

const folder = await mkdtemp(join(tmpdir(), "shadow-reports-test-"));
after(() => rm(folder, { recursive: true, force: true }));

const open = (dir: string) => openShadowReports({ dir, log: silentLog });
const newDir = async () => join(await mkdtemp(join(folder, "data-")), "shadows");
const f = sampleName("f");
const ref = { key: "f", startedAt: 5 };

function difference(at: number): ShadowDifference {
  const side = () => ({ invocationId: newInvocationId() });
  return { at, functionName: f, method: "GET", what: ["body"], live: side(), shadow: side() };
}

it("counts, and keeps the first differences", async () => {
  await using reports = open(await newDir());
  for (let at = 1; at <= SHADOW_DIFFERENCES_MAX + 5; at += 1) {
    reports.compared(ref, { kind: "different", liveMs: 10, shadowMs: 20, difference: difference(at) });
  }
  reports.compared(ref, { kind: "same", liveMs: 10, shadowMs: 20 });
  reports.compared(ref, { kind: "failed", liveMs: 10, shadowMs: 0 });
  reports.compared(ref, { kind: "not-compared", liveMs: 10, shadowMs: 20 });
  reports.skipped(ref, "method");
  const report = await reports.find(ref);
  assert.deepEqual(report?.counts, {
    copied: SHADOW_DIFFERENCES_MAX + 8,
    same: 1,
    different: SHADOW_DIFFERENCES_MAX + 5,
    failed: 1,
    notCompared: 1,
    skipped: { method: 1, size: 0, busy: 0, failed: 0 },
  });
  assert.deepEqual(
    report.differences.map(({ at }) => at),
    Array.from({ length: SHADOW_DIFFERENCES_MAX }, (_, index) => index + 1),
  );
  assert.ok((report.liveMs?.p50 ?? 0) < 11 && (report.shadowMs?.p50 ?? 0) > 19);
});

it("has after a restart what it had, readable by nobody else, and counts on", async () => {
  const dir = await newDir();
  {
    await using reports = open(dir);
    reports.compared(ref, { kind: "different", liveMs: 10, shadowMs: 20, difference: difference(1) });
    reports.skipped({ key: "@shop", startedAt: 7 }, "busy");
  }
  assert.deepEqual((await readdir(dir)).sort(), ["function-f.json", "project-shop.json"]);
  assert.equal((await stat(join(dir, "function-f.json"))).mode & 0o077, 0);
  await using reports = open(dir);
  reports.compared(ref, { kind: "same", liveMs: 30, shadowMs: 20 });
  const report = await reports.find(ref);
  assert.deepEqual([report?.counts.copied, report?.counts.same, report?.differences.length], [2, 1, 1]);
  assert.ok((report?.liveMs?.p99 ?? 0) > 29);
});

it("is of the latest shadow only, which copies of an earlier one cannot change", async () => {
  await using reports = open(await newDir());
  const next = { key: "f", startedAt: 6 };
  reports.skipped(ref, "method");
  reports.skipped(next, "size");
  reports.skipped(ref, "method");
  assert.equal(await reports.find(ref), undefined);
  assert.deepEqual((await reports.find(next))?.counts.skipped, { method: 0, size: 1, busy: 0, failed: 0 });
});

it("goes with its function, and begins anew where it cannot be read", async () => {
  const dir = await newDir();
  {
    await using reports = open(dir);
    reports.skipped(ref, "method");
    reports.skipped({ key: "g", startedAt: 1 }, "method");
  }
  await writeFile(join(dir, "function-g.json"), "{");
  await using reports = open(dir);
  reports.functionChanged(f, {});
  assert.ok(await reports.find(ref));
  reports.functionChanged(f, undefined);
  assert.equal(await reports.find(ref), undefined);
  assert.deepEqual(await readdir(dir), ["function-g.json"]);
  reports.skipped({ key: "g", startedAt: 1 }, "busy");
  assert.equal((await reports.find({ key: "g", startedAt: 1 }))?.counts.skipped.busy, 1);
});
