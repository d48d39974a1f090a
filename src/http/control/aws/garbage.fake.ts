/** Nonsense for every operation of the Lambda API, made from the members that the official model knows. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import type { TestControl } from "../control.fake.ts";
import { AWS_ROUTES } from "./routes.ts";

/** Every name of the official model, so that each operation finds members of its own among them. */
const MODEL = readFileSync(fileURLToPath(import.meta.resolve("@aws-sdk/client-lambda")), "utf8");
const MEMBERS = [
  ...new Set([...MODEL.matchAll(/^const _\w+ = "([A-Z]\w+)";?$/gm)].map(([, name = ""]) => name)),
  "__proto__",
  "constructor",
  "toString",
];

/** Wrong whatever the member: no operation takes a body of which a known member is like this. */
export const garbage = fc.dictionary(
  fc.constantFrom(...MEMBERS),
  fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom("", "\u0000", "../..", "$LATEST", -1, 1e308, [], {}, [[]]),
  ),
  { minKeys: 1 },
);

const body = fc.oneof(
  garbage.map((value) => JSON.stringify(value)),
  fc.string(),
  fc.constantFrom(
    "",
    "null",
    "[]",
    "0",
    '"x"',
    "{",
    '{"a":',
    "\ufeff{}",
    '{"FunctionName":{"__proto__":1}}',
    "[".repeat(10_000),
  ),
);

const KNOWN_ERRORS = new Set([
  "InvalidParameterValueException",
  "ValidationException",
  "InvalidRequestContentException",
  "ResourceNotFoundException",
  "ResourceConflictException",
  "PreconditionFailedException",
  "UnknownOperationException",
  "AccessDeniedException",
  "CodeSigningConfigNotFoundException",
]);

/** Lists take no body, and where nothing is named nothing can be named wrongly. */
const TAKES_ANYTHING: ReadonlySet<string> = new Set([
  "GetAccountSettings",
  "ListFunctions",
  "ListLayers",
  "ListLayerVersions",
  "ListEventSourceMappings",
  "ListCodeSigningConfigs",
  "ListCapacityProviders",
]);

/**
 * Sends each operation so many bad requests: none may change anything, come to a fault of ours, or be answered with an
 * error that AWS does not have. The only function of `control` must be `there`.
 */
export async function refusesGarbage(control: TestControl, runs: number): Promise<void> {
  // What changes nothing but what a valid body says is tried on a function that is not there.
  for (const { name, method, path, query } of AWS_ROUTES) {
    const target = (query === undefined ? path : `${path}?${query}`)
      .replace("{FunctionName}", "missing")
      .replace("{Resource}", "arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Amissing")
      .replace("{ResourceArn}", "arn%3Aaws%3Alambda%3Aeu-central-1%3A123456789012%3Afunction%3Amissing")
      .replace(/\{\w+\}/g, "x");
    if (TAKES_ANYTHING.has(name)) continue;
    await fc.assert(
      fc.asyncProperty(body, async (sent) => {
        const answer = await control.send({ method, path: target, body: sent });
        const error = String(answer.headers["x-amzn-errortype"]);
        assert.ok(answer.status >= 400 && answer.status < 500, `${name}: ${answer.status} ${answer.text}`);
        assert.ok(KNOWN_ERRORS.has(error), `${name}: ${error} ${answer.text}`);
        const { message, Message } = Object(answer.json);
        assert.ok(typeof (message ?? Message) === "string", answer.text);
      }),
      { numRuns: runs },
    );
  }
  const all = await control.functions.list({ after: undefined, limit: 9 });
  assert.deepEqual(
    all.map((record) => record.name),
    ["there"],
  );
  assert.deepEqual(await readdir(join(control.dir, "uploads")), []);
}
