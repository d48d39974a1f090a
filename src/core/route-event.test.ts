// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references look like that
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isPlatformError } from "./errors.ts";
import type { Json } from "./json.ts";
import { fillTemplate, parseEventTemplate, partsOf, type Reference } from "./route-event.ts";

const VALUES: Readonly<Record<string, Json>> = {
  "request.path.symbol": "AMZN",
  "request.query.n": "3",
  "request.body": { a: { b: [1, 2] }, text: '"}, {"x": 1' },
  "request.body.a.b": [1, 2],
  "request.body.text": '"}, {"x": 1',
  "context.timeEpoch": 1_000,
};
const find = ({ source, names }: Reference) => VALUES[[source, ...names].join(".")];
const filled = (template: unknown) => fillTemplate(parseEventTemplate(template), find);

describe("fillTemplate", () => {
  for (const [template, expected] of [
    ["${request.path.symbol}", "AMZN"],
    [
      { symbol: "${request.path.symbol}", fixed: [1, true, null, "x"] },
      { symbol: "AMZN", fixed: [1, true, null, "x"] },
    ],
    ["key=${request.path.symbol}/${request.query.n}!", "key=AMZN/3!"],
    ["${request.body.a.b}", [1, 2]],
    ["b: ${request.body.a.b}", "b: [1,2]"],
    ["${request.body}", VALUES["request.body"]],
    ["${request.body.text}", '"}, {"x": 1'],
    ["${context.timeEpoch}", 1_000],
    ["at ${context.timeEpoch}", "at 1000"],
    ["${request.query.none}", null],
    ["<${request.query.none}>", "<>"],
    ["$${request.path.symbol}", "${request.path.symbol}"],
    ["$5 and } and {", "$5 and } and {"],
    ["", ""],
    [{ "${request.path.symbol}": 1 }, { "${request.path.symbol}": 1 }],
  ] as const) {
    it(`makes ${JSON.stringify(expected)} of ${JSON.stringify(template)}`, () => {
      assert.deepEqual(filled(template), expected);
    });
  }

  it("keeps every text that has no reference, and any value where it was put", () => {
    fc.assert(
      fc.property(fc.json(), fc.string(), (json, value) => {
        const template = JSON.parse(json.replaceAll("$", "_"));
        assert.deepEqual(
          fillTemplate(parseEventTemplate(template), () => "x"),
          template,
        );
        const event = fillTemplate({ a: "${request.path.p}", b: "[${request.path.p}]" }, () => value);
        assert.deepEqual(event, { a: value, b: `[${value}]` });
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("parseEventTemplate", () => {
  for (const [why, template, message] of [
    ["an unknown source", "${request.cookie.x}", /expected one of request.path/],
    ["a source without its name", "${request.path}", /expected one name/],
    ["a name too many", "${request.method.x}", /expected no name/],
    ["an empty name", "${request.path.}", /expected one of/],
    ["an empty step", "${request.body.a..b}", /expected one of/],
    ["an empty reference", "a ${} b", /expected one of/],
    ["a reference that is not closed", "${request.path.x", /not closed/],
    ["one within another", "${request.path.${request.path.x}}", /expected one of/],
    ["too much", "x".repeat(70_000), /at most 65536 bytes/],
    ["too deep a value", JSON.parse("[".repeat(40) + "]".repeat(40)), /at most 32 values/],
    ["nothing", undefined, /expected JSON/],
  ] as const) {
    it(`refuses ${why}`, () => {
      assert.throws(
        () => parseEventTemplate(template),
        (error) => isPlatformError(error, "InvalidRequest") && message.test(error.message),
      );
    });
  }
});

describe("partsOf", () => {
  it("takes a name with dots where only one is asked for", () => {
    assert.deepEqual(partsOf("${request.header.x-a.b}"), [{ source: "request.header", names: ["x-a.b"] }]);
  });
});
