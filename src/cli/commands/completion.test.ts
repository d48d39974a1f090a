import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fakeFunction, startFakeControl } from "../control-server.fake.ts";
import { LAMBDA, openLambda } from "../lambda-process.fake.ts";

describe("lambda completion bash", () => {
  for (const [typed, offered] of [
    ["dep", ["deploy"]],
    ["alias ", ["list", "set", "delete"]],
    ["--json keys cr", ["create"]],
    ["--server http://x al", ["alias"]],
    ["deploy x --kind ", ["handler", "lifecycle", "server", "filter"]],
    ["init x --template py", ["python"]],
    ["completion z", ["zsh"]],
    ["logs greet --fol", ["--follow"]],
  ] as const) {
    it(`offers ${offered.join(", ")} after ${JSON.stringify(typed)}`, async () => {
      await using lambda = await openLambda("http://127.0.0.1:1");
      const { stdout } = await lambda.run(["completion", "bash"]);
      assert.deepEqual(complete(stdout, typed, {}), offered);
    });
  }

  it("offers the functions that there are", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/functions", { json: { functions: [fakeFunction("greet"), fakeFunction("resize")] } });
    const ran = await lambda.run(["completion", "bash"]);
    assert.match(ran.stdout, /lambda list --quiet/);
    const bin = join(lambda.dir, "bin");
    await mkdir(bin);
    await symlink(LAMBDA, join(bin, "lambda"));
    // Not by complete(): a blocked event loop could not answer the names.
    const completed = await lambda.run(["list", "--quiet"]);
    assert.equal(completed.stdout, "greet\nresize\n");
  });
});

describe("lambda completion", () => {
  for (const shell of ["zsh", "fish"]) {
    it(`names every command for ${shell}`, async () => {
      await using lambda = await openLambda("http://127.0.0.1:1");
      const { stdout } = await lambda.run(["completion", shell]);
      for (const word of ["deploy", "rollback", "doctor", "lifecycle", "--split", "revoke"]) {
        assert.ok(stdout.includes(shell === "fish" ? word.replace(/^--/, "") : word), word);
      }
    });
  }
});

/** What bash would offer after `lambda TYPED`. */
function complete(script: string, typed: string, env: Record<string, string>): string[] {
  const program = `${script}
COMP_WORDS=(lambda ${typed}${typed.endsWith(" ") ? "''" : ""})
COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
_lambda
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const offered = execFileSync("bash", ["-c", program], {
    encoding: "utf8",
    env: { PATH: process.env.PATH, ...env },
  });
  return offered.trim().split("\n");
}
