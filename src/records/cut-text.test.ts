import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { cutText, endOfText } from "./cut-text.ts";

it("leaves a text alone that fits", () => {
  assert.deepEqual(cutText("grün", 5), { text: "grün", bytes: 5, cutBytes: 0 });
  assert.equal(endOfText("grün", 5), "grün");
});

it("cuts before a character that does not fit as a whole", () => {
  assert.deepEqual(cutText("a\u{1F600}b", 4), { text: "a", bytes: 1, cutBytes: 5 });
  assert.equal(endOfText("a\u{1F600}b", 4), "b");
});

it("never has more bytes than allowed, nor half a character, and counts each byte once", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.nat(20), (text, bytesMax) => {
      const cut = cutText(text, bytesMax);
      assert.ok(Buffer.byteLength(cut.text) <= bytesMax && text.startsWith(cut.text));
      assert.equal(cut.bytes + cut.cutBytes, Buffer.byteLength(text));
      const end = endOfText(text, bytesMax);
      assert.ok(Buffer.byteLength(end) <= bytesMax && text.endsWith(end));
    }),
  );
});
