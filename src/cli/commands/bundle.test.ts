import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { LAMBDA, type LambdaProcess, openLambda } from "../lambda-process.fake.ts";

const WAIT_MS_MAX = 30_000;
const NOWHERE = "http://127.0.0.1:1";
const EXAMPLE = fileURLToPath(new URL("../../../examples/counter-typescript", import.meta.url));
const notLinux = process.platform === "linux" ? false : "executables are made on Linux";

/** Contexts are numbered; `/wait?n=2` answers when two requests are there; `/fail` throws. */
const MODULE = `
import { label } from "./label.ts";
type Counter = { readonly number: number };
let started = 0;
let waiting: (() => void)[] = [];
export const init = (info: { readonly functionName: string }) => console.log("init", info.functionName);
export const start = (): Counter => ({ number: ++started });
export async function run(context: Counter, request: any, response: any) {
  const url = new URL(request.url, "http://x");
  if (url.pathname === "/fail") throw new Error("as asked");
  if (url.pathname === "/wait") {
    console.log("waiting");
    await new Promise<void>((resolve) => {
      waiting.push(resolve);
      if (waiting.length === Number(url.searchParams.get("n"))) for (const go of waiting) go();
    });
  }
  if (url.pathname === "/slow") {
    console.log("slow");
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  response.end(label + context.number);
}
export const stop = (context: Counter) => console.log("stopped", context.number);
`;

interface Running extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Of this machine. */
  readonly url: string;
  /** All that it has written so far. */
  written(): string;
  /** Resolves when it has written that. */
  wrote(wanted: RegExp): Promise<void>;
  /** Its exit code once it has ended by itself. */
  left(): Promise<number | null>;
}

async function start(program: string, ...flags: string[]): Promise<Running> {
  const child = spawn(program, ["-port", "0", "-host", "127.0.0.1", ...flags], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  const streams = [child.stdout, child.stderr];
  for (const stream of streams) stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  const closed = once(child, "close");
  const wrote = async (wanted: RegExp) => {
    const deadline = AbortSignal.timeout(WAIT_MS_MAX);
    while (!wanted.test(text)) {
      const more = streams.map((stream) => once(stream, "data", { signal: deadline }));
      await Promise.race([...more, closed.then(() => assert.match(text, wanted))]);
    }
  };
  await wrote(/serves on http:\/\/[\d.]+:\d+\n/);
  return {
    child,
    url: /serves on (http:\/\/[\d.]+:\d+)\n/.exec(text)?.[1] ?? "",
    written: () => text,
    wrote,
    left: async () => (await closed)[0],
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await closed;
    },
  };
}

async function get(url: string): Promise<string> {
  const answer = await fetch(url, { headers: { connection: "close" } });
  return `${answer.status} ${await answer.text()}`;
}

