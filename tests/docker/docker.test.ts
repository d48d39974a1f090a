/** All that needs a container engine, on one engine that is started here. */
import { after, before, describe } from "node:test";
import { describeBuildKit } from "./buildkit.suite.ts";
import { describeDockerDriver } from "./driver.suite.ts";
import { startEngine, type TestEngine, withoutEngine } from "./engine.ts";
import { describeEngineFaults } from "./engine-faults.suite.ts";
import { describeFaults, describeFullDisk } from "./faults.suite.ts";
import { describeFirstProcess } from "./first-process.suite.ts";
import { describeImageFunctions } from "./functions.suite.ts";
import { describeOtherEngine } from "./other-engines.suite.ts";
import { describePacking } from "./packing.suite.ts";
import { describeRegistry } from "./registry.suite.ts";
import { describeImageUpkeep } from "./upkeep.suite.ts";

const skip = withoutEngine();

describe("docker", { skip: skip ?? false }, () => {
  let engine: TestEngine | undefined;
  before(async () => {
    engine = await startEngine();
  });
  after(() => engine?.[Symbol.asyncDispose]());
  const getEngine = () => {
    if (!engine) throw new Error("the engine is started before the tests");
    return engine;
  };

  describeDockerDriver(getEngine);
  describeFirstProcess(getEngine, { tellsOutOfMemory: true, seesMounts: true });
  describeImageFunctions(getEngine);
  describeImageUpkeep(getEngine);
  describePacking(getEngine);
  describeRegistry(getEngine);
  describeFaults(getEngine);
  describeEngineFaults(getEngine);
});

// One after another, and not beside the first: engines share the host's network rules.
await describeOtherEngine("podman", { isWhole: true });
await describeOtherEngine("rootless docker", { isWhole: true });

// With a network for its steps, which classic builds do without.
describe("docker, BuildKit", { skip: skip ?? false }, () => describeBuildKit());

// On an engine of its own, when the other one has stopped.
describe("docker, on a small disk", { skip: skip ?? false }, () => describeFullDisk());
