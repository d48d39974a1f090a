import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { type ErrorCode, isPlatformError } from "../core/errors.ts";
import type { Entry } from "../core/function.ts";
import { checkHandler, type EntrySettings, settleEntry } from "./entry.ts";

type Files = Readonly<Record<string, string>>;

const NOTHING_SAID: EntrySettings = {
  runtime: undefined,
  kind: undefined,
  handler: undefined,
  module: undefined,
  command: undefined,
};
const RUNTIMES = ["nodejs22.x", "nodejs24.x", "python3.9", "python3.11", "provided.al2023"];
const HANDLER = "export const handler = async () => 1;";

function handler(text: string): Entry {
  return { kind: "handler", handler: text };
}

function server(...command: [string, ...string[]]): Entry {
  return { kind: "server", command };
}

const NODE = "nodejs24.x";
const PYTHON = "python3.11";
const PROGRAM = "provided.al2023";

const DETECTED: readonly (readonly [string, Files, Entry, string])[] = [
  ["a Node handler", { "index.mjs": HANDLER }, handler("index.handler"), NODE],
  ["a CommonJS handler", { "handler.js": "exports.handler = 1" }, handler("handler.handler"), NODE],
  ["a TypeScript handler", { "index.ts": HANDLER, "tsconfig.json": "{}" }, handler("index.handler"), NODE],
  [
    "a TypeScript handler in src",
    { "src/index.mts": HANDLER, "package.json": "{}" },
    handler("src/index.handler"),
    NODE,
  ],
  [
    "package.json main",
    { "package.json": '{"main":"./dist/api.js"}', "dist/api.js": "exports.handler = 1", "index.js": "" },
    handler("dist/api.handler"),
    NODE,
  ],
  [
    "package.json main without ending",
    { "package.json": '{"main":"api"}', "api.cjs": "exports.handler = 1" },
    handler("api.handler"),
    NODE,
  ],
  [
    "package.json that is no JSON",
    { "package.json": "{", "index.js": "exports.handler = 1" },
    handler("index.handler"),
    NODE,
  ],
  ["index before app", { "app.mjs": HANDLER, "index.mjs": HANDLER }, handler("index.handler"), NODE],
  [
    "an only file with another name",
    { "greet.mjs": HANDLER, "README.md": "" },
    handler("greet.handler"),
    NODE,
  ],
  [
    "a handler that also listens locally",
    { "app.js": "app.listen(3000); exports.handler = serverless(app)" },
    handler("app.handler"),
    NODE,
  ],
  [
    "a lifecycle module",
    { "index.mjs": "export function init() {} export async function run(context, request, response) {}" },
    { kind: "lifecycle", module: "index.mjs" },
    NODE,
  ],
  [
    "a Node server",
    { "server.js": "require('http').createServer().listen(process.env.PORT)" },
    server("node", "server.js"),
    NODE,
  ],
  [
    "a start script",
    {
      "package.json": '{"scripts":{"start":"node --enable-source-maps lib/main.js --port 1"}}',
      "lib/main.js": "",
    },
    server("node", "--enable-source-maps", "lib/main.js", "--port", "1"),
    NODE,
  ],
  [
    "a start script with a variable",
    { "package.json": '{"scripts":{"start":"NODE_ENV=production node main.js"}}', "main.js": "" },
    server("env", "NODE_ENV=production", "node", "main.js"),
    NODE,
  ],
  [
    "a TypeScript server",
    { "server.ts": "createServer(on).listen(process.env.PORT)", "package.json": "{}" },
    server("node", "server.ts"),
    NODE,
  ],
  [
    "Lambda's Python name",
    { "lambda_function.py": "def lambda_handler(event, context): pass" },
    handler("lambda_function.lambda_handler"),
    PYTHON,
  ],
  [
    "a Python handler",
    { "main.py": "def handler(event, context): pass", "util.py": "" },
    handler("main.handler"),
    PYTHON,
  ],
  [
    "FastAPI through Mangum",
    { "app.py": "handler = Mangum(app)", "requirements.txt": "fastapi" },
    handler("app.handler"),
    PYTHON,
  ],
  [
    "Node before Python",
    { "index.mjs": HANDLER, "main.py": "def handler(e, c): pass" },
    handler("index.handler"),
    NODE,
  ],
  [
    "a Ruby handler",
    { "main.rb": "require 'json'\ndef handler(event:, context:) = 1\n", Gemfile: "" },
    handler("main.handler"),
    "ruby3.4",
  ],
  [
    "Lambda's Ruby name",
    { "lambda_function.rb": "def lambda_handler(event:, context:)\nend", "other.rb": "def handler; end" },
    handler("lambda_function.lambda_handler"),
    "ruby3.4",
  ],
  ["a bootstrap", { "+bootstrap": "#!/bin/sh\n", "index.mjs": HANDLER }, handler("bootstrap"), PROGRAM],
  [
    "a Go handler",
    { "go.mod": "module x\nrequire github.com/aws/aws-lambda-go v1", "main.go": "" },
    handler("bootstrap"),
    PROGRAM,
  ],
  [
    "a Go program without a network",
    { "go.mod": "module x", "main.go": 'import (\n\t"io"\n\t"os"\n)' },
    { kind: "filter", command: ["./bootstrap"] },
    PROGRAM,
  ],
  [
    "a Go server that leaves listening to another module",
    {
      "go.mod": "module x\nrequire github.com/labstack/echo/v4 v4.12.0",
      "main.go": 'import "github.com/labstack/echo/v4"',
    },
    server("./bootstrap"),
    PROGRAM,
  ],
  [
    "a Go server that takes its port by flag",
    {
      "go.mod": "module x",
      "main.go": 'import "net/http"\nport := flag.Int("port", 8080, "where to serve")',
    },
    server("./bootstrap", "-port", "$PORT"),
    PROGRAM,
  ],
  ["a Go server", { "go.mod": "module x", "main.go": 'import "net/http"' }, server("./bootstrap"), PROGRAM],
  [
    "a Procfile",
    { Procfile: "worker: x\nweb: node server.js\n", "server.js": "" },
    server("node", "server.js"),
    NODE,
  ],
  [
    "a Procfile for a shell",
    { Procfile: "web: uvicorn app:app --port $PORT", "app.py": "" },
    server("sh", "-c", "exec uvicorn app:app --port $PORT"),
    PYTHON,
  ],
  [
    "a Procfile with a program",
    { Procfile: "web: ./serve -v", "+serve": "\x7fELF" },
    server("./serve", "-v"),
    PROGRAM,
  ],
  [
    "a program",
    { "+shout": "#!/bin/sh\ntr a-z A-Z", "words.txt": "" },
    { kind: "filter", command: ["./shout"] },
    PROGRAM,
  ],
  [
    "an ELF program that serves",
    { "+app": "\x7fELF..net/http.(*Server).Serve\0.." },
    server("./app"),
    PROGRAM,
  ],
  [
    "an ELF program that serves, and takes a number by flag",
    { "+app": `\x7fELF..flag.(*intValue).Set\0${"x".repeat(1_048_540)}net/http.(*Server).Serve\0` },
    server("./app", "-port", "$PORT"),
    PROGRAM,
  ],
  [
    "an executable of lambda bundle",
    {
      "+app": String.raw`\x7fELF..JSON.parse("{\"madeBy\":\"lambda bundle 1.2.3\"}")`.replace(
        "\\x7f",
        "\x7f",
      ),
    },
    server("./app"),
    PROGRAM,
  ],
  ["an ELF program", { "+shout": "\x7fELF..." }, { kind: "filter", command: ["./shout"] }, PROGRAM],
  [
    "a Python program",
    { "+shout": "#!/usr/bin/env python3\nprint(1)" },
    { kind: "filter", command: ["./shout"] },
    PYTHON,
  ],
  [
    "a Node program",
    { "+shout": "#!/usr/bin/env -S node --no-warnings\n1" },
    { kind: "filter", command: ["./shout"] },
    NODE,
  ],
];

