import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, cp, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout as sleepFor } from "node:timers/promises";

/** Of a system's own, since others' are often where only root may look. */
const PROGRAMS = [
  ["python", ["/usr/bin/python3", "-S", "-B", "main.py"]],
  ["nodejs", ["/usr/bin/node", "main.cjs"]],
] as const;
const NOBODY = 65_534;
const EARLY_MS = 300;

for (const [name, [program, ...args]] of PROGRAMS) {
  const skip = process.getuid?.() === 0 ? false : "needs root";

  it(`waits for a socket that it may not connect to yet (${name})`, { skip }, async (test) => {
    const folder = await mkdtemp(join(tmpdir(), "early-"));
    await chmod(folder, 0o755);
    await cp(new URL(`../../../runtimes/${name}`, import.meta.url), join(folder, "runtime"), {
      recursive: true,
    });
    const path = join(folder, "socket");
    // As listening does it: made for its owner only, and opened to others behind that.
    const server = createServer().listen(path);
    await once(server, "listening");
    const child = spawn(program, args, {
      cwd: join(folder, "runtime"),
      env: { _LAMBDAD_SOCKET: path },
      uid: NOBODY,
      gid: NOBODY,
      stdio: "ignore",
    });
    try {
      const spawned = await Promise.race([once(child, "spawn"), once(child, "error").then(() => undefined)]);
      if (!spawned) {
        assert.notEqual(process.env.REQUIRE_ALL, "1", `${program} is not installed`);
        return test.skip(`${program} is not installed`);
      }
      const ended = once(child, "exit").then(([code]) => `it ended with ${code}`);
      await chmod(path, 0o600);
      await Promise.race([sleepFor(EARLY_MS), ended]);
      const connected = once(server, "connection").then(() => "connected");
      await chmod(path, 0o666);
      assert.equal(await Promise.race([connected, ended]), "connected");
    } finally {
      child.kill("SIGKILL");
      server.close();
      await rm(folder, { recursive: true });
    }
  });
}
