import { describeSources } from "./sources.contract.ts";
import { fakeStore } from "./store.fake.ts";

describeSources("fake", async () => fakeStore());
