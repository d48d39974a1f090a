import { describeEventQueue } from "./event-queue.contract.ts";
import { fakeEvents } from "./event-queue.fake.ts";

describeEventQueue("fake", async (clock, limits) => ({
  events: fakeEvents(clock, limits),
  async [Symbol.asyncDispose]() {},
}));
