import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import { untilAborted } from "./until-aborted.ts";

describe("untilAborted", () => {
  it("gives what the work gives, or throws what it throws", async () => {
    const { signal } = new AbortController();
    assert.equal(await untilAborted(Promise.resolve(7), signal), 7);
    await assert.rejects(untilAborted(Promise.reject(new Error("no")), signal), /no/);
  });

  it("throws the reason as soon as the signal aborts, also if it had before", async () => {
    const controller = new AbortController();
    const waiting = untilAborted(new Promise(() => undefined), controller.signal);
    controller.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    await assert.rejects(untilAborted(Promise.reject(new Error("late")), controller.signal), /enough/);
  });

  it("leaves no listener on a signal that outlives the work", async () => {
    const { signal } = new AbortController();
    await untilAborted(Promise.resolve(), signal);
    await untilAborted(Promise.reject(new Error("no")), signal).catch(() => undefined);
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });
});
