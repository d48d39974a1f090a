import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { secretMask } from "./build-inputs.ts";

describe("secretMask", () => {
  const maskOf = (...values: readonly string[]) =>
    secretMask({
      args: {},
      secrets: new Map(values.map((value, index) => [String(index), new TextEncoder().encode(value)])),
    });
  it("takes out every line of every secret, the longest first", () => {
    const mask = maskOf("token-1\n", "first line\r\ntoken-12345\r\n");
    assert.equal(mask("a token-1 b token-12345 c first line"), "a *** b *** c ***");
  });
  it("leaves words that are too short to be known", () => assert.equal(maskOf("ab\n\n")("ab cab"), "ab cab"));
});
