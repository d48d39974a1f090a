import assert from "node:assert/strict";
import { type ProjectName, parseProjectName } from "../core/project.ts";
import type { Release } from "../core/release.ts";
import { sampleName } from "./samples.fake.ts";

export function sampleProjectName(text: string): ProjectName {
  const name = parseProjectName(text);
  assert.ok(name, `${text} is no name of a project`);
  return name;
}

/** A release of the project `shop` that has these versions. */
export function sampleRelease(
  number: number,
  versions: Readonly<Record<string, number>>,
  change: Partial<Release> = {},
): Release {
  return {
    project: sampleProjectName("shop"),
    number,
    functions: Object.entries(versions).map(([name, version]) => ({
      name: sampleName(name),
      version,
      inputs: "0".repeat(64),
      concurrencyMax: undefined,
      concurrencyMin: 0,
    })),
    schedules: [],
    routes: [],
    hooks: [],
    sources: [],
    madeOver: undefined,
    createdAt: 1,
    createdBy: "me",
    commit: undefined,
    description: "",
    ...change,
  };
}
