import { describeProjects } from "./projects.contract.ts";
import { fakeStore } from "./store.fake.ts";

describeProjects("fake", async () => fakeStore());
