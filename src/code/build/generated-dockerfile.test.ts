import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isPlatformError } from "../../core/errors.ts";
import type { Entry } from "../../core/function.ts";
import { parseImageBases } from "../../core/image-bases.ts";
import { generateDockerfile } from "./generated-dockerfile.ts";

const handler: Entry = { kind: "handler", handler: "index.handler" };
const bases = (text: string) => parseImageBases(text) ?? assert.fail(text);

describe("generateDockerfile", () => {
  for (const [why, entry, runtime, setting, lines] of [
    [
      "AWS's image of Node",
      handler,
      "nodejs24.x",
      "aws",
      ["FROM public.ecr.aws/lambda/nodejs:24", 'CMD ["index.handler"]'],
    ],
    ["AWS's image of Python", handler, "python3.13", "aws", ["FROM public.ecr.aws/lambda/python:3.13"]],
    [
      "AWS's image for programs",
      handler,
      "provided.al2023",
      "aws",
      ["FROM public.ecr.aws/lambda/provided:al2023", 'ENTRYPOINT ["/var/task/bootstrap"]'],
    ],
    [
      "AWS's image of Ruby",
      { kind: "handler", handler: "app.Orders.create" },
      "ruby3.3",
      "aws",
      ["FROM public.ecr.aws/lambda/ruby:3.3", 'CMD ["app.Orders.create"]'],
    ],
    ["AWS's image of Java", handler, "java21", "aws", ["FROM public.ecr.aws/lambda/java:21"]],
    [
      "a Ruby of one's own",
      handler,
      "ruby3.3",
      "slim,ruby3.3=my/ruby",
      ["FROM my/ruby:latest", 'CMD ["index.handler"]'],
    ],
    ["the older one", handler, "provided.al2", "aws", ["FROM public.ecr.aws/lambda/provided:al2"]],
    [
      "a slim Node",
      handler,
      "nodejs24.x",
      "slim",
      ["FROM node:24-slim", 'ENTRYPOINT ["node","/opt/lambdad/client.mjs"]'],
    ],
    [
      "a slim Python",
      handler,
      "python3.13",
      "slim",
      ["FROM python:3.13-slim", 'ENTRYPOINT ["python3","/opt/lambdad/client.py"]'],
    ],
    ["an image of one's own", handler, "nodejs24.x", "slim,nodejs24.x=my/node:24", ["FROM my/node:24"]],
    [
      "a server",
      { kind: "server", command: ["./app", "-x"] },
      "provided.al2023",
      "slim",
      ["FROM debian:stable-slim", 'ENTRYPOINT ["./app","-x"]', "CMD []"],
    ],
  ] as const) {
    it(`puts code on ${why}`, () => {
      const { text } = generateDockerfile(entry, runtime, bases(setting));
      for (const line of [...lines, "WORKDIR /var/task/", "COPY . /var/task/"])
        assert.ok(text.split("\n").includes(line), `${line} is not in\n${text}`);
    });
  }

  it("refuses a slim image for what has a client in AWS's images only", () => {
    for (const runtime of ["ruby3.3", "java21", "dotnet8"])
      assert.throws(
        () => generateDockerfile(handler, runtime, bases("slim")),
        /no slim base for handlers of .*image-bases: aws/,
      );
  });

  it("refuses lifecycle modules", () => {
    assert.throws(
      () => generateDockerfile({ kind: "lifecycle", module: "index.mjs" }, "nodejs24.x", bases("aws")),
      (error) => isPlatformError(error, "InvalidHandler"),
    );
  });
});

describe("parseImageBases", () => {
  for (const text of ["", "tiny", "nodejs24.x=", "nodejs24.x=UPPER", "aws;slim", "=x"]) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseImageBases(text), undefined));
  }
});