const MISSED: readonly (readonly [string, Files, RegExp, ErrorCode?])[] = [
  [
    "a module without handler",
    { "index.mjs": "export const main = 1; export const other = 2" },
    /no function found.*"index.mjs" \(index.mjs exports main, other\).*--handler/,
  ],
  [
    "a Dockerfile",
    { Dockerfile: "FROM scratch", "index.mjs": HANDLER },
    /Dockerfile, which is left out of a zip.*--handler/,
    "UnsupportedMember",
  ],
  [
    "a folder in the archive",
    { "hello/index.mjs": HANDLER, "hello/package.json": "{}" },
    /everything is inside the folder "hello"; pack what is in it/,
  ],
  ["a text file", { "README.md": "hello" }, /there are "README.md"; say what to run/],
  ["a script that may not be executed", { "shout.sh": "#!/bin/sh\n" }, /no function found/],
  ["two programs", { "+a": "#!/bin/sh\n", "+b": "#!/bin/sh\n" }, /no function found/],
  [
    "a start script that needs a shell",
    { "package.json": '{"scripts":{"start":"next start -p $PORT"}}' },
    /no function found/,
  ],
  ["a Python module without handler", { "main.py": "print('hello')" }, /no function found/],
];

const SAID: readonly (readonly [string, Files, Partial<EntrySettings>, Entry, string])[] = [
  ["a handler", { "a/b.mjs": "" }, { handler: "a/b.run.it" }, handler("a/b.run.it"), NODE],
  ["a handler in Python", { "api/main.py": "" }, { handler: "api.main.go" }, handler("api.main.go"), PYTHON],
  [
    "a handler in Ruby",
    { "lib/orders.rb": "" },
    { handler: "lib/orders.Orders::Create.call" },
    handler("lib/orders.Orders::Create.call"),
    "ruby3.4",
  ],
  [
    "an assembly of .NET",
    { "App.dll": "", "App.runtimeconfig.json": "" },
    { handler: "App", runtime: "dotnet8" },
    handler("App"),
    "dotnet8",
  ],
  [
    "a handler in a Python package",
    { "api/__init__.py": "" },
    { handler: "api.go" },
    handler("api.go"),
    PYTHON,
  ],
  [
    "a handler in a package",
    { "node_modules/tool/h.js": "", "index.js": "" },
    { handler: "node_modules/tool/h.go" },
    handler("node_modules/tool/h.go"),
    NODE,
  ],
  [
    "a handler despite a Dockerfile",
    { Dockerfile: "", "index.js": "" },
    { handler: "index.handler" },
    handler("index.handler"),
    NODE,
  ],
  ["a handler for a program", { "+bootstrap": "" }, { handler: "what.ever" }, handler("what.ever"), PROGRAM],
  ["a runtime", { "index.mjs": HANDLER }, { runtime: "nodejs22.x" }, handler("index.handler"), "nodejs22.x"],
  ["a module", { "fn.mjs": "" }, { module: "fn.mjs" }, { kind: "lifecycle", module: "fn.mjs" }, NODE],
  [
    "a module that a build has made before",
    { "fn.ts": "" },
    { module: "fn.mjs" },
    { kind: "lifecycle", module: "fn.ts" },
    NODE,
  ],
  ["a command", { "a.js": "" }, { command: ["node", "a.js"] }, server("node", "a.js"), NODE],
  [
    "a command that a build has made before",
    { "a.ts": "" },
    { command: ["node", "--x", "a.mjs"] },
    server("node", "--x", "a.ts"),
    NODE,
  ],
  [
    "a command for a filter",
    { x: "" },
    { kind: "filter", command: ["tr", "a-z", "A-Z"] },
    { kind: "filter", command: ["tr", "a-z", "A-Z"] },
    PROGRAM,
  ],
  ["a program that is a server", { "+serve": "\x7fELF" }, { kind: "server" }, server("./serve"), PROGRAM],
  [
    "a server that is a filter",
    { "server.js": "x.listen(1)" },
    { kind: "filter" },
    { kind: "filter", command: ["node", "server.js"] },
    NODE,
  ],
  ["the kind it has", { "index.mjs": HANDLER }, { kind: "handler" }, handler("index.handler"), NODE],
];

