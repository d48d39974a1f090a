import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { isPlatformError } from "../core/errors.ts";
import { makeZip } from "./archive-maker.fake.ts";
import { buildEnvironment } from "./build/tool.ts";
import { type DepotPlace, makeDepotPlace, never, snapshot } from "./depot-place.fake.ts";
import { type CodeSettings, type PreparedCode, prepareCode } from "./prepare.ts";

const run = promisify(execFile);
const require = createRequire(import.meta.url);

const DETECT_ALL: CodeSettings = {
  runtime: undefined,
  kind: undefined,
  handler: undefined,
  module: undefined,
  command: undefined,
  build: true,
  allowScripts: false,
};

/** False, or why a test cannot run here; where everything is required it runs, and fails. */
function lacks(program: string, ...words: string[]): string | false {
  if (process.env.REQUIRE_ALL === "1" || spawnSync(program, words).status === 0) return false;
  return `${program} is not installed`;
}

const withoutNpm = lacks("npm", "--version");
const withoutPip = lacks("python3", "-m", "pip", "--version");
const withoutGo = lacks("go", "version");
const esbuild = join(
  dirname(require.resolve(`@esbuild/${process.platform}-${process.arch}/package.json`)),
  "bin",
  "esbuild",
);

interface Prepared extends PreparedCode {
  readonly tree: string;
  readonly lines: readonly string[];
  readonly steps: readonly string[];
}

interface Kitchen extends AsyncDisposable {
  readonly place: DepotPlace;
  prepare(files: Readonly<Record<string, string>>, said?: Said): Promise<Prepared>;
}

interface Said extends Partial<CodeSettings> {
  readonly environment?: Readonly<Record<string, string>>;
  readonly timeLimitMs?: number;
  readonly signal?: AbortSignal;
  readonly onLine?: (line: string) => void;
}

async function openKitchen(): Promise<Kitchen> {
  const place = await makeDepotPlace();
  const buildParts = {
    stagingDir: join(place.depotDir, "staging"),
    cacheDir: join(place.dir, "cache"),
    environment: buildEnvironment(process.env),
    nodeBinDir: dirname(process.execPath),
    esbuild,
    timeLimitMs: 240_000,
  };
  const newestPython = async () => ({ name: "python3.11", isHere: true, path: "python3" });
  const look = async (name: string) => ({ name, isHere: true, path: "python3" });
  return {
    place,
    async prepare(files, { environment, timeLimitMs, signal, onLine, ...settings } = {}) {
      const lines: string[] = [];
      const steps: string[] = [];
      const build = {
        ...buildParts,
        ...(timeLimitMs && { timeLimitMs }),
        environment: { ...buildParts.environment, ...environment },
      };
      const file = join(place.dir, "upload.zip");
      await writeFile(file, makeZip(Object.entries(files).map(([name, data]) => ({ name, data }))));
      const prepared = await prepareCode(
        { depot: place.depot, build, runtimes: { newestPython, look } },
        { file, name: "upload.zip" },
        { ...DETECT_ALL, ...settings },
        {
          signal: signal ?? never,
          output: (line) => {
            lines.push(line);
            onLine?.(line);
          },
          step: (title, detail) => steps.push(`${title}: ${detail}`),
        },
      );
      return { ...prepared, lines, steps, tree: await place.depot.openTree(prepared.code.treeId) };
    },
    [Symbol.asyncDispose]: () => place[Symbol.asyncDispose](),
  };
}

async function buildFails(work: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(isPlatformError(error, "BuildFailed"), String(error));
    assert.match(error.message, message);
    return true;
  });
}

/** What an expression gives in a fresh Node that has imported the module. */
async function evaluate(module: string, expression: string): Promise<string> {
  const script = `import * as m from ${JSON.stringify(pathToFileURL(module).href)}; console.log(${expression})`;
  const { stdout } = await run(process.execPath, [
    "--input-type=module",
    "--enable-source-maps",
    "-e",
    script,
  ]);
  return stdout.trim();
}

