import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cpuMsOf } from "./cpu-time.fake.ts";
import { isPlatformError } from "./errors.ts";
import { filterView, parseFilter } from "./event-filter.ts";

const order = filterView(
  {
    messageId: "m-1",
    attributes: { SenderId: "AIDA", ApproximateReceiveCount: "1" },
    messageAttributes: { kind: { stringValue: "order", dataType: "String" } },
  },
  "body",
  JSON.stringify({
    state: "new",
    total: 300,
    express: true,
    note: null,
    empty: "",
    path: "orders/eu/42.json",
    tags: ["a", "b"],
    lines: [
      { sku: "x", count: 1 },
      { sku: "y", count: 2 },
    ],
    customer: { country: "DE" },
  }),
);

const cases: readonly [why: string, pattern: unknown, fits: boolean][] = [
  ["a value", { body: { state: ["new"] } }, true],
  ["one of several values", { body: { state: ["old", "new"] } }, true],
  ["another value", { body: { state: ["old"] } }, false],
  ["all of several fields", { body: { state: ["new"], total: [300] } }, true],
  ["one field that does not fit", { body: { state: ["new"], total: [1] } }, false],
  ["a number as text", { body: { total: ["300"] } }, false],
  ["a switch", { body: { express: [true] } }, true],
  ["null", { body: { note: [null] } }, true],
  ["null where there is nothing", { body: { nothing: [null] } }, false],
  ["an empty text", { body: { empty: [""] } }, true],
  ["an element of a list", { body: { tags: ["b"] } }, true],
  ["no element of a list", { body: { tags: ["c"] } }, false],
  ["an object in a list", { body: { lines: { sku: ["y"], count: [2] } } }, true],
  ["parts of two objects in a list", { body: { lines: { sku: ["x"], count: [2] } } }, false],
  ["a nested field", { body: { customer: { country: ["DE"] } } }, true],
  ["a value where there is an object", { body: { customer: ["DE"] } }, false],
  ["a field below a value", { body: { state: { country: ["DE"] } } }, false],
  ["an attribute", { attributes: { SenderId: ["AIDA"] } }, true],
  ["a message attribute", { messageAttributes: { kind: { stringValue: ["order"] } } }, true],
  ["a prefix", { body: { path: [{ prefix: "orders/" }] } }, true],
  ["another prefix", { body: { path: [{ prefix: "eu/" }] } }, false],
  ["a prefix whatever its case", { body: { path: [{ prefix: { "equals-ignore-case": "ORDERS" } }] } }, true],
  ["a suffix", { body: { path: [{ suffix: ".json" }] } }, true],
  ["a suffix of a number", { body: { total: [{ suffix: "0" }] } }, false],
  ["any case", { body: { state: [{ "equals-ignore-case": "NEW" }] } }, true],
  ["a wildcard", { body: { path: [{ wildcard: "orders/*/4*.json" }] } }, true],
  ["a wildcard whose ends overlap", { body: { state: [{ wildcard: "ne*ew" }] } }, false],
  ["a wildcard without stars", { body: { state: [{ wildcard: "new" }] } }, true],
  ["a star that is meant", { body: { state: [{ wildcard: "n\\*w" }] } }, false],
  ["anything but a value", { body: { state: [{ "anything-but": "old" }] } }, true],
  ["anything but several values", { body: { state: [{ "anything-but": ["old", "new"] }] } }, false],
  ["anything but a number", { body: { total: [{ "anything-but": [1, 2] }] } }, true],
  ["anything but a prefix", { body: { path: [{ "anything-but": { prefix: "orders" } }] } }, false],
  ["anything but suffixes", { body: { path: [{ "anything-but": { suffix: [".xml", ".csv"] } }] } }, true],
  ["anything but a wildcard", { body: { path: [{ "anything-but": { wildcard: "*us*" } }] } }, true],
  ["anything but, of what is absent", { body: { nothing: [{ "anything-but": "x" }] } }, false],
  ["a number", { body: { total: [{ numeric: ["=", 300] }] } }, true],
  ["a range", { body: { total: [{ numeric: [">", 200, "<=", 300] }] } }, true],
  ["a range it is outside of", { body: { total: [{ numeric: [">", 300, "<", 400] }] } }, false],
  ["a number of a text", { body: { state: [{ numeric: [">", 0] }] } }, false],
  ["what exists", { body: { state: [{ exists: true }] } }, true],
  ["what does not exist", { body: { nothing: [{ exists: false }] } }, true],
  ["that something exists which does", { body: { state: [{ exists: false }] } }, false],
  [
    "one of two objects",
    { $or: [{ body: { state: ["old"] } }, { attributes: { SenderId: ["AIDA"] } }] },
    true,
  ],
  ["none of two objects", { body: { $or: [{ state: ["old"] }, { total: [1] }] } }, false],
  [
    "a field beside two objects",
    { body: { express: [false], $or: [{ state: ["new"] }, { total: [1] }] } },
    false,
  ],
  ["a field of every object", { body: { constructor: [{ exists: true }] } }, false],
];

