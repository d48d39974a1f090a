import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { encodeFrameHead, FRAME, FrameError, FrameReader } from "./frames.ts";

function encoded(type: number, callId: number, label: string, body: string): Buffer {
  const bytes = Buffer.from(body);
  return Buffer.concat([encodeFrameHead(type, callId, label, bytes.length), bytes]);
}

function readAll(reader: FrameReader, chunks: Iterable<Buffer>) {
  const frames: { type: number; callId: number; label: string; body: string }[] = [];
  for (const chunk of chunks) {
    reader.read(chunk, ({ body, ...frame }) => frames.push({ ...frame, body: body.toString() }));
  }
  return frames;
}

describe("FrameReader", () => {
  it("gives back what was encoded, however it is cut", () => {
    const members = {
      type: fc.integer({ min: 0, max: 255 }),
      callId: fc.nat(0xffffffff),
      label: fc.string({ unit: "grapheme" }),
      body: fc.string({ unit: "grapheme" }),
    };
    const frame = fc.record(members, { noNullPrototype: true });
    const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 });
    fc.assert(
      fc.property(fc.array(frame), cuts, (frames, lengths) => {
        const bytes = Buffer.concat(frames.map((f) => encoded(f.type, f.callId, f.label, f.body)));
        const chunks: Buffer[] = [];
        for (let at = 0, n = 0; at < bytes.length; n++) {
          const end = at + (lengths[n % lengths.length] ?? 1);
          chunks.push(bytes.subarray(at, end));
          at = end;
        }
        assert.deepEqual(readAll(new FrameReader(1_000_000), chunks), frames);
      }),
    );
  });

  it("gives the whole frames before garbage", () => {
    const reader = new FrameReader(100);
    const seen: number[] = [];
    const bytes = Buffer.concat([encoded(FRAME.ready, 0, "", ""), Buffer.alloc(64, 0xff)]);
    assert.throws(() => reader.read(bytes, ({ type }) => seen.push(type)), FrameError);
    assert.deepEqual(seen, [FRAME.ready]);
  });

  const tooLong = encodeFrameHead(FRAME.response, 1, "", 100_000_000);
  const longLabel = encoded(FRAME.response, 1, "x", "");
  longLabel.writeUInt32BE(2, 9);
  for (const [why, bytes] of [
    ["a length under that of a head", Buffer.from([0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0])],
    ["a length over the limit, before the rest has come", tooLong.subarray(0, 4)],
    ["a label longer than its frame", longLabel],
    ["text of another protocol", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
  ] as const) {
    it(`refuses ${why}`, () => {
      assert.throws(() => new FrameReader(1_000).read(bytes, () => undefined), FrameError);
    });
  }
});
