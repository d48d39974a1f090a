import assert from "node:assert/strict";
import { it, type TestContext } from "node:test";
import { parseFunctionName } from "../core/ids.ts";
import { REFUSALS_HELD_MAX, REFUSED_AT_ONCE_MAX, REFUSED_PER_TICK, Refusals } from "./refusals.ts";

const TICK_MS = 2;
const LOUD = name("loud");
const QUIET = name("quiet");

function name(text: string) {
  const parsed = parseFunctionName(text);
  if (!parsed) throw new Error(`not a name: ${text}`);
  return parsed;
}

function openRefusals(test: TestContext) {
  test.mock.timers.enable({ apis: ["setInterval"] });
  const refusals = new Refusals();
  test.after(() => refusals[Symbol.dispose]());
  const refused: number[] = [];
  return {
    refusals,
    refused,
    refuse: (count: number) => {
      for (let at = 0; at < count; at += 1) refusals.pace(LOUD, () => refused.push(at));
    },
    tick: (count: number) => {
      for (let at = 0; at < count; at += 1) test.mock.timers.tick(TICK_MS);
    },
  };
}

it("refuses a few at once", (test) => {
  const { refuse, refused } = openRefusals(test);
  refuse(REFUSED_AT_ONCE_MAX);
  assert.equal(refused.length, REFUSED_AT_ONCE_MAX);
});

it("refuses the others one after the other, in their order", (test) => {
  const { refuse, refused, tick } = openRefusals(test);
  refuse(REFUSED_AT_ONCE_MAX + 5);
  assert.equal(refused.length, REFUSED_AT_ONCE_MAX);
  tick(1);
  assert.equal(refused.length, REFUSED_AT_ONCE_MAX + REFUSED_PER_TICK);
  tick(2);
  assert.deepEqual(
    refused,
    Array.from({ length: REFUSED_AT_ONCE_MAX + 5 }, (_, at) => at),
  );
});

it("does not keep one function's callers waiting for another's", (test) => {
  const { refusals, refuse, refused } = openRefusals(test);
  refuse(100);
  const before = refused.length;
  refusals.pace(QUIET, () => refused.push(-1));
  assert.deepEqual(refused.slice(before), [-1]);
});

it("refuses as many at once again when there were none for a while", (test) => {
  const { refuse, refused, tick } = openRefusals(test);
  refuse(REFUSED_AT_ONCE_MAX);
  tick(REFUSED_AT_ONCE_MAX);
  refuse(REFUSED_AT_ONCE_MAX + 1);
  assert.equal(refused.length, 2 * REFUSED_AT_ONCE_MAX);
});

it("holds so many and no more", (test) => {
  const { refuse, refused } = openRefusals(test);
  refuse(REFUSED_AT_ONCE_MAX + REFUSALS_HELD_MAX + 1);
  assert.equal(refused.length, REFUSED_AT_ONCE_MAX + 1);
  assert.equal(refused.at(-1), REFUSED_AT_ONCE_MAX + REFUSALS_HELD_MAX);
});

it("holds nobody once it is closed", (test) => {
  const { refusals, refuse, refused } = openRefusals(test);
  refuse(100);
  refusals[Symbol.dispose]();
  assert.equal(refused.length, 100);
});
