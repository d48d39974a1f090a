import { describeHooks } from "./hooks.contract.ts";
import { fakeStore } from "./store.fake.ts";

describeHooks("fake", async () => fakeStore());
