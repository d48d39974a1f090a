/**
 * Bad input for every operation, made of the official model: a request as it should be, in which one member is wrong,
 * be it in the path, the query, a header or anywhere in the body.
 */
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import * as sdk from "@aws-sdk/client-lambda";
import { NormalizedSchema } from "@smithy/core/schema";
import fc from "fast-check";
import { makeFunction, named, ROLE, startControl, type TestControl, zipOf } from "../control.fake.ts";
import { AWS_ROUTES } from "./routes.ts";

interface Wrong {
  /** What is wrong, for whoever reads the failure. */
  readonly what: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
  /** Whether an answer without an error may be right: what is asked for or taken away may just not be there. */
  readonly mayBeNothing: boolean;
}

const ZIP = zipOf().toString("base64");
const ARN = "arn:aws:lambda:eu-central-1:123456789012:function:there";

/** What makes a request right, beside the path. */
const BODIES: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  CreateFunction: {
    FunctionName: "made",
    Role: ROLE,
    Runtime: "nodejs24.x",
    Handler: "index.handler",
    Code: { ZipFile: ZIP },
  },
  UpdateFunctionCode: { ZipFile: ZIP },
  CreateAlias: { Name: "made", FunctionVersion: "1" },
  CreateFunctionUrlConfig: { AuthType: "NONE" },
  PutFunctionConcurrency: { ReservedConcurrentExecutions: 5 },
  PutProvisionedConcurrencyConfig: { ProvisionedConcurrentExecutions: 1 },
  TagResource: { Tags: { a: "b" } },
  PublishLayerVersion: { Content: { ZipFile: ZIP } },
  AddPermission: { StatementId: "made", Action: "lambda:InvokeFunction", Principal: "*" },
  PutRuntimeManagementConfig: { UpdateRuntimeOn: "Auto" },
  PutFunctionRecursionConfig: { RecursiveLoop: "Allow" },
  PutFunctionEventInvokeConfig: { MaximumRetryAttempts: 1 },
  PutResourcePolicy: { Policy: "{}" },
};

const LABELS: Readonly<Record<string, string>> = {
  FunctionName: "there",
  Name: "live",
  Resource: ARN,
  ResourceArn: ARN,
  LayerName: "layer",
  VersionNumber: "1",
};

const WRONG_NAMES = [
  "a b",
  "x".repeat(141),
  "missing",
  "there:",
  "arn:aws:lambda:eu-central-1:999999999999:function:there",
  "arn:aws:s3:::there",
  "..",
  "\u0000",
  "_there",
  "there/..",
];

/** Wrong whatever is expected there: of text, that is only what is no text. */
function wrongFor(schema: NormalizedSchema, depth = 0): fc.Arbitrary<readonly [at: string, value: unknown]> {
  const plain = (...values: readonly unknown[]) =>
    fc.constantFrom(...values).map((value) => ["", value] as const);
  if (schema.isBlobSchema()) return plain(5, true, {}, [], "?? no base64 ??");
  if (schema.isStringSchema()) return plain(5, true, {}, [], ["a"], 1.5);
  if (schema.isNumericSchema()) return plain("x", true, {}, [], [1], -1e18, 1e18);
  if (schema.isBooleanSchema()) return plain("yes", 1, {}, []);
  const nested: fc.Arbitrary<readonly [string, unknown]>[] = [];
  if (depth < 3 && schema.isListSchema()) {
    nested.push(wrongFor(schema.getValueSchema(), depth + 1).map(([at, value]) => [`[0]${at}`, [value]]));
    return fc.oneof(plain("x", 5, {}, true), ...nested);
  }
  if (depth < 3 && schema.isMapSchema()) {
    nested.push(
      wrongFor(schema.getValueSchema(), depth + 1).map(([at, value]) => [`.key${at}`, { key: value }]),
    );
    return fc.oneof(plain("x", 5, [], true), ...nested);
  }
  if (depth < 3 && schema.isStructSchema()) {
    for (const [name, member] of schema.structIterator()) {
      nested.push(wrongFor(member, depth + 1).map(([at, value]) => [`.${name}${at}`, { [name]: value }]));
    }
    return fc.oneof(plain("x", 5, [], true), ...nested);
  }
  return plain(5, "x");
}

