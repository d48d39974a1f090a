import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  countOption,
  formatAge,
  formatBytes,
  formatSpan,
  instantOption,
  mibOption,
  parseSpan,
} from "./units.ts";

describe("parseSpan", () => {
  for (const [text, spanMs] of [
    ["3", 3_000],
    ["0.5", 500],
    ["500ms", 500],
    ["3s", 3_000],
    ["2m", 120_000],
    ["1h30m", 5_400_000],
    ["1d", 86_400_000],
    ["", undefined],
    ["-3s", undefined],
    ["3 s", undefined],
    ["3w", undefined],
    ["s", undefined],
    ["3s4", undefined],
    ["1e3", undefined],
  ] as const) {
    it(`${JSON.stringify(text)} is ${spanMs}`, () => assert.equal(parseSpan(text), spanMs));
  }
});

describe("mibOption", () => {
  for (const [text, mib] of [
    ["256", 256],
    ["256M", 256],
    ["256MiB", 256],
    ["1g", 1_024],
    ["2GB", 2_048],
  ] as const) {
    it(`${text} is ${mib}`, () => assert.equal(mibOption("--memory", text), mib));
  }
  for (const text of ["", "much", "1.5G", "-1", "10K", "1T", "256 MiB extra"]) {
    it(`refuses ${JSON.stringify(text)}, and says so`, () => {
      assert.throws(() => mibOption("--memory", text), {
        message: `--memory: expected MiB, or a size like 256M or 1G, got ${JSON.stringify(text)}`,
      });
    });
  }
});

describe("countOption", () => {
  for (const text of ["", "-1", "1.5", "1e3", "0x10", "one", "9999999999999999", "0"]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => countOption("--last", text, 1), /--last: expected a whole number from 1 up/);
    });
  }
});

describe("instantOption", () => {
  const now = Date.parse("2026-11-20T12:00:00Z");
  it("counts a span back from now", () => assert.equal(instantOption("--since", "10m", now), now - 600_000));
  it("takes a date", () => {
    assert.equal(instantOption("--since", "2026-11-20T11:00:00Z", now), now - 3_600_000);
  });
  for (const text of ["", "10", "yesterday", "2026-13-01", "1.1.2026"]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => instantOption("--since", text, now), /--since: expected a span back from now/);
    });
  }
});

describe("formatting", () => {
  it("shows sizes, spans and ages in the unit that fits", () => {
    assert.deepEqual([0, 1_023, 1_126, 500 * 1_024, 5 * 1_024 ** 3].map(formatBytes), [
      "0 B",
      "1023 B",
      "1.1 KiB",
      "500 KiB",
      "5 GiB",
    ]);
    assert.deepEqual([0.4, 38, 1_234, 180_000].map(formatSpan), ["0 ms", "38 ms", "1.2 s", "3 min"]);
    assert.deepEqual(
      [0, 5_000, 600_000, 86_400_000, 10 * 86_400_000].map((ago) => formatAge(-ago, 0)),
      ["0s", "5s", "10m", "24h", "10d"],
    );
  });
});
