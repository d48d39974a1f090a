import assert from "node:assert/strict";
import { it } from "node:test";
import { startFakeControl } from "./control-server.fake.ts";
import { openLambda } from "./lambda-process.fake.ts";

it("says of an empty list how to make one, and of a part of it only that it is empty", async () => {
  await using server = await startFakeControl();
  await using lambda = await openLambda(server.url);
  for (const things of ["routes", "schedules", "hooks", "sources"]) {
    const command = things.slice(0, -1);
    server.on(`GET /v1/${things}`, { json: { [things]: [] } });
    const all = await lambda.run([command, "list"]);
    assert.match(all.stderr, new RegExp(`^there are no ${things}: lambda ${command} .* makes one\n$`));
    const some = await lambda.run([command, "list", "--function", "greet"]);
    assert.equal(some.stderr, `there are no ${things} of function greet\n`);
  }
  const ofHost = await lambda.run(["route", "list", "--function", "greet", "--host", "api.localhost"]);
  assert.equal(ofHost.stderr, "there are no routes of function greet of host api.localhost\n");
});
