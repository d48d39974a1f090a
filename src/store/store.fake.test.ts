import { describeStore } from "./store.contract.ts";
import { fakeStore } from "./store.fake.ts";

describeStore("fake", async () => fakeStore());
