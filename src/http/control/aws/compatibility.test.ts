import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import * as sdk from "@aws-sdk/client-lambda";
import { AWS_OPERATIONS } from "./routes.ts";

const page = readFileSync(join(import.meta.dirname, "../../../../docs/compatibility.md"), "utf8");

describe("docs/compatibility.md", () => {
  it("has one row per operation, with what becomes of it", () => {
    const rows = [...page.matchAll(/^\| ([A-Z]\w+) \| (supported|absent) \|/gm)];
    assert.deepEqual(
      rows.map(([, name, status]) => [name, status]),
      AWS_OPERATIONS.map(({ name, status }) => [name, status]),
    );
  });
});

describe("the table of operations", () => {
  it("knows every operation of the official SDK, and no other", () => {
    const known = Object.keys(sdk).flatMap((name) => /^([A-Z]\w+)Command$/.exec(name)?.[1] ?? []);
    assert.deepEqual(AWS_OPERATIONS.map(({ name }) => name).sort(), known.sort());
  });
});
