import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import { SETTINGS_DEFAULT } from "../core/function-settings.ts";
import { silentLog } from "../core/log.ts";
import { sampleFunction, sampleName } from "../store/samples.fake.ts";
import { tidyRecordings } from "./recording-upkeep.ts";

const NEVER = new AbortController().signal;
const DAY_MS = 86_400_000;

describe("the upkeep of recordings", () => {
  it("removes what is older than its function keeps it, and all of functions that are no more", async () => {
    const recording = { isOn: false, share: 1, keepMs: DAY_MS, redact: [] };
    const known = new Map<string, FunctionRecord>([
      ["kept", sampleFunction("kept", { settings: { ...SETTINGS_DEFAULT, recording } })],
      ["plain", sampleFunction("plain")],
    ]);
    const done: string[] = [];

    await tidyRecordings(
      {
        functions: {
          async get(name) {
            const record = known.get(name);
            if (record) return record;
            throw new PlatformError("FunctionNotFound", name);
          },
        },
        recordings: {
          functionNames: async () => ["kept", "plain", "gone"].map(sampleName),
          expire: async (name, beforeAt) => void done.push(`${name} ${beforeAt / DAY_MS}`),
          forget: async (name) => void done.push(`${name} forgotten`),
        },
        clock: { now: () => 100 * DAY_MS, monotonic: () => 0, sleep: async () => undefined },
        log: silentLog,
      },
      NEVER,
    );

    assert.deepEqual(done, ["kept 99", "plain 93", "gone forgotten"]);
  });
});
