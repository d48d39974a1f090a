import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { findProgram } from "./program.ts";

describe("findProgram", () => {
  let folder = "";
  const find = (name: string, path = "/bin:/var/task/bin", workingDir = "/var/task") =>
    findProgram(name, {
      path,
      workingDir,
      mappings: [
        { inside: "/var/task", host: join(folder, "code") },
        { inside: "/var/task/bin", host: join(folder, "tools") },
        { inside: "/bin", host: join(folder, "bin") },
      ],
    });

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "program-"));
    await Promise.all(["code", "tools", "bin"].map((name) => mkdir(join(folder, name))));
    for (const name of ["code/bootstrap", "tools/tool", "bin/tool", "bin/only"]) {
      await writeFile(join(folder, name), "");
      await chmod(join(folder, name), 0o755);
    }
    await writeFile(join(folder, "code/data"), "", { mode: 0o644 });
    await symlink("/var/task/elsewhere", join(folder, "code/link"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  for (const [what, name, expected] of [
    ["an absolute path", "/var/task/bootstrap", "/var/task/bootstrap"],
    ["a path from the working folder", "./bootstrap", "/var/task/bootstrap"],
    ["a name on the PATH, first folder first", "tool", "/bin/tool"],
    ["a link that leads to a place inside", "./link", "/var/task/link"],
    ["the innermost of nested places", "/var/task/bin/tool", "/var/task/bin/tool"],
    ["nothing for a file that may not be run", "./data", undefined],
    ["nothing for a folder", "/var/task", undefined],
    ["nothing for what is missing", "absent", undefined],
    ["nothing for a name that is only in the code", "bootstrap", undefined],
    ["nothing outside what appears inside", "/etc/passwd", undefined],
    ["nothing by the way up and out", "/var/task/../../etc/passwd", undefined],
    ["nothing for a place that only begins alike", "/var/taskless/bootstrap", undefined],
  ] as const) {
    it(`finds ${what}`, async () => assert.equal(await find(name), expected));
  }

  it("skips folders on the PATH that are not absolute", async () => {
    assert.equal(await find("bootstrap", ".::/var/task"), "/var/task/bootstrap");
    assert.equal(await find("bootstrap", "."), undefined);
    assert.equal(await find("tool", ""), undefined);
  });
});
