import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { makeFunction, startControl, type TestControl } from "../control.fake.ts";

const FUNCTIONS = "/2015-03-31/functions";

describe("stacks", () => {
  let control: TestControl;
  before(async () => {
    control = await startControl();
    for (const name of ["hello", "world", "alone"]) await makeFunction(control, name);
    await tag("hello", { "lambdad:stack": "app", "lambdad:logical-id": "HelloFunction" });
    await tag("world", { "lambdad:stack": "app" });
  });
  after(() => control[Symbol.asyncDispose]());

  async function tag(name: string, tags: Readonly<Record<string, string>>): Promise<void> {
    const { json } = await control.send({ method: "GET", path: `${FUNCTIONS}/${name}` });
    const arn = String(Object(json).Configuration.FunctionArn);
    const path = `/2017-03-31/tags/${encodeURIComponent(arn)}`;
    const { status } = await control.send({ method: "POST", path, body: JSON.stringify({ Tags: tags }) });
    assert.equal(status, 204);
  }

  const ask = (fields: Readonly<Record<string, string>>, token?: string | null) =>
    control.send({
      method: "POST",
      path: "/",
      body: new URLSearchParams({ Version: "2010-05-15", ...fields }).toString(),
      headers: { "content-type": "application/x-www-form-urlencoded; charset=utf-8" },
      ...(token !== undefined && { token }),
    });
  /** The texts of all elements of that name. */
  const all = (xml: string, name: string) =>
    [...xml.matchAll(new RegExp(`<${name}>([^<]*)</${name}>`, "g"))].map(([, found]) => found);
  const STACK_ID = "arn:aws:cloudformation:eu-central-1:123456789012:stack/app/lambdad";

  it("are the functions that say so by their tags, by logical id", async () => {
    for (const StackName of ["app", STACK_ID]) {
      const { status, text, headers } = await ask({ Action: "ListStackResources", StackName });
      assert.deepEqual([status, headers["content-type"]], [200, "text/xml"]);
      assert.match(
        text,
        /^<ListStackResourcesResponse xmlns="http:\/\/cloudformation\.amazonaws\.com\/doc\/2010-05-15\/">/,
      );
      assert.deepEqual(all(text, "LogicalResourceId"), ["HelloFunction", "world"]);
      assert.deepEqual(all(text, "PhysicalResourceId"), ["hello", "world"]);
      assert.deepEqual(new Set(all(text, "ResourceType")), new Set(["AWS::Lambda::Function"]));
      assert.equal(all(text, "NextToken").length, 0);
    }
  });

  it("are told in pages, of a hundred resources", async () => {
    const names = Array.from({ length: 101 }, (_, index) => `many-${String(index).padStart(3, "0")}`);
    for (const name of names) {
      await makeFunction(control, name);
      await tag(name, { "lambdad:stack": "many" });
    }
    const first = (await ask({ Action: "ListStackResources", StackName: "many" })).text;
    const [NextToken = ""] = all(first, "NextToken");
    const second = (await ask({ Action: "ListStackResources", StackName: "many", NextToken })).text;
    assert.deepEqual([...all(first, "PhysicalResourceId"), ...all(second, "PhysicalResourceId")], names);
    assert.deepEqual(all(second, "NextToken"), []);
    for (const name of names) await control.send({ method: "DELETE", path: `${FUNCTIONS}/${name}` });
  });

  it("are described, one or all", async () => {
    for (const asked of [{ StackName: "app" }, {}]) {
      const { text } = await ask({ Action: "DescribeStacks", ...asked });
      assert.deepEqual(all(text, "StackName"), ["app"]);
      assert.deepEqual(all(text, "StackId"), [STACK_ID]);
      assert.deepEqual(all(text, "StackStatus"), ["CREATE_COMPLETE"]);
    }
  });

  it("have resources that are described by either id", async () => {
    const one = { Action: "DescribeStackResource", StackName: "app", LogicalResourceId: "HelloFunction" };
    assert.deepEqual(all((await ask(one)).text, "PhysicalResourceId"), ["hello"]);
    const some = { Action: "DescribeStackResources" };
    const byLogical = { ...some, StackName: "app", LogicalResourceId: "world" };
    assert.deepEqual(all((await ask(byLogical)).text, "PhysicalResourceId"), ["world"]);
    const byPhysical = { ...some, PhysicalResourceId: "hello" };
    assert.deepEqual(all((await ask(byPhysical)).text, "LogicalResourceId"), ["HelloFunction", "world"]);
  });

  it("refuse what is not there, and all that makes or changes one", async () => {
    for (const [why, fields, code, message] of [
      [
        "a stack that is not there",
        { Action: "ListStackResources", StackName: "none" },
        "ValidationError",
        /Stack with id none does not exist: .*lambdad:stack=NAME/,
      ],
      ["no stack", { Action: "ListStackResources" }, "ValidationError", /stackName/],
      [
        "a resource that is not there",
        { Action: "DescribeStackResource", StackName: "app", LogicalResourceId: "x" },
        "ValidationError",
        /Resource x does not exist for stack app/,
      ],
      [
        "neither stack nor resource",
        { Action: "DescribeStackResources" },
        "ValidationError",
        /Either StackName or PhysicalResourceId/,
      ],
      [
        "a token that is none",
        { Action: "ListStackResources", StackName: "app", NextToken: "x" },
        "InvalidParameterValue",
        /NextToken is invalid/,
      ],
      ["a deployment", { Action: "CreateChangeSet", StackName: "app" }, "InvalidAction", /CreateChangeSet/],
      ["an operation of CloudWatch's", { Action: "ListMetrics" }, "InvalidAction", /ListMetrics/],
    ] as const) {
      const { status, text } = await ask(fields);
      assert.deepEqual([why, status, all(text, "Code")], [why, 400, [code]], text);
      assert.match(text, message);
    }
    const { text } = await ask({ Action: "DescribeStacks" }, null);
    assert.deepEqual(all(text, "Code"), ["InvalidClientTokenId"]);
  });

  it("are shown as far as the key may use their functions", async () => {
    const token = await control.issue({ scopes: ["read"], functions: "hello" });
    const { text } = await ask({ Action: "ListStackResources", StackName: "app" }, token);
    assert.deepEqual(all(text, "PhysicalResourceId"), ["hello"]);
  });
});
