import type { Clock } from "../core/clock.ts";
import type { FunctionConfig } from "../core/function.ts";
import { sampleProjectName } from "../store/project-samples.fake.ts";
import type { Projects } from "../store/projects.ts";
import { sampleFunction, sampleName, sampleVersion } from "../store/samples.fake.ts";
import { fakeRegistry } from "../store/store.fake.ts";
import type { Registry } from "../store/store.ts";
import { openFunctions } from "./function-registry.ts";
import type { Functions, NewFunction } from "./functions.ts";
import type { FunctionsTogether } from "./functions-together.ts";
import type { WantedRelease } from "./projects.ts";

/** A function to create or deploy, with code and configuration that follow from two words. */
export function newFunction(name: string, code = "a", config: Partial<FunctionConfig> = {}): NewFunction {
  const { latest, concurrencyMax, tags } = sampleFunction(name);
  return {
    name: sampleName(name),
    code: sampleVersion(name, "$LATEST", code).code,
    config: { ...latest.config, ...config },
    concurrencyMax,
    tags,
  };
}

/** A release of the project `shop` with functions by name, each of code that follows from a word, and with nothing that calls them. */
export function wantedRelease(
  codes: Readonly<Record<string, string>>,
  change: Partial<WantedRelease> & { readonly config?: Partial<FunctionConfig> } = {},
): WantedRelease {
  const { config, ...rest } = change;
  return {
    project: sampleProjectName("shop"),
    functions: Object.entries(codes).map(([name, code]) => ({
      ...newFunction(name, code, config),
      inputs: code.padEnd(64, "0"),
      concurrencyMax: undefined,
      concurrencyMin: 0,
    })),
    schedules: [],
    routes: [],
    hooks: [],
    sources: [],
    by: "me",
    commit: undefined,
    description: "",
    isPreview: false,
    adopts: false,
    ...rest,
  };
}

/** The real registry over a store in memory. */
export function openFakeFunctions(
  more: {
    readonly registry?: Registry;
    readonly releases?: Pick<Projects, "findRelease">;
    readonly random?: () => number;
    readonly cacheMax?: number;
  } = {},
): {
  readonly functions: Functions & FunctionsTogether;
  readonly registry: Registry;
  readonly changes: string[];
} {
  const registry = more.registry ?? fakeRegistry();
  const changes: string[] = [];
  let now = 1_000;
  const clock: Clock = { now: () => ++now, monotonic: () => now, sleep: async () => {} };
  const releases = { findRelease: async () => undefined };
  const functions = openFunctions({
    registry,
    releases,
    clock,
    changed: (name) => changes.push(name),
    ...more,
  });
  return { functions, registry, changes };
}
