import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import {
  GetFunctionConfigurationCommand,
  PublishVersionCommand,
  UpdateFunctionConfigurationCommand,
  type UpdateFunctionConfigurationCommandInput,
} from "@aws-sdk/client-lambda";
import { makeFunction, startControl, type TestControl } from "../control.fake.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
});
after(() => control[Symbol.asyncDispose]());

const KEY = "arn:aws:kms:eu-central-1:123456789012:key/k";
const VPC = { SubnetIds: ["subnet-1"], SecurityGroupIds: ["sg-1"] };

it("keeps members that mean nothing here, shows them as they were written, and freezes them with a version", async () => {
  await makeFunction(control, "kept");
  const sdk = control.sdk();
  const change = (members: Partial<UpdateFunctionConfigurationCommandInput>) =>
    sdk.send(new UpdateFunctionConfigurationCommand({ FunctionName: "kept", ...members }));
  const read = async (FunctionName = "kept") => {
    const shown = await sdk.send(new GetFunctionConfigurationCommand({ FunctionName }));
    return [shown.VpcConfig, shown.KMSKeyArn, shown.TracingConfig?.Mode];
  };
  const vpc = { ...VPC, VpcId: "", Ipv6AllowedForDualStack: false };
  await change({ VpcConfig: VPC, KMSKeyArn: KEY, TracingConfig: { Mode: "Active" } });
  assert.deepEqual(await read(), [vpc, KEY, "Active"]);
  await sdk.send(new PublishVersionCommand({ FunctionName: "kept" }));
  await change({ Description: "nothing of theirs" });
  assert.deepEqual(await read(), [vpc, KEY, "Active"]);
  await change({
    VpcConfig: { SubnetIds: [], SecurityGroupIds: [] },
    KMSKeyArn: "",
    TracingConfig: { Mode: "PassThrough" },
  });
  assert.deepEqual(await read(), [undefined, undefined, "PassThrough"]);
  assert.deepEqual(await read("kept:1"), [vpc, KEY, "Active"]);
});
