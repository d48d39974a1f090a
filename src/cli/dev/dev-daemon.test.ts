import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { isPortTaken } from "./dev-daemon.ts";

/** Between looking whether a port is free and listening on it, somebody else may be quicker. */
it("knows from what lambdad says that one of its ports is taken", async () => {
  await using taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const address = taken.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const data = await mkdtemp(join(tmpdir(), "lambda-port-"));
  const lambdad = join(import.meta.dirname, "../../../bin/lambdad");
  const flags = ["--data", data, "--control", "127.0.0.1:0", "--allow-unsandboxed", "--gateway"];
  try {
    const words = await new Promise<string>((resolve) => {
      execFile(lambdad, [...flags, `127.0.0.1:${port}`], (_, __, stderr) => resolve(stderr));
    });
    assert.ok(isPortTaken(words), words);
    assert.ok(!isPortTaken("lambdad: DataFolderInUse: another lambdad runs with it"));
  } finally {
    await rm(data, { recursive: true, force: true });
  }
});
