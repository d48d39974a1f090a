import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { whoStandsBack } from "./stand-back-rule.ts";

describe("whoStandsBack", () => {
  for (const [why, uses, expected] of [
    ["nobody where nobody takes anything", {}, []],
    ["nobody if there is only one", { loud: 2 }, []],
    ["who takes much, behind one that takes little", { quiet: 0.1, loud: 1.8 }, ["loud"]],
    ["who takes more, behind one that takes a good part", { quiet: 0.6, loud: 1.3 }, ["loud"]],
    ["none of two that take the same", { one: 1, other: 0.95 }, []],
    [
      "both of two that take the same, behind a third",
      { one: 1, other: 0.95, quiet: 0.02 },
      ["one", "other"],
    ],
    ["nobody where all take little", { one: 0.19, other: 0.01 }, []],
    ["not the many that take little", { a: 0.01, b: 0.02, c: 0.03, d: 0.5, loud: 1.4 }, ["loud"]],
    ["not one that was kept from taking anything", { starved: 0, greedy: 2 }, ["greedy"]],
  ] as const) {
    it(why, () => {
      const list = Object.entries(uses).map(([name, cores]) => ({ name, cores }));
      assert.deepEqual([...whoStandsBack(list)].sort(), expected);
    });
  }

  it("gives two that want everything about half each, however they begin", () => {
    const total = { one: 0, other: 0 };
    const use = { one: 0.1, other: 1.9 };
    const looks = 200;
    for (let look = 0; look < looks; look += 1) {
      const behind = whoStandsBack(Object.entries(use).map(([name, cores]) => ({ name, cores })));
      const share = (name: "one" | "other") => (behind.size === 0 ? 1 : behind.has(name) ? 0 : 2);
      for (const name of ["one", "other"] as const) {
        total[name] += share(name);
        use[name] += (share(name) - use[name]) * 0.5;
      }
    }
    assert.ok(Math.abs(total.one - total.other) < 0.1 * looks, JSON.stringify(total));
  });
});
