import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import { never } from "./depot-place.fake.ts";
import { checkSyntax, type Language, type Parsers } from "./syntax.ts";

const PROGRAMS: Readonly<Partial<Record<Language, string>>> = {
  javascript: process.execPath,
  python: "python3",
  ruby: "ruby",
};
const parsers: Parsers = {
  environment: { PATH: process.env.PATH ?? "" },
  find: async (language) => PROGRAMS[language],
};

function lacks(program: string): string | false {
  if (process.env.REQUIRE_ALL === "1" || spawnSync(program, ["--version"]).status === 0) return false;
  return `${program} is not installed`;
}

describe("checkSyntax", () => {
  let dir = "";
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "lambdad-syntax-"));
  });
  after(() => rm(dir, { recursive: true, force: true }));

  async function complaint(file: string, text: string | Uint8Array): Promise<string> {
    await writeFile(join(dir, file), text);
    try {
      await checkSyntax(parsers, dir, file, { signal: never });
      return "";
    } catch (error) {
      assert.ok(isPlatformError(error, "InvalidSyntax"), String(error));
      return error.message;
    }
  }

  for (const [file, text] of [
    ["a.mjs", "export const handler = async () => { await 1; };\n"],
    ["a.js", "export const a = 1;\nawait a;\n"],
    ["b.js", 'const fs = require("fs");\nreturn;\n'],
    ["c.cjs", "#!/usr/bin/env node\nwith (Math) { exports.a = PI; }\n"],
    ["d.mjs", "throw new Error('it would be run');\n"],
    ["e.json", "{"],
    ["f.ts", "const a: = 1;"],
  ] as const) {
    it(`says nothing about ${file}: ${JSON.stringify(text)}`, async () => {
      assert.equal(await complaint(file, text), "");
    });
  }

  it("tells place and lines of JavaScript", async () => {
    assert.equal(
      await complaint("a.mjs", "const a = 1;\n\tconst b = ;\n\nexport default a;\n"),
      "a.mjs:2:12 does not parse: Unexpected token ';'\n" +
        "  1 | const a = 1;\n> 2 |   const b = ;\n    |             ^\n  3 |\n  4 | export default a;",
    );
  });

  it("tells of a file without a type what is wrong with the module that it is", async () => {
    assert.match(
      await complaint("m.js", 'import fs from "node:fs";\nexport const a = ;\n'),
      /^m\.js:2:18 does not parse: Unexpected token ';'/,
    );
    assert.match(await complaint("m.cjs", "export const a = 1;\n"), /^m\.cjs:1:1 does not parse: .*'export'/);
  });

  it("tells the end of a file that stops too soon", async () => {
    assert.match(await complaint("end.mjs", "export const a = () => {\n"), /^end\.mjs:\d+/);
  });

  describe("of Python", { skip: lacks("python3") }, () => {
    it("tells the place, and says nothing about what is only wrong when it runs", async () => {
      assert.equal(
        await complaint("a.py", "import os\ndeff handler(event, context):\n    pass\n"),
        "a.py:2:6 does not parse: invalid syntax\n" +
          "  1 | import os\n> 2 | deff handler(event, context):\n    |      ^\n  3 |     pass\n  4 |",
      );
      assert.equal(await complaint("b.py", "import nothing_like_this\n1 / 0\n"), "");
      assert.match(await complaint("c.py", "a = 1\0\n"), /^c\.py.* does not parse: .*null/);
      assert.match(
        await complaint("d.py", Buffer.from("a = '\xff'\n", "latin1")),
        /^d\.py.* does not parse: /,
      );
    });
  });

  it("tells the line of Ruby", { skip: lacks("ruby") }, async () => {
    assert.match(
      await complaint("a.rb", "def handler(event:, context:)\n  1 +\nend\n"),
      /^a\.rb:\d does not parse: /,
    );
    assert.equal(await complaint("b.rb", "raise 'it would be run'\n"), "");
  });

  it("says nothing where there is no parser, or it cannot be started", async () => {
    await writeFile(join(dir, "x.mjs"), "(");
    for (const program of [undefined, join(dir, "no-such-program")])
      await checkSyntax({ ...parsers, find: async () => program }, dir, "x.mjs", { signal: never });
  });

  it("ends with the reason when it is aborted", async () => {
    const reason = new Error("gone");
    await writeFile(join(dir, "y.mjs"), "1");
    await assert.rejects(checkSyntax(parsers, dir, "y.mjs", { signal: AbortSignal.abort(reason) }), reason);
  });
});