describe("prepareCode without a build", () => {
  it("says what it found, and keeps the code as it came", async () => {
    await using kitchen = await openKitchen();
    const prepared = await kitchen.prepare({ "index.mjs": "export const handler = 1", "data.json": "{}" });
    assert.deepEqual(prepared.entry, { kind: "handler", handler: "index.handler" });
    assert.equal(prepared.runtime, "nodejs24.x");
    assert.equal(prepared.files, 2);
    assert.deepEqual(prepared.steps, ["Packaging: 2 files, 26 B", "Building: nothing to build"]);
  });

  it("installs nothing that is there already, and nothing when told not to build", async () => {
    await using kitchen = await openKitchen();
    const code = { "index.js": "exports.handler = 1", "package.json": '{"dependencies":{"ms":"2.1.3"}}' };
    const vendored = await kitchen.prepare({ ...code, "node_modules/ms/package.json": "{}" });
    assert.equal(vendored.steps[1], "Building: nothing to build");
    const unbuilt = await kitchen.prepare(code, { build: false });
    assert.equal(unbuilt.steps[1], "Building: left out");
    const python = {
      "main.py": "def handler(e, c): pass",
      "requirements.txt": "six",
      "six-1.dist-info/METADATA": "",
    };
    assert.equal((await kitchen.prepare(python)).steps[1], "Building: nothing to build");
    const comments = { "main.py": "def handler(e, c): pass", "requirements.txt": "# none\n\n" };
    assert.equal((await kitchen.prepare(comments)).steps[1], "Building: nothing to build");
  });

  it("refuses sources that cannot run unbuilt", async () => {
    await using kitchen = await openKitchen();
    const typescript = kitchen.prepare({ "index.ts": "export const handler = 1" }, { build: false });
    await assert.rejects(typescript, /TypeScript that must be built first/);
    const go = kitchen.prepare({ "go.mod": "module x", "main.go": "" }, { build: false });
    await assert.rejects(go, /Go program that must be built first/);
  });

  it("leaves nothing but the upload's own tree when nothing is found in it", async () => {
    await using kitchen = await openKitchen();
    await assert.rejects(kitchen.prepare({ "notes.txt": "hello" }), (error) =>
      isPlatformError(error, "InvalidHandler"),
    );
    assert.deepEqual(await readdir(join(kitchen.place.depotDir, "staging")), []);
  });
});

describe("prepareCode with npm", { skip: withoutNpm }, () => {
  const lock = {
    name: "x",
    lockfileVersion: 3,
    packages: {
      "": { name: "x", dependencies: { ms: "^2.1.0" } },
      "node_modules/ms": {
        version: "2.1.2",
        resolved: "https://registry.npmjs.org/ms/-/ms-2.1.2.tgz",
        integrity:
          "sha512-sGkPx+VjMtmA6MX27oA4FBFELFCZZ4S4XqeGOXCv68tT+jb3vk/RyaKWP0PTKyWtmLSM0b+adUTEvbs1PEaH2w==",
      },
    },
  };
  const code = {
    "index.js": "const ms = require('ms'); exports.handler = async () => ms('2h');",
    "package.json": '{"dependencies":{"ms":"^2.1.0"},"devDependencies":{"is-number":"7.0.0"}}',
  };

  it("installs what package.json needs, without development packages", async () => {
    await using kitchen = await openKitchen();
    const prepared = await kitchen.prepare(code);
    assert.equal(await evaluate(join(prepared.tree, "index.js"), "await m.handler()"), "7200000");
    assert.ok(
      prepared.lines.some((line) => /added 1 package/.test(line)),
      prepared.lines.join("\n"),
    );
    assert.deepEqual((await readdir(join(prepared.tree, "node_modules"))).sort(), [
      ".package-lock.json",
      "ms",
    ]);
    assert.equal(prepared.steps[1], "Building: npm packages");
  });

  it("takes the versions of the lockfile", async () => {
    await using kitchen = await openKitchen();
    const files = {
      ...code,
      "package.json": '{"name":"x","dependencies":{"ms":"^2.1.0"}}',
      "package-lock.json": JSON.stringify(lock),
    };
    const { tree } = await kitchen.prepare(files);
    const manifest = JSON.parse(await readFile(join(tree, "node_modules/ms/package.json"), "utf8"));
    assert.equal(manifest.version, "2.1.2");
  });

  it("runs install scripts only when asked, and leaves no links of packages' programs", async () => {
    await using kitchen = await openKitchen();
    const files = {
      "index.js": "exports.handler = 1",
      "package.json": '{"dependencies":{"local":"file:./local"}}',
      "local/package.json":
        '{"name":"local","version":"1.0.0","bin":"run.js","scripts":{"install":"echo ran > made.txt"}}',
      "local/run.js": "#!/usr/bin/env node\n",
    };
    const without = await kitchen.prepare(files);
    assert.equal(existsSync(join(without.tree, "node_modules/local/run.js")), true);
    assert.equal(existsSync(join(without.tree, "node_modules/local/made.txt")), false);
    assert.equal(existsSync(join(without.tree, "node_modules/.bin")), false);
    const withScripts = await kitchen.prepare(files, { allowScripts: true });
    assert.equal(existsSync(join(withScripts.tree, "node_modules/local/made.txt")), true);
  });

  it("fails with npm's own words, and leaves nothing behind", async () => {
    await using kitchen = await openKitchen();
    const files = { ...code, "package.json": '{"dependencies":{"ms":"^999.0.0"}}' };
    await buildFails(
      kitchen.prepare(files),
      /^npm install failed with exit status 1:\n[\s\S]*No matching version found for ms@\^999/,
    );
    await buildFails(kitchen.prepare({ ...code, "package.json": '{"dependencies":' }), /EJSONPARSE|JSON/);
    assert.deepEqual(await readdir(join(kitchen.place.depotDir, "staging")), []);
  });
});