describe("lambda bundle", { skip: notLinux }, () => {
  let lambda: LambdaProcess;
  let program: string;

  before(async () => {
    lambda = await openLambda(NOWHERE);
    const folder = join(lambda.dir, "counter");
    await mkdir(folder);
    await writeFile(join(folder, "index.ts"), MODULE);
    await writeFile(join(folder, "label.ts"), 'export const label: string = "context ";');
    await writeFile(
      join(folder, "package.json"),
      '{"name":"@shop/counter","version":"1.2.3","type":"module"}',
    );
    program = join(lambda.dir, "run");
    await writeFile(program, "an older one");
    const env = { SOURCE_DATE_EPOCH: "1700000000" };
    const ran = await lambda.run(["bundle", "counter", "--out", "run", "--dockerfile"], { env });
    assert.equal(ran.exitCode, 0, ran.stderr);
    assert.match(ran.stdout, /^made \.\/run: counter 1\.2\.3, build [0-9a-f]{12}, [\d.]+ MiB in [\d.]+ s\n/);
    assert.match(
      ran.stdout,
      /made \.\/run\.image: [\d.]+ MiB, of which executable [\d.]+ MiB, \d+ libraries/,
    );
    assert.equal(ran.stderr, "next: docker build -t run ./run.image\n");
  });
  after(() => lambda[Symbol.asyncDispose]());

  it("makes a program that says what it is", () => {
    const { stdout, status } = spawnSync(program, ["-info"], { encoding: "utf8" });
    const { build, builtAt, node, ...about } = JSON.parse(stdout);
    assert.deepEqual(about, { name: "counter", version: "1.2.3", madeBy: `lambda bundle 0.1.0` });
    assert.match(build, /^[0-9a-f]{12}$/);
    assert.equal(builtAt, "2023-11-14T22:13:20.000Z");
    assert.match(node, /^v\d+\./);
    assert.equal(status, 0);
  });

  it("gives each request at a time a context of its own, and keeps them", async () => {
    await using running = await start(program);
    const answers = await Promise.all([1, 2].map(() => get(`${running.url}/wait?n=2`)));
    assert.deepEqual(answers.sort(), ["200 context 1", "200 context 2"]);
    assert.match(await get(running.url), /^200 context [12]$/);
    assert.match(running.written(), /^init counter$/m);
  });

  it("ends what runs, then its contexts, when it is asked to leave", async () => {
    await using running = await start(program);
    const answer = get(`${running.url}/slow`);
    await running.wrote(/^slow$/m);
    running.child.kill("SIGTERM");
    assert.equal(await answer, "200 context 1");
    assert.equal(await running.left(), 0);
    assert.match(running.written(), /^stopped 1$/m);
  });

  it("lets requests wait when all slots are taken", async () => {
    await using running = await start(program, "-slots=1");
    const answers = await Promise.all([1, 2, 3].map(() => get(running.url)));
    assert.deepEqual(answers, ["200 context 1", "200 context 1", "200 context 1"]);
  });

  it("writes what run throws to stderr and to syslog, and tells the caller nothing of it", async () => {
    const receiver = createSocket("udp4");
    receiver.bind(0, "127.0.0.1");
    await once(receiver, "listening");
    const received = once(receiver, "message");
    await using running = await start(program, `-syslog=127.0.0.1:${receiver.address().port}`);
    assert.equal(await get(`${running.url}/fail`), '500 {"message":"Internal Server Error"}');
    // With the lines of the source.
    await running.wrote(/Run Error: Error: as asked\n\s+at Object\.run \(.*index\.ts:10:\d+\)/);
    const [message] = await received;
    receiver.close();
    assert.match(
      String(message),
      /^<11>1 \d{4}-\d\d-\d\dT[\d:.]+Z \S+ counter \d+ - - Run Error: Error: as asked\n/,
    );
    assert.equal(await get(running.url), "200 context 1");
  });

  for (const [why, flags, exitCode, message] of [
    ["an unknown flag", ["-frob"], 2, /^counter: unknown argument "-frob"\n\nUsage: counter/],
    [
      "a port that is none",
      ["-port", "99999"],
      2,
      /-port: expected a whole number from 0 to 65535, got "99999"/,
    ],
    ["a flag without its value", ["--port"], 2, /-port needs a value/],
    ["a syslog without a port", ["-syslog=there"], 2, /-syslog: expected HOST:PORT, got "there"/],
  ] as const) {
    it(`refuses ${why}`, () => {
      const ran = spawnSync(program, flags, { encoding: "utf8" });
      assert.deepEqual([ran.status, ran.stdout], [exitCode, ""]);
      assert.match(ran.stderr, message);
    });
  }

  it("says that a port is taken, whether given by flag or environment", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const address = taken.address();
    const port = typeof address === "object" && address ? String(address.port) : "";
    const env = { PORT: port, HOST: "127.0.0.1" };
    const ran = spawnSync(program, [], { encoding: "utf8", env });
    taken.close();
    assert.equal(ran.status, 1);
    assert.match(
      ran.stderr,
      new RegExp(`Listen Error: port ${port} is in use: choose another with -port N\n$`),
    );
  });

  it("writes an image of the executable, its libraries and certificates, and nothing else", async () => {
    const image = join(lambda.dir, "run.image");
    const names = await readdir(join(image, "root"), { recursive: true, withFileTypes: true });
    const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    const others = files
      .map((file) => file.slice(join(image, "root").length))
      .filter((file) => !/\.so\.\d+$/.test(file));
    assert.deepEqual(others.sort(), ["/etc/ssl/certs/ca-certificates.crt", "/run"]);
    assert.match(await readFile(join(image, "Dockerfile"), "utf8"), /^FROM scratch\nCOPY root\/ \/\n/m);
  });

  const withoutBubblewrap =
    process.env.REQUIRE_ALL === "1" || spawnSync("bwrap", ["--version"]).status === 0
      ? false
      : "bubblewrap is not installed";
  it("runs with nothing but what is in the image", { skip: withoutBubblewrap }, () => {
    const root = join(lambda.dir, "run.image", "root");
    const ran = spawnSync("bwrap", ["--ro-bind", root, "/", "--unshare-all", "--clearenv", "/run", "-info"], {
      encoding: "utf8",
    });
    assert.equal(JSON.parse(ran.stdout || ran.stderr).name, "counter");
  });

  it("shows a build error with its place and leaves the old executable", async () => {
    const broken = join(lambda.dir, "broken");
    await mkdir(broken);
    await writeFile(join(broken, "index.ts"), "export function run() {\n  const a = ;\n}\n");
    await writeFile(join(lambda.dir, "old"), "old");
    const ran = await lambda.run(["bundle", "broken", "--out", "old"]);
    assert.deepEqual([ran.exitCode, ran.stdout], [7, ""]);
    assert.match(ran.stderr, /index\.ts:2:12: ERROR: |index\.ts:2:12:[\s\S]*const a = ;/);
    assert.equal(await readFile(join(lambda.dir, "old"), "utf8"), "old");
    assert.deepEqual(
      (await readdir(lambda.dir)).filter((name) => name.startsWith(".")),
      [],
    );
  });
});

