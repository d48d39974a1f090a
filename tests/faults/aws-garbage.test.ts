import assert from "node:assert/strict";
import { it } from "node:test";
import { refusesGarbage } from "../../src/http/control/aws/garbage.fake.ts";
import { refusesWrongMembers, startFilledControl } from "../../src/http/control/aws/model-garbage.fake.ts";
import { makeFunction, startControl } from "../../src/http/control/control.fake.ts";

/** Of each operation. */
const RUNS = 1_000;

it("every AWS operation refuses a thousand bodies of nonsense", { timeout: 1_200_000 }, async () => {
  await using control = await startControl();
  await makeFunction(control, "there");
  await refusesGarbage(control, RUNS);
});

it("every AWS operation refuses a thousand requests with one wrong member", {
  timeout: 1_200_000,
}, async (test) => {
  await using control = await startFilledControl();
  const sent = await refusesWrongMembers(control, RUNS);
  assert.ok(sent > 80 * RUNS, `${sent}`);
  test.diagnostic(`${sent} requests`);
});
