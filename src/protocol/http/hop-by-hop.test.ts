import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { withoutHopByHop } from "./hop-by-hop.ts";

describe("withoutHopByHop", () => {
  for (const [why, given, kept] of [
    ["nothing", "", ""],
    ["order, case and repetition", "X-A|1|x-a|2|Accept|*/*", "X-A|1|x-a|2|Accept|*/*"],
    ["the fixed ones, in any case", "TE|x|KEEP-ALIVE|5|upgrade|h2c|Expect|100-continue|A|1", "A|1"],
    ["what Connection names, wherever it stands", "X-Hop|1|Connection|close, x-hop|X-Stay|2", "X-Stay|2"],
    ["what several Connections name", "connection|a|CONNECTION|b , c|A|1|B|2|C|3|D|4", "D|4"],
    [
      "end-to-end headers that look alike",
      "Connections|1|X-Connection|2|Trailers|3",
      "Connections|1|X-Connection|2|Trailers|3",
    ],
    ["empty members of Connection", "Connection|,, ,|A|1", "A|1"],
  ] as const) {
    it(`handles ${why}`, () => {
      const split = (text: string) => (text === "" ? [] : text.split("|"));
      assert.deepEqual(withoutHopByHop(split(given)), split(kept));
    });
  }

  it("never lets through what Connection names, and never touches another value", () => {
    const token = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/);
    const pairs = fc.array(fc.tuple(token, fc.string()), { maxLength: 8 });
    fc.assert(
      fc.property(pairs, fc.array(token, { maxLength: 3 }), (headers, named) => {
        const raw = [...headers.flat(), "Connection", named.join(", ")];
        const kept = withoutHopByHop(raw);
        const wanted = headers.filter(
          ([name]) => withoutHopByHop([name, ""]).length > 0 && !named.includes(name),
        );
        // A generated header may be `connection` itself and name others; those cases have their own table above.
        fc.pre(!headers.some(([name]) => name === "connection"));
        assert.deepEqual(kept, wanted.flat());
      }),
    );
  });
});
