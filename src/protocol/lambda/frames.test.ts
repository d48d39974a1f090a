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
      type: fc.integer({ min: 0, max: 255 }).filter((type) => type !== FRAME.streamChunk),
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

  it("gives of a stream's chunk what is there, at once, and whole frames around it", () => {
    const bodies = fc.array(fc.string({ unit: "grapheme-ascii", maxLength: 200 }), { maxLength: 5 });
    const lengths = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 });
    fc.assert(
      fc.property(bodies, lengths, (sent, cuts) => {
        const bytes = Buffer.concat([
          encoded(FRAME.streamHead, 7, "text/plain", ""),
          ...sent.map((body) => encoded(FRAME.streamChunk, 7, "", body)),
          encoded(FRAME.streamEnd, 7, "", ""),
        ]);
        const reader = new FrameReader(1_000);
        const seen: number[] = [];
        let body = "";
        let passed = 0;
        for (let at = 0, n = 0; at < bytes.length; n++) {
          const end = at + (cuts[n % cuts.length] ?? 1);
          reader.read(bytes.subarray(at, end), (frame) => {
            assert.deepEqual([frame.callId, frame.type === FRAME.streamHead], [7, frame.label !== ""]);
            if (frame.type === FRAME.streamChunk) body += frame.body.toString();
            if (frame.type !== seen.at(-1)) seen.push(frame.type);
          });
          at = end;
          passed = Math.min(at, bytes.length);
          // No more of it is kept than the head of a chunk, which says nothing by itself.
          const heads = encodeFrameHead(FRAME.streamHead, 7, "text/plain", 0).length + (sent.length + 1) * 13;
          assert.ok(body.length >= passed - heads, `${body.length} of ${passed}`);
        }
        assert.equal(body, sent.join(""));
        const types = [FRAME.streamHead, FRAME.streamChunk, FRAME.streamEnd];
        assert.deepEqual(seen, sent.length > 0 ? types : [FRAME.streamHead, FRAME.streamEnd]);
      }),
    );
  });

  it("refuses a stream's chunk over the limit before any of it", () => {
    const head = encodeFrameHead(FRAME.streamChunk, 1, "", 100_000);
    const seen: number[] = [];
    const bytes = Buffer.concat([head, Buffer.alloc(10)]);
    assert.throws(() => new FrameReader(1_000).read(bytes, ({ type }) => seen.push(type)), FrameError);
    assert.deepEqual(seen, []);
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