const REFUSED: readonly (readonly [string, Files, Partial<EntrySettings>, RegExp])[] = [
  [
    "a handler file that is missing",
    { "index.js": "" },
    { handler: "app.handler" },
    /needs a file "app.js".*not in the code; correct --handler/,
  ],
  ["a handler whose file is a folder", { "index/a.js": "" }, { handler: "index.handler" }, /needs a file/],
  [
    "a Python handler that is missing",
    { "a.py": "" },
    { runtime: PYTHON, handler: "main.handler" },
    /needs a module "main".py/,
  ],
  ["a handler that leads out", { "index.js": "" }, { handler: "../index.handler" }, /has "\.\." in it/],
  ["a handler that is absolute", { "index.js": "" }, { handler: "/index.handler" }, /not FILE.EXPORT/],
  ["a handler without export", { "index.js": "" }, { handler: "index" }, /not FILE.EXPORT/],
  ["a handler with spaces", { "index.js": "" }, { handler: "index. handler" }, /without spaces/],
  ["an empty handler", { "index.js": "" }, { handler: "" }, /without spaces/],
  ["an endless handler", { "index.js": "" }, { handler: `index.${"h".repeat(200)}` }, /1 to 128 characters/],
  [
    "handler and command",
    { "index.js": "" },
    { handler: "index.handler", command: ["node"] },
    /handler and command were both given/,
  ],
  [
    "a handler for a server",
    { "index.js": "" },
    { kind: "server", handler: "index.handler" },
    /a handler was given for kind server; use kind handler/,
  ],
  [
    "a command for a handler",
    { "index.js": "" },
    { kind: "handler", command: ["node"] },
    /use kind server or filter/,
  ],
  ["an empty command", { "index.js": "" }, { command: [] }, /command is empty/],
  ["an empty program", { "index.js": "" }, { command: [" "] }, /command is empty/],
  [
    "a program that is missing",
    { "index.js": "" },
    { command: ["./run"] },
    /program ".\/run" is not in the code/,
  ],
  ["a program that leads out", { "index.js": "" }, { command: ["./../run"] }, /not a path inside the code/],
  ["a program in a folder, without ./", { "bin/run": "" }, { command: ["bin/run"] }, /write ".\/bin\/run"/],
  ["a command with NUL", { "index.js": "" }, { command: ["node", "a\0b"] }, /NUL/],
  [
    "a module that is missing",
    { "index.js": "" },
    { module: "run.mjs" },
    /module "run.mjs" is not in the code/,
  ],
  ["a module that leads out", { "index.js": "" }, { module: "../run.mjs" }, /not a path inside the code/],
  ["a module that begins with ./", { "run.mjs": "" }, { module: "./run.mjs" }, /not a path inside the code/],
  [
    "a module for Python",
    { "run.mjs": "" },
    { module: "run.mjs", runtime: PYTHON },
    /cannot run on python3.11/,
  ],
  [
    "a custom runtime without program",
    { "index.mjs": HANDLER },
    { runtime: PROGRAM, handler: "x" },
    /"bootstrap", which is not in the code/,
  ],
  [
    "a kind that the code is not",
    { "index.mjs": HANDLER },
    { kind: "server" },
    /looks like a handler \(index.mjs exports handler\); say --command/,
  ],
  [
    "Ruby for Node code",
    { "index.mjs": HANDLER },
    { runtime: "ruby3.3", handler: "index.handler" },
    /needs a file "index.rb"/,
  ],
  [
    "a Ruby handler that is none",
    { "app.rb": "" },
    { runtime: "ruby3.3", handler: "app" },
    /"app" is not FILE.METHOD or FILE.MODULE.METHOD; write it like/,
  ],
  [
    "a class library of .NET",
    { "App.dll": "", "App.runtimeconfig.json": "" },
    { runtime: "dotnet8", handler: "App::App.Function::Handle" },
    /of a class library, which needs the host that AWS has.*executable assembly.*or deploy an image/,
  ],
  [
    "an assembly that is no executable",
    { "App.dll": "" },
    { runtime: "dotnet8", handler: "App" },
    /needs "App.runtimeconfig.json".*OutputType Exe/,
  ],
  ["Python for Node code", { "index.mjs": HANDLER }, { runtime: PYTHON }, /needs a module "index".py/],
];

