import assert from "node:assert/strict";
import { it } from "node:test";
import { deployUnderLoad } from "../../bench/switch.ts";

it("fails no call and answers none from an old version in 100 deploys under 500 calls a second", async () => {
  const { calls, deploysMs } = await deployUnderLoad();
  assert.equal(deploysMs.length, 100);
  assert.ok(calls.requests >= 5_000, `${calls.requests} calls`);
  assert.deepEqual({ failed: calls.failed, stale: calls.stale }, { failed: 0, stale: 0 });
});