describe("prepareCode with pip", { skip: withoutPip }, () => {
  const code = "import six\ndef handler(event, context): return six.__version__";

  it("installs requirements.txt beside the code", async () => {
    await using kitchen = await openKitchen();
    const { tree, lines, runtime } = await kitchen.prepare({
      "main.py": code,
      "requirements.txt": "six==1.16.0\n",
    });
    const { stdout } = await run("python3", ["-c", "import main; print(main.handler(1, 2))"], { cwd: tree });
    assert.equal(stdout.trim(), "1.16.0");
    assert.equal(runtime, "python3.11");
    assert.ok(lines.some((line) => /Successfully installed six/.test(line)));
  });

  it("fails with pip's own words", async () => {
    await using kitchen = await openKitchen();
    const files = { "main.py": code, "requirements.txt": "six==0.0.999\n" };
    await buildFails(kitchen.prepare(files), /^pip install failed with exit status 1:\n[\s\S]*six==0.0.999/);
  });
});

describe("prepareCode with TypeScript", () => {
  it("bundles a handler under its own name, with a source map", async () => {
    await using kitchen = await openKitchen();
    const { tree, entry } = await kitchen.prepare({
      "src/index.ts": [
        'import { greet, type Greeting } from "./greet.ts";',
        'import { createRequire } from "node:module";',
        "const require = createRequire(import.meta.url);",
        "export const handler = async (event: { name: string }): Promise<Greeting> => {",
        '  if (!event.name) throw new Error(require("node:os").EOL + "no name");',
        "  return greet(event.name);",
        "};",
      ].join("\n"),
      "src/greet.ts":
        "export interface Greeting { message: string }\nexport const greet = (name: string): Greeting => ({ message: `Hello, ${name}!` });",
    });
    assert.deepEqual(entry, { kind: "handler", handler: "src/index.handler" });
    assert.deepEqual(await readdir(join(tree, "src")), ["greet.ts", "index.mjs", "index.mjs.map"]);
    const module = join(tree, "src/index.mjs");
    assert.equal(await evaluate(module, '(await m.handler({ name: "World" })).message'), "Hello, World!");
    assert.match(
      await evaluate(module, "await m.handler({}).catch((error) => error.stack)"),
      /index\.ts:5:\d+/,
    );
  });

  it("bundles CommonJS packages that load Node's modules into ES modules", async () => {
    await using kitchen = await openKitchen();
    const { tree } = await kitchen.prepare({
      "index.ts": 'import old from "old"; export const handler = async () => old();',
      "package.json": '{"type":"module","dependencies":{"old":"1"}}',
      "node_modules/old/package.json": '{"name":"old","main":"old.js"}',
      "node_modules/old/old.js": 'const path = require("path"); module.exports = () => path.join("a", "b");',
    });
    assert.equal(await evaluate(join(tree, "index.mjs"), "await m.handler()"), "a/b");
  });

  it("keeps CommonJS where the code or the package wants it", async () => {
    await using kitchen = await openKitchen();
    const source =
      'const os = require("os"); export const handler = async () => typeof os.EOL + typeof __dirname;';
    for (const files of [
      { "index.ts": source },
      { "index.cts": source, "package.json": '{"type":"module"}' },
    ]) {
      const { tree } = await kitchen.prepare(files);
      assert.equal(await evaluate(join(tree, "index.cjs"), "await m.default.handler()"), "stringstring");
    }
  });

  it("names what it made in lifecycle modules and commands", async () => {
    await using kitchen = await openKitchen();
    const lifecycle = await kitchen.prepare({ "index.ts": "export const run = (): number => 1;" });
    assert.deepEqual(lifecycle.entry, { kind: "lifecycle", module: "index.mjs" });
    const again = await kitchen.prepare(
      { "index.ts": "export const run = (): number => 2;" },
      { module: "index.mjs" },
    );
    assert.deepEqual(again.entry, { kind: "lifecycle", module: "index.mjs" });
    const server = await kitchen.prepare({ "server.ts": "process.on(1 as any).listen(1)" });
    assert.deepEqual(server.entry, { kind: "server", command: ["node", "server.mjs"] });
  });

  it("fails with esbuild's own words: file, line and column", async () => {
    await using kitchen = await openKitchen();
    const broken = kitchen.prepare({
      "index.ts": "export const a = 1;\nexport const handler = async ( => 1;",
    });
    await buildFails(broken, /^esbuild failed with exit status 1:\n[\s\S]*index\.ts:2:31:/);
    const missing = kitchen.prepare({ "index.ts": 'import "missing"; export const handler = 1;' });
    await buildFails(missing, /Could not resolve "missing"[\s\S]*index\.ts:1:7:/);
  });
});

