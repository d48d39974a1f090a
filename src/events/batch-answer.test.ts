import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { failuresIn } from "./batch-answer.ts";

const all = new Set(["a", "b", "c"]);

const cases: readonly [why: string, answer: string, failed: readonly string[]][] = [
  ["nothing", "", []],
  ["null", "null", []],
  ["an empty object", "{}", []],
  ["another object", '{"ok":true}', []],
  ["no list", '{"batchItemFailures":null}', []],
  ["an empty list", '{"batchItemFailures":[]}', []],
  ["one that failed", '{"batchItemFailures":[{"itemIdentifier":"b"}]}', ["b"]],
  ["one that failed, twice", '{"batchItemFailures":[{"itemIdentifier":"b"},{"itemIdentifier":"b"}]}', ["b"]],
  ["no JSON", "ok", ["a", "b", "c"]],
  ["a text", '"ok"', ["a", "b", "c"]],
  ["an empty id", '{"batchItemFailures":[{"itemIdentifier":""}]}', ["a", "b", "c"]],
  ["a null id", '{"batchItemFailures":[{"itemIdentifier":null}]}', ["a", "b", "c"]],
  ["another key", '{"batchItemFailures":[{"id":"b"}]}', ["a", "b", "c"]],
  ["an unknown id", '{"batchItemFailures":[{"itemIdentifier":"b"},{"itemIdentifier":"x"}]}', ["a", "b", "c"]],
  ["a list of texts", '{"batchItemFailures":["b"]}', ["a", "b", "c"]],
  ["no list at all", '{"batchItemFailures":{"itemIdentifier":"b"}}', ["a", "b", "c"]],
];

describe("the answer to a batch", () => {
  for (const [why, answer, failed] of cases) {
    it(`with ${why} means ${failed.length === 0 ? "success" : `a failure of ${failed.join(", ")}`}`, () => {
      assert.deepEqual([...failuresIn(Buffer.from(answer), all)], failed);
    });
  }
});
