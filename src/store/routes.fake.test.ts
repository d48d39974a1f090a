import { describeRoutes } from "./routes.contract.ts";
import { fakeStore } from "./store.fake.ts";

describeRoutes("fake", async () => fakeStore());
