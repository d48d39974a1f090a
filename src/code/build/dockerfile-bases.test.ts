import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { beyondClassic } from "./beyond-classic.ts";
import { findBases } from "./dockerfile-bases.ts";

const ARCH = process.arch === "arm64" ? "arm64" : "amd64";

describe("findBases", () => {
  for (const [what, dockerfile, base, others, unknown] of [
    ["one stage", "FROM a/b:1", "a/b:1", [], []],
    ["comments and flags", "# FROM x\nfrom --platform=linux/amd64 a AS build\nRUN x\nFROM b", "b", [], []],
    ["a stage on a stage", "FROM golang:1 AS build\nFROM build", "golang:1", [], []],
    ["a stage by its name in capitals", "FROM golang:1 AS Build\nFROM BUILD", "golang:1", [], []],
    ["scratch", "FROM scratch", undefined, [], []],
    [
      "what is copied from",
      "FROM golang:1 AS build\nFROM unused:1\nFROM scratch\nCOPY --from=build /a /a\nCOPY --from=nginx:1 /b /b",
      undefined,
      ["golang:1", "nginx:1"],
      [],
    ],
    ["a stage by number", "FROM a:1\nFROM b:1\nCOPY --from=0 /a /a", "b:1", ["a:1"], []],
    [
      "stages behind stages",
      "FROM a:1 AS a\nFROM b:1 AS b\nCOPY --from=a / /\nFROM c:1\nCOPY --from=b / /",
      "c:1",
      ["b:1", "a:1"],
      [],
    ],
    ["a mount from another", "FROM a:1\nRUN --mount=type=bind,from=b:1,target=/x ls", "a:1", ["b:1"], []],
    ["itself twice", "FROM a:1 AS x\nFROM a:1\nCOPY --from=x /y /y", "a:1", [], []],
    ["an argument's default", "ARG V=1.2\nARG IMAGE=node:$V\nFROM ${IMAGE}-slim", "node:1.2-slim", [], []],
    ["a default where it is used", "ARG V\nFROM node:${V:-22}", "node:22", [], []],
    ["an argument that is given quotes", 'ARG V="22"\nFROM "node:${V}"', "node:22", [], []],
    ["an argument of a stage, which is not for FROM", "FROM a\nARG B=x\nFROM $B", undefined, [], ["$B"]],
    ["an argument without a value", "ARG B\nFROM $B", undefined, [], ["$B"]],
    ["the platform's own", "FROM x/$TARGETARCH:1", `x/${ARCH}:1`, [], []],
    ["a digest", `FROM a:1@sha256:${"0".repeat(64)}`, `a:1@sha256:${"0".repeat(64)}`, [], []],
    ["lines that go on", "FROM \\\n  # not this\n\n  a:1 \\\n AS x", "a:1", [], []],
    ["another escape", "# escape=`\nFROM `\n a:1", "a:1", [], []],
    ["a heredoc", "FROM a:1\nRUN <<EOF\nFROM b:1\nEOF\nCOPY --from=c:1 / /", "a:1", ["c:1"], []],
    ["no FROM", "RUN x", undefined, [], []],
    ["nothing", "", undefined, [], []],
  ] as const) {
    it(`reads ${what}`, () => assert.deepEqual(findBases(dockerfile), { base, others, unknown }));
  }
});

describe("findBases, given arguments", () => {
  const dockerfile =
    "ARG TAG=1\nARG OTHER\nFROM a:$TAG AS x\nARG TAG=9\nFROM b:${OTHER}\nCOPY --from=x /a /a";
  it("takes them in place of defaults", () =>
    assert.deepEqual(findBases(dockerfile, { TAG: "2", OTHER: "3" }), {
      ...{ base: "b:3", others: ["a:2"], unknown: [] },
    }));
  it("ignores those that nothing declares", () =>
    assert.deepEqual(findBases("FROM a:$TAG", { TAG: "2" }), {
      ...{ base: undefined, others: [], unknown: ["a:$TAG"] },
    }));
});

describe("beyondClassic", () => {
  for (const [dockerfile, what] of [
    ["FROM a\nRUN --mount=type=cache,target=/x make", "line 2, RUN --mount=type=cache,target=/x"],
    ["FROM a\n\n# one\nRUN \\\n  --network=none make", "line 4, RUN --network=none"],
    ["FROM a\nCOPY <<EOF /x\ntext\nEOF", "line 2, COPY with a heredoc"],
    ["FROM a\nCOPY --link a b", "line 2, COPY --link"],
    ["FROM --platform=$BUILDPLATFORM a", "line 1, FROM --platform=$BUILDPLATFORM"],
    ["FROM a\nADD https://example.com/x.git /x", "line 2, ADD of a git repository"],
    ["# syntax=docker/dockerfile:1\nFROM --platform=linux/amd64 a\nCOPY --chown=1:1 --from=b c d", undefined],
    ["FROM a\nRUN cat <x && echo 1<<2 '--mount=x'", undefined],
    ["FROM a\nCMD echo <<EOF", undefined],
  ] as const) {
    it(`is ${what} in ${JSON.stringify(dockerfile)}`, () => assert.equal(beyondClassic(dockerfile), what));
  }
});
