import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sampleProjectName } from "../store/project-samples.fake.ts";
import { ReleasesInUse } from "./releases-in-use.ts";

const first = { project: sampleProjectName("shop"), number: 1 };
const second = { ...first, number: 2 };

function open() {
  const unused: number[] = [];
  const releases = new ReleasesInUse(({ number }) => unused.push(number));
  return { releases, unused };
}

describe("a release that was let go", () => {
  it("is unused when the last call in it has ended", () => {
    const { releases, unused } = open();
    releases.enter(first);
    releases.enter(first);
    releases.letGo(first);
    releases.leave(first);
    assert.deepEqual(unused, []);
    releases.leave(first);
    assert.deepEqual(unused, [1]);
  });

  it("is unused at once if nothing runs in it", () => {
    const { releases, unused } = open();
    releases.enter(second);
    releases.letGo(first);
    assert.deepEqual(unused, [1]);
  });

  it("stays if it goes live again before", () => {
    const { releases, unused } = open();
    releases.enter(first);
    releases.letGo(first);
    releases.keep(first);
    releases.leave(first);
    assert.deepEqual(unused, []);
  });

  it("is told once, however often it is called later", () => {
    const { releases, unused } = open();
    releases.letGo(first);
    releases.enter(first);
    releases.leave(first);
    assert.deepEqual(unused, [1]);
  });
});