describe("filter patterns", () => {
  for (const [why, pattern, fits] of cases) {
    it(`${fits ? "let through" : "keep out"}: ${why}`, () => {
      assert.equal(parseFilter(JSON.stringify(pattern))(order), fits);
    });
  }

  it("look at a body that is no JSON as text", () => {
    const plain = filterView({}, "body", "hello");
    assert.equal(parseFilter('{"body":["hello"]}')(plain), true);
    assert.equal(parseFilter('{"body":{"a":["hello"]}}')(plain), false);
    assert.equal(parseFilter('{"body":["{broken"]}')(filterView({}, "body", "{broken")), true);
    assert.equal(parseFilter('{"body":["5"]}')(filterView({}, "body", "5")), true);
  });

  it("cannot be made to take long by a wildcard", () => {
    const filter = parseFilter(JSON.stringify({ body: [{ wildcard: `${"*a".repeat(1_000)}*b` }] }));
    const cpuMs = cpuMsOf(() => assert.equal(filter(filterView({}, "body", "a".repeat(200_000))), false));
    assert.ok(cpuMs < 5_000, `${cpuMs} ms of CPU`);
  });

  const broken: readonly [why: string, pattern: string][] = [
    ["no JSON", "{"],
    ["a list", "[]"],
    ["a text", '"x"'],
    ["nothing to compare", "{}"],
    ["an empty object inside", '{"body":{}}'],
    ["a value that is no list", '{"body":{"state":"new"}}'],
    ["an empty list", '{"body":{"state":[]}}'],
    ["a list in a list", '{"body":{"state":[["new"]]}}'],
    ["an operator that there is not", '{"body":{"state":[{"like":"n"}]}}'],
    ["two operators at once", '{"body":{"state":[{"prefix":"n","suffix":"w"}]}}'],
    ["an operator without a value", '{"body":{"state":[{"prefix":""}]}}'],
    ["a prefix that is a number", '{"body":{"state":[{"prefix":1}]}}'],
    ["exists that is a text", '{"body":{"state":[{"exists":"true"}]}}'],
    ["a comparison that there is not", '{"body":{"total":[{"numeric":["!=",1]}]}}'],
    ["a comparison with a text", '{"body":{"total":[{"numeric":[">","1"]}]}}'],
    ["half a range", '{"body":{"total":[{"numeric":[">",1,"<"]}]}}'],
    ["a range the wrong way round", '{"body":{"total":[{"numeric":[">",5,"<",1]}]}}'],
    ["a number beyond what EventBridge takes", '{"body":{"total":[{"numeric":[">",6000000000]}]}}'],
    ["anything but a mixture", '{"body":{"total":[{"anything-but":[1,"a"]}]}}'],
    ["anything but nothing", '{"body":{"total":[{"anything-but":[]}]}}'],
    ["two stars in a row", '{"body":{"state":[{"wildcard":"a**b"}]}}'],
    ["a backslash before a letter", '{"body":{"state":[{"wildcard":"a\\\\b"}]}}'],
    ["a single choice", '{"$or":[{"body":["a"]}]}'],
    ["choices that are no objects", '{"$or":["a","b"]}'],
    ["too long a pattern", JSON.stringify({ body: ["x".repeat(4_096)] })],
  ];
  for (const [why, pattern] of broken) {
    it(`are refused: ${why}`, () => {
      assert.throws(
        () => parseFilter(pattern),
        (error) =>
          isPlatformError(error, "InvalidRequest") &&
          error.message.startsWith("Invalid filter pattern definition. "),
      );
    });
  }
});