describe("lambda bundle refuses", { skip: notLinux }, () => {
  for (const [why, files, args, message] of [
    [
      "a handler",
      { "index.mjs": "export const handler = 1" },
      [],
      /this is a handler \(index\.mjs exports handler\)/,
    ],
    ["a folder without code", { "a.txt": "" }, [], /no function found/],
    [
      "a module that does not parse",
      { "index.mjs": "export cosnt run = 1;\n" },
      [],
      /index\.mjs:1:1 does not parse: .*\n> 1 \| export cosnt run/,
    ],
    ["a module that is not there", {}, ["--module", "x.mjs"], /there is no file x\.mjs in /],
    ["a module outside", {}, ["--module", "../x.mjs"], /there is no file \.\.\/x\.mjs in /],
    [
      "packages that are not installed",
      { "index.mjs": "export const run = 1", "package.json": '{"dependencies":{"ms":"2"}}' },
      [],
      /ms of package\.json is not installed; run npm install in /,
    ],
    ["an output that is a folder", { "index.mjs": "export const run = 1" }, ["--out", "f"], /f is a folder/],
    [
      "an output in no folder",
      { "index.mjs": "export const run = 1" },
      ["--out", "no/x"],
      /there is no folder /,
    ],
  ] as const) {
    it(why, async () => {
      await using lambda = await openLambda(NOWHERE);
      await mkdir(join(lambda.dir, "f"));
      for (const [name, text] of Object.entries(files)) await writeFile(join(lambda.dir, "f", name), text);
      const ran = await lambda.run(["bundle", "f", "--out", "x", ...args]);
      assert.ok(ran.exitCode !== 0 && ran.exitCode !== 70, `${ran.exitCode}: ${ran.stderr}`);
      assert.match(ran.stderr, message);
      assert.deepEqual((await readdir(lambda.dir)).sort(), ["f"]);
    });
  }
});

describe("the package lambdad", () => {
  it("exports types of lifecycle modules that a project of somebody else's can use", async () => {
    await using lambda = await openLambda(NOWHERE);
    const root = dirname(dirname(LAMBDA));
    const modules = join(lambda.dir, "node_modules");
    await mkdir(join(modules, "lambdad", "runtimes", "nodejs"), { recursive: true });
    for (const file of ["package.json", "runtimes/nodejs/lifecycle.d.ts"])
      await cp(join(root, file), join(modules, "lambdad", file));
    for (const name of ["@types", "undici-types"])
      await symlink(join(root, "node_modules", name), join(modules, name));
    await cp(join(EXAMPLE, "index.ts"), join(lambda.dir, "index.ts"));
    await writeFile(join(lambda.dir, "package.json"), '{"type":"module"}');
    await writeFile(
      join(lambda.dir, "wrong.ts"),
      'import type { Run } from "lambdad";\nexport const run: Run<number> = (context: string) => context;\n',
    );
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    const flags = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2024", "--types", "node"];
    const { stdout } = spawnSync(process.execPath, [tsc, ...flags, "index.ts", "wrong.ts"], {
      cwd: lambda.dir,
      encoding: "utf8",
    });
    assert.deepEqual(stdout.match(/^\S+: error \w+/gm), ["wrong.ts(2,14): error TS2322"]);
  });
});
