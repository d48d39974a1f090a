import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Turnstile } from "./turnstile.ts";

describe("Turnstile", () => {
  it("lets a crowd through a few at a time, in order, and others in between", async () => {
    const turnstile = new Turnstile(3);
    const order: string[] = [];
    const passing = Array.from({ length: 10 }, async (_, index) => {
      await turnstile.pass();
      order.push(String(index));
    });
    // Immediates take turns with those of the turnstile, as what comes from sockets does.
    for (let turn = 0; turn < 3; turn += 1) {
      await nextTurn();
      order.push("|");
    }
    await Promise.all(passing);
    // The first few pass before the first turn is over.
    assert.equal(order.join(""), "012345|678|9|");
  });

  it("keeps nobody waiting where there is no crowd", async () => {
    const turnstile = new Turnstile(2);
    for (let turn = 0; turn < 3; turn += 1) {
      assert.deepEqual([turnstile.pass(), turnstile.pass()], [undefined, undefined]);
      assert.ok(turnstile.pass() instanceof Promise);
      for (let rest = 0; rest < 3; rest += 1) await nextTurn();
    }
  });

  it("lets those who came first go before those who come while they wait", async () => {
    const turnstile = new Turnstile(1);
    const order: string[] = [];
    const pass = async (name: string) => {
      await turnstile.pass();
      order.push(name);
    };
    const first = [pass("a"), pass("b"), pass("c")];
    await nextTurn();
    await Promise.all([...first, pass("d")]);
    assert.deepEqual(order, ["a", "b", "c", "d"]);
  });
});
