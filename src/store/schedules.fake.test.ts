import { describeSchedules } from "./schedules.contract.ts";
import { fakeStore } from "./store.fake.ts";

describeSchedules("fake", async () => fakeStore());
