import { it } from "node:test";
import { refusesGarbage } from "../../src/http/control/aws/garbage.fake.ts";
import { makeFunction, startControl } from "../../src/http/control/control.fake.ts";

it("every AWS operation refuses a thousand bad requests", { timeout: 1_200_000 }, async () => {
  await using control = await startControl();
  await makeFunction(control, "there");
  await refusesGarbage(control, 1_000);
});
