import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { ROOT, skipWithout, startDaemon, type TestDaemon } from "../e2e/daemon.fake.ts";
import { REAL_APPS, REAL_CALLS } from "../real-code/calls.ts";

/** Applications of widely used frameworks, unchanged: their packages are installed by the deploy. */
describe("real applications", () => {
  let daemon: TestDaemon;
  before(async () => {
    daemon = await startDaemon();
  });
  after(() => daemon[Symbol.asyncDispose]());

  for (const { folder, tool } of REAL_APPS) {
    const skip = skipWithout(tool, spawnSync(tool, ["--version"]).status === 0);
    it(`serves ${folder} through its Lambda adapter`, { skip }, async () => {
      await daemon.deploy(
        join(ROOT, "tests/real-code", folder),
        folder,
        "--timeout",
        "20",
        "--memory",
        "512",
      );
      for (const { method, path, query, body, status, answer, cookie } of REAL_CALLS) {
        const sent = await daemon.call(folder, query ? `${path}?${query}` : path, {
          method,
          headers: { "content-type": "application/json" },
          ...(body !== undefined && { body }),
        });
        assert.deepEqual([sent.status, JSON.parse(sent.text)], [status, answer]);
        if (cookie) assert.match(String(sent.headers["set-cookie"]), new RegExp(`^${cookie}`));
      }
    });
  }
});
