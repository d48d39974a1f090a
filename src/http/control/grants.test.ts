import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import {
  GetFunctionCommand,
  InvokeCommand,
  LambdaClient,
  ListFunctionsCommand,
} from "@aws-sdk/client-lambda";
import type { Version } from "../../core/function.ts";
import { sampleVersion } from "../../store/samples.fake.ts";
import { ACCOUNT, makeFunction, startControl, type TestControl } from "./control.fake.ts";
import { newGrants } from "./grants.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
  for (const name of ["orders-list", "orders-add", "secrets"]) await makeFunction(control, name);
});
after(() => control[Symbol.asyncDispose]());

function versionOf(change: Partial<Version["config"]>): Version {
  const version = sampleVersion("caller", "1", "a");
  return { ...version, config: { ...version.config, network: "host", ...change } };
}

function grants() {
  return newGrants({ keys: Promise.resolve(control.keys), controlUrl: Promise.resolve(control.url) });
}

/** A client that has nothing but these variables. */
function clientOf(
  environment: Readonly<Record<string, string>>,
  sessionToken = environment.AWS_SESSION_TOKEN,
): LambdaClient {
  return new LambdaClient({
    endpoint: environment.AWS_ENDPOINT_URL_LAMBDA ?? "",
    region: ACCOUNT.region,
    maxAttempts: 1,
    credentials: {
      accessKeyId: environment.AWS_ACCESS_KEY_ID ?? "",
      secretAccessKey: environment.AWS_SECRET_ACCESS_KEY ?? "",
      ...(sessionToken !== undefined && { sessionToken }),
    },
  });
}

it("gives credentials for just those functions, and for nothing but calls", async () => {
  const grant = await grants().issue(versionOf({ mayInvoke: ["orders-*", "other"] }), undefined);
  const client = clientOf(grant?.environment ?? {});
  const call = (FunctionName: string) => client.send(new InvokeCommand({ FunctionName }));
  assert.equal((await call("orders-list")).StatusCode, 200);
  assert.equal((await call("orders-add")).StatusCode, 200);
  await assert.rejects(call("secrets"), { name: "AccessDeniedException" });
  await assert.rejects(call("other"), { name: "ResourceNotFoundException" });
  await assert.rejects(client.send(new GetFunctionCommand({ FunctionName: "orders-list" })), {
    name: "AccessDeniedException",
  });
  await assert.rejects(client.send(new ListFunctionsCommand({})), { name: "AccessDeniedException" });
  grant?.revoke();
  await assert.rejects(call("orders-list"), { name: "UnrecognizedClientException" });
});

it("asks for the session token, and takes the pair for no bearer token", async () => {
  const grant = await grants().issue(versionOf({ mayInvoke: ["*"] }), undefined);
  const environment = grant?.environment ?? {};
  for (const token of [undefined, "", "made up"]) {
    const { AWS_SESSION_TOKEN: _, ...rest } = environment;
    const client = clientOf(rest, token);
    await assert.rejects(client.send(new InvokeCommand({ FunctionName: "secrets" })), {
      name: "UnrecognizedClientException",
    });
  }
  const token = `${environment.AWS_ACCESS_KEY_ID}.${environment.AWS_SECRET_ACCESS_KEY}`;
  const path = "/2015-03-31/functions/secrets/invocations";
  assert.equal((await control.send({ method: "POST", path, token, body: "{}" })).status, 403);
});

it("is not among the keys that are listed or stored", async () => {
  await grants().issue(versionOf({ mayInvoke: ["*"] }), undefined);
  const listed = await control.keys.list();
  assert.deepEqual(
    listed.map(({ description }) => description),
    ["admin key of the first start"],
  );
});

it("gives nothing where nothing is allowed, or where control cannot be reached", async () => {
  for (const change of [{}, { mayInvoke: [] }, { mayInvoke: ["*"], network: "none" as const }]) {
    assert.equal(await grants().issue(versionOf(change), undefined), undefined);
  }
});

it("lets nobody give a function more than they have", async () => {
  const change = (token: string, mayInvoke: readonly string[]) =>
    control.send({
      method: "PATCH",
      path: "/v1/functions/orders-add",
      token,
      body: JSON.stringify({ mayInvoke }),
    });
  const deployer = await control.issue({ scopes: ["deploy"] });
  assert.equal((await change(deployer, ["orders-list"])).status, 403);
  const some = await control.issue({ scopes: ["deploy", "invoke"], functions: "orders-*" });
  assert.equal((await change(some, ["*"])).status, 403);
  assert.equal((await change(some, ["secrets"])).status, 403);
  assert.equal((await change(some, ["orders-l*"])).status, 200);
  // What is there already stays, whoever changes something else.
  assert.equal((await change(deployer, ["orders-l*"])).status, 200);
  assert.equal((await change(deployer, [])).status, 200);
});
