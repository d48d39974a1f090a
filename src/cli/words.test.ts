import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { splitWords } from "./words.ts";

describe("splitWords", () => {
  for (const [text, words] of [
    ["./app", ["./app"]],
    ["  node  server.mjs\t--port 80 ", ["node", "server.mjs", "--port", "80"]],
    [`sh -c 'a | b "c"'`, ["sh", "-c", `a | b "c"`]],
    [`echo "say \\"hi\\" \\n"`, ["echo", `say "hi" \\n`]],
    [`a\\ b c""d ''`, ["a b", "cd", ""]],
    ['["./app","two words",""]', ["./app", "two words", ""]],
  ] as const) {
    it(`${text}`, () => assert.deepEqual(splitWords("--command", text), words));
  }
  for (const text of ["", "  ", "'open", 'say "hi', "end\\", "[", "[1]", "[]"]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => splitWords("--command", text), /--command: expected words like/);
    });
  }
});
