import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Alarm } from "./alarm.ts";

/** Resolves when it has rung so many times, with the times. */
function ringing(times: number, next: (now: number) => number | undefined = () => undefined) {
  const { promise, resolve } = Promise.withResolvers<number[]>();
  const rung: number[] = [];
  const alarm = new Alarm((now) => {
    rung.push(now);
    if (rung.length === times) resolve(rung);
    return next(now);
  });
  return { alarm, promise };
}

describe("Alarm", () => {
  it("never rings early", async () => {
    const { alarm, promise } = ringing(1);
    const at = performance.now() + 7.3;
    alarm.setFor(at);
    const [rung = 0] = await promise;
    assert.ok(rung >= at, `${rung} is before ${at}`);
  });

  it("waits on where its timer is early, as those of Node may be by a part of a millisecond", (test) => {
    test.mock.timers.enable({ apis: ["setTimeout"] });
    const rung: number[] = [];
    const alarm = new Alarm((now) => {
      rung.push(now);
      return undefined;
    });
    const at = performance.now() + 20;
    alarm.setFor(at);
    test.mock.timers.tick(20);
    assert.deepEqual(rung, []);
    while (performance.now() < at) test.mock.timers.tick(1);
    test.mock.timers.tick(1);
    assert.equal(rung.length, 1);
  });

  it("rings for the earliest of what it was set for", async () => {
    const { alarm, promise } = ringing(1);
    const at = performance.now();
    alarm.setFor(at + 60_000);
    alarm.setFor(at + 5);
    alarm.setFor(at + 90_000);
    const [rung = 0] = await promise;
    assert.ok(rung < at + 60_000);
  });

  it("rings on for as long as it is told when", async () => {
    let left = 3;
    const { alarm, promise } = ringing(4, (now) => (left-- > 0 ? now + 1 : undefined));
    alarm.setFor(performance.now() - 5);
    assert.equal((await promise).length, 4);
  });

  it("is silent once disposed, and takes no more", async () => {
    let rung = 0;
    const alarm = new Alarm(() => {
      rung += 1;
      return undefined;
    });
    alarm.setFor(performance.now() + 1);
    alarm[Symbol.dispose]();
    alarm.setFor(performance.now());
    const { alarm: other, promise } = ringing(1);
    other.setFor(performance.now() + 5);
    await promise;
    assert.equal(rung, 0);
  });
});