describe("prepareCode with Go", { skip: withoutGo }, () => {
  it("compiles the module into a bootstrap", async () => {
    await using kitchen = await openKitchen();
    const main = 'package main\n\nimport "os"\n\nfunc main() { os.Stdout.WriteString("built\\n") }\n';
    const { tree, entry, runtime } = await kitchen.prepare({
      "go.mod": "module example.test/x\n\ngo 1.21\n",
      "main.go": main,
    });
    assert.deepEqual(entry, { kind: "filter", command: ["./bootstrap"] });
    assert.equal(runtime, "provided.al2023");
    assert.equal((await run(join(tree, "bootstrap"))).stdout, "built\n");
    const broken = kitchen.prepare({
      "go.mod": "module example.test/x\n",
      "main.go": "package main\n\nfunc main() { nothing }\n",
    });
    await buildFails(
      broken,
      /^go build failed with exit status 1:\n[\s\S]*main\.go:3:15: undefined: nothing/,
    );
  });
});

describe("a build tool", () => {
  /** An `npm` of our own, first on the PATH, that runs a shell script. */
  async function fakeNpm(place: DepotPlace, script: string): Promise<Readonly<Record<string, string>>> {
    const bin = join(place.dir, "bin");
    await mkdir(bin, { recursive: true });
    await writeFile(join(bin, "npm"), `#!/bin/sh\n${script}\n`);
    await chmod(join(bin, "npm"), 0o755);
    return { PATH: `${bin}:${process.env.PATH}` };
  }
  const code = { "index.js": "exports.handler = 1", "package.json": '{"dependencies":{"ms":"1"}}' };

  it("sees nothing of the daemon's environment but registries and proxies", async () => {
    const secrets = {
      AWS_SECRET_ACCESS_KEY: "s",
      LAMBDA_KEY: "s",
      npm_config_local_prefix: "/x",
      NODE_OPTIONS: "s",
    };
    const shared = {
      PATH: "/bin",
      https_proxy: "p",
      PIP_INDEX_URL: "i",
      NPM_CONFIG_REGISTRY: "r",
      GOPROXY: "g",
    };
    assert.deepEqual(buildEnvironment({ ...secrets, ...shared, HOME: "/h", LANG: undefined }), {
      PATH: "/bin",
      https_proxy: "p",
      PIP_INDEX_URL: "i",
      npm_config_registry: "r",
      GOPROXY: "g",
      npm_config_userconfig: "/h/.npmrc",
      PIP_CONFIG_FILE: "/h/.config/pip/pip.conf",
      GOENV: "/h/.config/go/env",
    });
    await using kitchen = await openKitchen();
    const environment = await fakeNpm(kitchen.place, 'env | sort; echo "nice $(nice)"; touch "$HOME/x"');
    const { lines } = await kitchen.prepare(code, { environment });
    const names = lines.map((line) => line.split("=")[0] ?? "");
    assert.ok(names.includes("HOME") && !names.includes("LAMBDA_KEY") && !names.includes("NODE_OPTIONS"));
    assert.ok(lines.includes("nice 10"));
    assert.ok(lines.some((line) => line.startsWith(`HOME=${kitchen.place.depotDir}/staging/`)));
  });

  it("is told apart from one that is not installed", async () => {
    await using kitchen = await openKitchen();
    const work = kitchen.prepare(code, { environment: { PATH: kitchen.place.dir } });
    await buildFails(work, /^npm is not installed on this host; install npm/);
  });

  it("is dead with all that it started once the build is aborted or too slow", async () => {
    await using kitchen = await openKitchen();
    const script = `sh -c 'echo started $$; exec sleep 600' & wait`;
    const environment = await fakeNpm(kitchen.place, script);
    let pid = 0;
    const controller = new AbortController();
    const onLine = (line: string) => {
      pid = Number(line.split(" ")[1]);
      controller.abort(new Error("enough"));
    };
    const aborted = kitchen.prepare(code, { environment, signal: controller.signal, onLine });
    await assert.rejects(aborted, /^Error: enough$/);
    await assertGone(pid);
    const slow = kitchen.prepare(code, {
      environment,
      timeLimitMs: 400,
      onLine: (line) => {
        pid = Number(line.split(" ")[1]);
      },
    });
    await buildFails(slow, /^npm install was stopped after 0 s:\nstarted/);
    await assertGone(pid);
    assert.deepEqual(await readdir(join(kitchen.place.depotDir, "staging")), []);
  });

  it("does not hold the build up with what it left running", async () => {
    await using kitchen = await openKitchen();
    const slept = join(kitchen.place.depotDir, "slept");
    const environment = await fakeNpm(kitchen.place, `setsid sh -c 'sleep 10; touch ${slept}' & echo done`);
    await kitchen.prepare(code, { environment });
    assert.equal(existsSync(slept), false);
  });

  it("may write without end: what is kept is bounded", async () => {
    await using kitchen = await openKitchen();
    const environment = await fakeNpm(
      kitchen.place,
      "seq 30000; head -c 100000 /dev/zero | tr '\\0' x; exit 3",
    );
    let shown = 0;
    const onLine = () => {
      shown += 1;
    };
    const work = kitchen.prepare(code, { environment, onLine });
    await buildFails(work, /^npm install failed with exit status 3:\n/);
    assert.equal(shown, 20_001);
  });

  it("that makes links has its tree refused, and the code's own tree unchanged", async () => {
    await using kitchen = await openKitchen();
    const environment = await fakeNpm(kitchen.place, "ln -s /etc/passwd stolen; echo x >> index.js");
    await assert.rejects(kitchen.prepare(code, { environment }), /"stolen" is a symbolic link/);
    const [name] = (await readdir(join(kitchen.place.depotDir, "trees"))).filter(
      (entry) => !entry.endsWith(".json"),
    );
    assert.equal((await snapshot(join(kitchen.place.depotDir, "trees", name ?? ""))).length, 2);
  });
});

/** Dead, though nobody may have taken notice of it yet. */
async function assertGone(pid: number): Promise<void> {
  assert.ok(pid > 1);
  const deadline = Date.now() + 2_000;
  for (;;) {
    const state = (await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "() Z")).split(") ")[1]?.[0];
    if (state === "Z") return;
    assert.ok(Date.now() < deadline, `process ${pid} is in state ${state}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