describe("settleEntry detects", () => {
  for (const [what, files, entry, runtime] of DETECTED) {
    it(what, async () => {
      await using tree = await makeTree(files);
      const settled = await settleEntry(tree.dir, NOTHING_SAID, RUNTIMES);
      assert.deepEqual({ ...settled, why: [] }, { entry, runtime, why: [] });
      assert.ok(settled.why.length > 0);
    });
  }
});

describe("settleEntry finds nothing in", () => {
  for (const [what, files, message, code] of MISSED) {
    it(what, async () => await refuses(files, {}, message, code ?? "InvalidHandler"));
  }
});

describe("settleEntry believes the user about", () => {
  for (const [what, files, settings, entry, runtime] of SAID) {
    it(what, async () => {
      await using tree = await makeTree(files);
      const settled = await settleEntry(tree.dir, { ...NOTHING_SAID, ...settings }, RUNTIMES);
      assert.deepEqual({ entry: settled.entry, runtime: settled.runtime }, { entry, runtime });
    });
  }
});

describe("settleEntry refuses", () => {
  for (const [what, files, settings, message] of REFUSED) {
    it(what, async () => await refuses(files, settings, message, "InvalidHandler"));
  }
});

describe("checkHandler", () => {
  it("leaves handlers of other programs alone", () => {
    for (const text of ["bootstrap", "com.example.Main::handle", "Assembly::Namespace.Class::Method"])
      checkHandler(text, "java21");
  });
});

async function refuses(
  files: Files,
  settings: Partial<EntrySettings>,
  message: RegExp,
  code: ErrorCode,
): Promise<void> {
  await using tree = await makeTree(files);
  await assert.rejects(settleEntry(tree.dir, { ...NOTHING_SAID, ...settings }, RUNTIMES), (error) => {
    assert.ok(isPlatformError(error, code), String(error));
    assert.match(error.message, message);
    return true;
  });
}

/** A name that begins with + is executable. */
async function makeTree(files: Files): Promise<AsyncDisposable & { readonly dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), "entry-test-"));
  for (const [name, content] of Object.entries(files)) {
    const path = join(dir, name.replace("+", ""));
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
    if (name.startsWith("+")) await chmod(path, 0o755);
  }
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true }) };
}
