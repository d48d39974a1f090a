import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Note, NoteReader } from "./notes.ts";

const TOKEN = "\u0001a\u0001b";

/** All that comes of chunks, one after the other. */
function read(chunks: readonly string[]) {
  const reader = new NoteReader(TOKEN);
  let text = "";
  const notes: Note[] = [];
  for (const chunk of chunks) {
    const taken = reader.take(Buffer.from(chunk, "latin1"));
    text += taken.texts.map((part) => part.toString("latin1")).join("");
    notes.push(...taken.notes);
  }
  return { text: text + reader.last().toString("latin1"), notes };
}

describe("notes in what a program prints", () => {
  it("are found and taken out, however it is cut", () => {
    const whole = `up${TOKEN}S\0one\u0001a\u0001two${TOKEN}X\u0003rest\u0001`;
    const wanted = {
      text: "upone\u0001a\u0001tworest\u0001",
      notes: [
        { kind: "started", value: 0 },
        { kind: "exited", value: 3 },
      ],
    };
    for (let first = 0; first <= whole.length; first += 1) {
      for (let second = first; second <= whole.length; second += 1) {
        const chunks = [whole.slice(0, first), whole.slice(first, second), whole.slice(second)];
        assert.deepEqual(read(chunks), wanted, `cut at ${first} and ${second}`);
      }
    }
  });

  it("tell an error number, a status or a signal", () => {
    assert.deepEqual(read([`${TOKEN}F\u0002${TOKEN}K\u0009${TOKEN}X\u00ff`]).notes, [
      { kind: "failed", value: 2 },
      { kind: "killed", value: 9 },
      { kind: "exited", value: 255 },
    ]);
  });

  it("of a kind that there is not are dropped", () => {
    assert.deepEqual(read([`a${TOKEN}?!b`]), { text: "ab", notes: [] });
  });

  it("keep nothing back of what cannot begin one", () => {
    const reader = new NoteReader(TOKEN);
    const { texts } = reader.take(Buffer.from("data: 1\n\n"));
    assert.equal(Buffer.concat(texts).toString(), "data: 1\n\n");
    assert.equal(reader.last().length, 0);
  });
});
