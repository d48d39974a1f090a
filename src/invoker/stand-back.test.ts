import assert from "node:assert/strict";
import { it, type TestContext } from "node:test";
import { StandBack, type StandBackParts } from "./stand-back.ts";

const LOOK_MS = 100;

/** Functions with one instance each, which takes so many cores; time goes on by looks. */
function openStandBack(test: TestContext, uses: Record<string, number>) {
  test.mock.timers.enable({ apis: ["setInterval"] });
  const behind = new Set<string>();
  const taken = new Map<string, number>();
  const host = { isBusy: true, idle: new Set<string>() };
  let now = 0;
  const poolOf = (functionName: string) => {
    const instance = {
      cpu: {
        usedMs: () => taken.get(functionName) ?? 0,
        standBack: () => behind.add(functionName),
        stepForward: () => behind.delete(functionName),
      },
    };
    return { version: { functionName }, workingSince: () => (host.idle.has(functionName) ? [] : [instance]) };
  };
  const pools = new Map(Object.keys(uses).map((name) => [name, poolOf(name)]));
  const told: boolean[] = [];
  const parts = {
    pools,
    cpu: { isBusy: () => host.isBusy },
    now: () => now,
    crowded: (isCrowded: boolean) => told.push(isCrowded),
  } as unknown as StandBackParts;
  const standBack = new StandBack(parts);
  test.after(() => standBack[Symbol.dispose]());
  return {
    behind,
    host,
    told,
    look(count = 1) {
      for (let at = 0; at < count; at += 1) {
        standBack.wake();
        for (const [name, cores] of Object.entries(uses)) {
          taken.set(name, (taken.get(name) ?? 0) + cores * LOOK_MS);
        }
        now += LOOK_MS;
        test.mock.timers.tick(LOOK_MS);
      }
    },
  };
}

it("puts behind who takes the most while the cores are busy", (test) => {
  const { behind, look } = openStandBack(test, { quiet: 0.1, loud: 1.8 });
  look(3);
  assert.deepEqual([...behind], ["loud"]);
});

it("puts nobody behind who is alone", (test) => {
  const { behind, look } = openStandBack(test, { loud: 2 });
  look(5);
  assert.deepEqual([...behind], []);
});

it("puts nobody behind while there are cores to spare", (test) => {
  const { behind, host, look } = openStandBack(test, { quiet: 0.1, loud: 1.8 });
  host.isBusy = false;
  look(5);
  assert.deepEqual([...behind], []);
});

it("lets them step forward when the cores are busy no longer", (test) => {
  const { behind, host, look } = openStandBack(test, { quiet: 0.1, loud: 1.8 });
  look(3);
  host.isBusy = false;
  look();
  assert.deepEqual([...behind], []);
});

it("lets them step forward when their calls are over", (test) => {
  const { behind, host, look } = openStandBack(test, { quiet: 0.1, loud: 1.8 });
  look(3);
  host.idle.add("loud");
  look();
  assert.deepEqual([...behind], []);
});

it("does not take for much what was taken over a long time", (test) => {
  const { behind, host, look } = openStandBack(test, { quiet: 0.1, loud: 0.5 });
  look(3);
  host.idle.add("quiet");
  look(50);
  host.idle.delete("quiet");
  look();
  assert.deepEqual([...behind], ["loud"]);
});

it("tells once that it is crowded, and once that it is no longer", (test) => {
  const { host, look, told } = openStandBack(test, { quiet: 0.1, loud: 1.8 });
  look(5);
  assert.deepEqual(told, [true]);
  host.isBusy = false;
  look(3);
  assert.deepEqual(told, [true, false]);
});

it("is never crowded by one that is alone", (test) => {
  const { look, told } = openStandBack(test, { loud: 2 });
  look(5);
  assert.deepEqual(told, []);
});
