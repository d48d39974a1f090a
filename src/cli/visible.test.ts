import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { visible, visibleJson, visibleLines } from "./visible.ts";

/** Written otherwise than in the code under test: by ranges of numbers. */
function isHazard(character: string): boolean {
  const code = character.codePointAt(0) ?? 0;
  const isControl = code < 0x20 || (code >= 0x7f && code <= 0x9f);
  const isDirection = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
  return isControl || isDirection;
}

describe("visible", () => {
  for (const [what, text, expected] of [
    ["text of any language", "naïve 日本 👩‍👩‍👧 עברית", "naïve 日本 👩‍👩‍👧 עברית"],
    ["a tab", "a\tb", "a\tb"],
    ["a colour", "\u001b[31mred\u001b[0m", "\\x1b[31mred\\x1b[0m"],
    ["a window title (OSC)", "\u001b]0;pwned\u0007", "\\x1b]0;pwned\\x07"],
    ["a clipboard write (OSC 52)", "\u001b]52;c;cm0gLXJm\u001b\\", "\\x1b]52;c;cm0gLXJm\\x1b\\"],
    ["a C1 control sequence introducer", "\u009b2J", "\\x9b2J"],
    ["a C1 device control string", "\u0090q\u009c", "\\x90q\\x9c"],
    ["a carriage return that hides what was before", "rm -rf /\rls", "rm -rf /\\rls"],
    ["a line feed", "one\ntwo", "one\\ntwo"],
    ["backspaces", "ab\b\bc", "ab\\x08\\x08c"],
    ["a null and a delete", "\u0000\u007f", "\\x00\\x7f"],
    ["a right-to-left override", "user\u202egnp.exe", "user\\u{202e}gnp.exe"],
    ["isolates and marks", "\u2066a\u2069\u200f\u061c", "\\u{2066}a\\u{2069}\\u{200f}\\u{61c}"],
    ["line and paragraph separators", "a\u2028b\u2029c", "a\\u{2028}b\\u{2029}c"],
    ["invisible tags", "a\u{e0041}b", "a\\u{e0041}b"],
    ["a byte order mark", "\ufeffa", "\\u{feff}a"],
  ] as const) {
    it(`${what}`, () => assert.equal(visible(text), expected));
  }

  it("leaves nothing that a terminal would act on, whatever it is given", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        assert.deepEqual(
          [...visible(text)].filter((character) => character !== "\t" && isHazard(character)),
          [],
        );
      }),
    );
  });
});

describe("visibleLines", () => {
  it("keeps the line ends of text and nothing else", () => {
    assert.equal(visibleLines("one\r\ntwo\u001b[2J\nthree"), "one\ntwo\\x1b[2J\nthree");
  });
});

describe("visibleJson", () => {
  it("prints the same value without a character that could act", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: "binary" }), (value) => {
        const text = visibleJson(JSON.stringify(value));
        assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
        assert.deepEqual(
          [...text].filter((character) => isHazard(character)),
          [],
        );
      }),
    );
  });
});
