import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { freeSent, PassedMemory } from "./passed-memory.ts";

const SIZE = 64 * 1024;

/** Which of the pieces, given as [start, end], ends memory that was passed on as a whole. */
function endingOf(pieces: readonly (readonly [number, number])[], size = SIZE): readonly number[] {
  const memory = new ArrayBuffer(size);
  const passed = new PassedMemory();
  return pieces.flatMap(([start, end], index) => {
    const found = passed.endingWith(new Uint8Array(memory, start, end - start));
    assert.ok(found === undefined || found === memory);
    return found ? [index] : [];
  });
}

describe("PassedMemory", () => {
  for (const [why, pieces, wanted] of [
    ["in one piece", [[0, SIZE]], [0]],
    ["behind the head of a frame", [[13, SIZE]], [0]],
    [
      "in pieces, with heads between them",
      [
        [5, 100],
        [113, 5_000],
        [5_013, SIZE],
      ],
      [2],
    ],
  ] as const) {
    it(`knows memory that was passed on ${why}`, () => assert.deepEqual(endingOf(pieces), wanted));
  }

  for (const [why, pieces, size] of [
    ["that begins with something else", [[14, SIZE]], SIZE],
    [
      "with something else between",
      [
        [0, 100],
        [120, SIZE],
      ],
      SIZE,
    ],
    ["of which something is behind it", [[0, SIZE - 1]], SIZE],
    [
      "that is passed on twice",
      [
        [0, 100],
        [50, SIZE],
      ],
      SIZE,
    ],
    [
      "of which a part was passed on late",
      [
        [0, 100],
        [200, 300],
        [301, SIZE],
      ],
      SIZE,
    ],
    ["that is small", [[0, 1_000]], 1_000],
  ] as const) {
    it(`leaves memory alone ${why}`, () => assert.deepEqual(endingOf(pieces, size), []));
  }

  it("begins anew with other memory", () => {
    const passed = new PassedMemory();
    const [one, other] = [new Uint8Array(SIZE), new Uint8Array(SIZE)];
    assert.equal(passed.endingWith(one.subarray(20)), undefined);
    assert.equal(passed.endingWith(other), other.buffer);
    assert.equal(passed.endingWith(one), one.buffer);
  });

  it("is freed once it was sent, and not if that failed", () => {
    const { buffer } = new Uint8Array(SIZE);
    freeSent(buffer, new Error("the connection was lost"));
    assert.equal(buffer.byteLength, SIZE);
    for (let times = 0; times < 2; times++) freeSent(buffer, undefined);
    assert.equal(buffer.byteLength, 0);
    const pool = Buffer.from("of the pool").buffer;
    assert.ok(pool instanceof ArrayBuffer);
    freeSent(pool, null);
    assert.ok(pool.byteLength > 0);
  });
});
