import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import { parseFunctionName } from "../core/ids.ts";
import { type ImageFacts, imageRepository, parseImageReference } from "../core/image.ts";
import { settleImage } from "./image.ts";

const ID = `sha256:${"a".repeat(64)}`;
const SAID_NOTHING = { kind: undefined, handler: undefined, command: undefined };

function factsOf(changes: Partial<ImageFacts>): ImageFacts {
  return {
    id: ID,
    bytes: 1,
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    entryPoint: [],
    command: ["/app"],
    workingDir: "",
    user: "",
    ports: [],
    variables: [],
    createdAt: 0,
    digests: [],
    ...changes,
  };
}

const settle = (facts: Partial<ImageFacts>, said: Partial<Parameters<typeof settleImage>[1]> = {}) =>
  settleImage(factsOf(facts), { ...SAID_NOTHING, ...said }, { name: "x" });

describe("an image", () => {
  it("is a handler on AWS's base images, by its command there", () => {
    const { entry, image } = settle({
      entryPoint: ["/lambda-entrypoint.sh"],
      command: ["app.handler"],
      variables: ["PATH", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"],
      workingDir: "/var/task",
    });
    assert.deepEqual(entry, { kind: "handler", handler: "app.handler" });
    assert.deepEqual(image.command, ["/lambda-entrypoint.sh", "app.handler"]);
    assert.equal(image.workingDir, "/var/task");
  });

  for (const command of [
    ["/usr/bin/python3", "-m", "awslambdaric", "app.handler"],
    ["/usr/local/bin/npx", "aws-lambda-ric", "a.b"],
    ["./bootstrap"],
  ]) {
    it(`is a handler with ${command.join(" ")}`, () =>
      assert.equal(settle({ entryPoint: command, command: [] }).entry.kind, "handler"));
  }

  it("is started without the emulator", () => {
    const { image } = settle(
      { entryPoint: ["/usr/bin/aws-lambda-rie", "/main"], command: [] },
      { kind: "handler" },
    );
    assert.deepEqual(image.command, ["/main"]);
  });

  it("is a server where it exposes a port, and else a filter", () => {
    const server = settle({ ports: [80, 443] });
    assert.deepEqual([server.entry.kind, server.image.port], ["server", 80]);
    assert.deepEqual(settle({}).entry, { kind: "filter", command: ["/app"] });
    assert.equal(settle({ ports: [80] }, { kind: "filter" }).entry.kind, "filter");
  });

  it("keeps its entry point when its command is replaced, and remembers what was said", () => {
    const { image } = settle({ entryPoint: ["/e"] }, { command: ["one", "two"] });
    assert.deepEqual([image.command, image.overrides], [["/e", "one", "two"], { command: ["one", "two"] }]);
    const all = settle({ entryPoint: ["/e"] }, { overrides: { entryPoint: ["/f"], workingDir: "/w" } });
    assert.deepEqual([all.image.command, all.image.workingDir], [["/f", "/app"], "/w"]);
  });

  for (const [why, facts, said, pattern] of [
    ["nothing to run", { command: [] }, {}, /neither an entry point nor a command/],
    ["another machine's programs", { architecture: "s390x" }, {}, /is for s390x/],
    ["a lifecycle module", {}, { kind: "lifecycle" }, /cannot be images/],
  ] as const) {
    it(`is refused with ${why}`, () => {
      assert.throws(
        () => settle(facts, said),
        (error) => isPlatformError(error, "InvalidHandler") && pattern.test(error.message),
      );
    });
  }
});

describe("names of images", () => {
  for (const [text, reference] of [
    ["busybox", "busybox:latest"],
    ["my/web:1.2", "my/web:1.2"],
    ["localhost:5000/a/b", "localhost:5000/a/b:latest"],
    ["registry.example.com/a__b/c-d.e:T_a.g-1", "registry.example.com/a__b/c-d.e:T_a.g-1"],
    [`a@${ID}`, `a@${ID}`],
    [ID, ID],
  ] as const) {
    it(`takes ${text}`, () => assert.equal(parseImageReference(text), reference));
  }

  for (const text of [
    "",
    "Upper",
    "a b",
    "a;b",
    "-a",
    "a/",
    "/a",
    "a:",
    "a..b",
    "a/../b",
    "a@sha256:12",
    "a?x=1",
    "a#b",
    "http://a/b",
    "a%2f",
    "a\nb",
    "x".repeat(600),
  ]) {
    it(`refuses ${JSON.stringify(text.slice(0, 20))}`, () =>
      assert.equal(parseImageReference(text), undefined));
  }

  it("are one repository per function, in the grammar of repositories, and never the same for two", () => {
    const names = ["greet", "Greet", "GREET", "a-b", "a_b", "a__b", "a---b", "-a", "a-", "---", "a___b"];
    const made = names.map((name) =>
      imageRepository("0123456789ab", parseFunctionName(name) ?? assert.fail(name)),
    );
    assert.equal(new Set(made).size, names.length);
    assert.deepEqual(
      made.filter((repository) => parseImageReference(repository) === undefined),
      [],
    );
    assert.equal(made[0], "lambdad-0123456789ab/greet");
  });
});