/** Undefined for an operation in which nothing can be wrong. */
function wrongInput(operation: string): fc.Arbitrary<Wrong> | undefined {
  const model: unknown = Reflect.get(sdk, `${operation}$`);
  assert.ok(Array.isArray(model), operation);
  const right = {
    labels: LABELS,
    query: {},
    headers: {},
    body: BODIES[operation] ?? {},
    mayBeNothing: false,
  };
  const isHarmless = /^(Get|List|Delete|Remove|Untag)/.test(operation);
  const choices: fc.Arbitrary<Wrong>[] = [];
  const members = [...NormalizedSchema.of(model[4]).structIterator()];
  // Others take no qualifier, and overlook one.
  const unqualified = members.some(([name]) => name === "Qualifier") ? ["there:no-such"] : [];
  for (const [name, member] of members) {
    const traits = member.getMergedTraits();
    const text = member.isNumericSchema() ? NOT_A_NUMBER : ODD_TEXT;
    if (traits.httpLabel) {
      const values = /^(FunctionName|Resource|ResourceArn)$/.test(name)
        ? fc.oneof(
            fc.constantFrom(...WRONG_NAMES, ...unqualified),
            fc.string({ minLength: 1, maxLength: 200 }),
          )
        : name === "LayerName" && operation === "PublishLayerVersion"
          ? fc.constantFrom("a b", "x".repeat(141), "?", "\u0000", "..", "a:b")
          : text;
      choices.push(
        values.map((value) => ({
          ...right,
          what: `${name} = ${value}`,
          labels: { ...LABELS, [name]: value },
          mayBeNothing: isHarmless,
        })),
      );
    } else if (typeof traits.httpQuery === "string") {
      const parameter = traits.httpQuery;
      choices.push(
        text.map((value) => ({
          ...right,
          what: `?${parameter}=${value}`,
          query: { [parameter]: value },
          mayBeNothing: isHarmless && !member.isNumericSchema(),
        })),
      );
    } else if (
      traits.httpHeader === "X-Amz-Invocation-Type" ||
      traits.httpHeader === "X-Amz-Client-Context"
    ) {
      const header = traits.httpHeader;
      choices.push(
        fc.constantFrom("Wrong", "?", "e30", "W10=").map((value) => ({
          ...right,
          what: `${header}: ${value}`,
          headers: { [header]: value },
          // Anything that is not base64 of an object is wrong; an array is not looked at, as on AWS.
          mayBeNothing: header === "X-Amz-Client-Context",
        })),
      );
    } else if (!traits.httpPayload && !traits.httpHeader) {
      choices.push(
        wrongFor(member).map(([at, value]) => ({
          ...right,
          what: `${name}${at} = ${JSON.stringify(value)}`,
          body: { ...right.body, [name]: value },
        })),
      );
    }
  }
  return choices.length > 0 ? fc.oneof(...choices) : undefined;
}

const NOT_A_NUMBER = fc.constantFrom("x", "1x", "-1", "1.5", "99999999999999999999", "NaN", " ");
const ODD_TEXT = fc.oneof(
  fc.constantFrom("no such", "?", "x".repeat(2_000), "\u0000", "..", "$NOTHING", "a:b:c"),
  fc.string({ minLength: 1, maxLength: 40 }).filter((text) => !/^(\d+|live)$/.test(text)),
);

/** A control listener with a function `there`, which has a version 1 and an alias `live`, and a layer. */
export async function startFilledControl(): Promise<TestControl> {
  const control = await startControl();
  await makeFunction(control, "there");
  await control.functions.publish(named("there"), {});
  await control.functions.createAlias(named("there"), {
    name: "live",
    version: "1",
    description: "",
    split: undefined,
  });
  await control.send({
    method: "POST",
    path: "/2018-10-31/layers/layer/versions",
    body: JSON.stringify(BODIES.PublishLayerVersion),
  });
  return control;
}

/** What may be changed by an operation. */
async function stateOf(control: TestControl): Promise<unknown> {
  const all = { after: undefined, limit: 99 };
  return JSON.parse(
    JSON.stringify([
      await control.functions.list(all),
      await control.functions.listVersions(named("there"), { after: 0, limit: 99 }),
      await control.store.layers.listNames(all),
    ]),
  );
}

/**
 * Sends each operation so many requests with one thing wrong, to a control as `startFilledControl` gives it: none may
 * change anything, come to a fault of ours, or be answered with an error without a name. Gives how many were sent.
 */
export async function refusesWrongMembers(control: TestControl, runs: number): Promise<number> {
  let sent = 0;
  const complaints = new Set<string>();
  let before = await stateOf(control);
  for (const { name, method, path, query } of AWS_ROUTES) {
    const input = wrongInput(name);
    if (!input) continue;
    const property = fc.asyncProperty(input, async (wrong) => {
      sent += 1;
      const filled = path.replace(/\{(\w+)\}/g, (_, label: string) =>
        encodeURIComponent(wrong.labels[label] ?? "x"),
      );
      const asked = new URLSearchParams([...new URLSearchParams(query), ...Object.entries(wrong.query)]);
      const hasBody = method !== "GET" && method !== "DELETE";
      const { status, headers, text, json } = await control.send({
        method,
        path: `${filled}${asked.size > 0 ? `?${asked}` : ""}`,
        headers: wrong.headers,
        ...(hasBody && { body: JSON.stringify(wrong.body) }),
      });
      if (status < 300 && wrong.mayBeNothing) return;
      const { message, Message } = Object(json);
      const isRefused =
        status >= 400 &&
        status < 500 &&
        /^[A-Z]\w+Exception$/.test(String(headers["x-amzn-errortype"])) &&
        typeof (message ?? Message) === "string";
      if (!isRefused)
        complaints.add(`${name} with ${wrong.what.slice(0, 200)}: ${status} ${text.slice(0, 200)}`);
    });
    await fc.assert(property, { numRuns: runs });
    const after = await stateOf(control);
    if (!isDeepStrictEqual(after, before)) complaints.add(`${name} has changed something`);
    before = after;
  }
  // Those that were wrongly accepted come with what they have changed: all are told at once.
  assert.deepEqual([...complaints].slice(0, COMPLAINTS_MAX), []);
  return sent;
}

const COMPLAINTS_MAX = 50;
