import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeFolder, processesWith, ROOT, run, skipWithout, until } from "../e2e/daemon.fake.ts";
import { type DevLine, startDev, type TestDev } from "./dev.fake.ts";

const withoutPython = skipWithout("python3", spawnSync("python3", ["--version"]).status === 0);

const answering = (text: string) => `export const handler = async () => ${JSON.stringify(text)};\n`;

/** Runs a program on a terminal of its own, presses keys when it has said something, and tells how it ended. */
const TERMINAL = `
import os, pty, select, sys, termios, time
steps = [("q quit", "?"), ("admin.key)", "i"), ("input of one", "\\r"), ('"hello"', "l"), ("not shown", "r"), ("stays live", "q")]
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen, begun = "", time.monotonic()
while time.monotonic() - begun < 60:
    if not select.select([fd], [], [], 0.1)[0]:
        continue
    try:
        bytes = os.read(fd, 65536)
    except OSError:
        break
    if not bytes:
        break
    seen += bytes.decode(errors="replace")
    sys.stdout.write(bytes.decode(errors="replace"))
    if steps and steps[0][0] in seen:
        seen = ""
        os.write(fd, steps.pop(0)[1].encode())
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit(status if not steps else 99)
`;

function isLive(...names: string[]) {
  return ({ type, functions }: DevLine) => type === "live" && String(functions) === names.join();
}

/** Does something, and waits until it is live. */
async function change(dev: TestDev, name: string, act: () => void): Promise<DevLine> {
  const from = dev.lines.length;
  act();
  return await dev.line(isLive(name), from);
}

describe("lambda dev on a folder of functions", () => {
  let folder: ReturnType<typeof makeFolder>;
  let dev: TestDev;
  const write = (file: string, text: string) => {
    mkdirSync(dirname(join(folder.path, file)), { recursive: true });
    writeFileSync(join(folder.path, file), text);
  };
  const text = async (name: string) => (await dev.call(name)).text;

  before(async () => {
    folder = makeFolder({
      "one/index.mjs": answering("1"),
      "one/node_modules/x/index.js": "1",
      "README.md": "no function",
      ".gitignore": "*.out\n",
    });
    dev = await startDev(folder.path);
  });
  after(async () => {
    await dev[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  it("makes every save live, however it is made, and drops no call", async () => {
    const answers = new Set<string>();
    let isOver = false;
    const calling = (async () => {
      while (!isOver) answers.add(`${(await dev.call("one")).status}`);
    })();
    const one = join(folder.path, "one", "index.mjs");
    await change(dev, "one", () => writeFileSync(one, answering("2")));
    assert.equal(await text("one"), "2");
    await change(dev, "one", () => {
      writeFileSync(`${one}.tmp`, answering("3"));
      renameSync(`${one}.tmp`, one);
    });
    assert.equal(await text("one"), "3");
    await change(dev, "one", () => {
      using other = makeFolder({ "index.mjs": answering("4") });
      rmSync(join(folder.path, "one"), { recursive: true });
      cpSync(other.path, join(folder.path, "one"), { recursive: true });
    });
    assert.equal(await text("one"), "4");
    isOver = true;
    await calling;
    assert.deepEqual([...answers], ["200"]);
  });

  it("takes in functions that come, in Python too", { skip: withoutPython }, async () => {
    const main = (result: string) => `def handler(event, context):\n    return "${result}"\n`;
    await change(dev, "two", () => write("two/main.py", main("a")));
    assert.equal(await text("two"), "a");
    await change(dev, "two", () => write("two/main.py", main("b")));
    assert.equal(await text("two"), "b");
  });

  it("lets go of functions that leave", async () => {
    await change(dev, "leaving", () => write("leaving/index.mjs", answering("1")));
    const from = dev.lines.length;
    rmSync(join(folder.path, "leaving"), { recursive: true });
    const { urls } = await dev.line(({ type }) => type === "live", from);
    assert.equal("leaving" in Object(urls), false);
    assert.equal((await dev.call("leaving")).status, 404);
    assert.equal((await dev.call("one")).status, 200);
  });

  it("lets calls in flight end on what they began on", async () => {
    const slow = `export const handler = async () => {
      console.log("begun");
      await new Promise((go) => setTimeout(go, 1500));
      return "old";
    };`;
    await change(dev, "slow", () => write("slow/index.mjs", slow));
    const answer = text("slow");
    await dev.line(({ type, text: said }) => type === "log" && String(said).includes("begun"));
    await change(dev, "slow", () => write("slow/index.mjs", answering("new")));
    assert.equal(await text("slow"), "new");
    assert.equal(await answer, "old");
  });

  it("goes on serving what was good, and shows what is wrong with the new", async () => {
    await change(dev, "good", () => write("good/index.mjs", answering("good")));
    await change(dev, "typed", () => write("typed/index.ts", answering("good")));
    const problemOf = async (file: string, code: string) => {
      const [name = ""] = file.split("/");
      const from = dev.lines.length;
      write(file, code);
      const line = await dev.line((each) => each.type === "problem" && each.function === name, from);
      assert.equal(await text(name), "good");
      return String(line.message);
    };
    const broken = "export const handler = () => {\n  const a = ;\n};\n";
    assert.match(
      await problemOf("good/index.mjs", broken),
      /^index\.mjs:2:13 does not parse: Unexpected token ';'\n[\s\S]*> 2 \| {3}const a = ;/,
    );
    assert.match(
      await problemOf("good/index.mjs", 'throw new Error("at the start");\nexport const handler = 1;\n'),
      /at the start/,
    );
    assert.match(await problemOf("typed/index.ts", broken), /index\.ts:2:12:[\s\S]*const a = ;/);
    // One that is broken does not hold up another.
    await change(dev, "good", () => write("good/index.mjs", answering("mended")));
    assert.equal(await text("good"), "mended");
    await change(dev, "typed", () => write("typed/index.ts", answering("mended")));
    assert.equal(await text("typed"), "mended");
  });

  it("puts .env into the environment, again whenever it changes", async () => {
    const code = 'export const handler = async () => process.env.MOOD + " " + process.env.SHARED;\n';
    write("env/.env", 'MOOD=bad\nSHARED="a b" # c\nAWS_REGION=x\n');
    await change(dev, "env", () => write("env/index.mjs", code));
    assert.equal(await text("env"), "bad a b");
    await dev.line(
      ({ type, text: said }) => type === "note" && /^\.env: AWS_REGION left out/.test(String(said)),
    );
    await change(dev, "env", () => write("env/.env", "MOOD=good\n"));
    assert.equal(await text("env"), "good undefined");
  });

  it("makes no release of what does not matter", async () => {
    await change(dev, "one", () => write("one/index.mjs", answering("before")));
    const from = dev.lines.length;
    write("one/node_modules/x/index.js", "2");
    write("one/.index.mjs.swp", "2");
    write("one/test.out", "2");
    write("one/index.mjs", answering("before"));
    await change(dev, "one", () => write("one/index.mjs", answering("after")));
    assert.equal(dev.lines.slice(from).filter(({ type }) => type === "live").length, 1);
  });
});

describe("lambda dev", () => {
  it("starts what it can, on a port that is free", async () => {
    using folder = makeFolder({
      "bad/index.mjs": 'throw new Error("bad");\nexport const handler = 1;\n',
      "good/index.mjs": answering("good"),
    });
    await using taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const address = taken.address();
    const port = typeof address === "object" && address ? address.port : 0;
    await using dev = await startDev(folder.path, "--port", String(port));
    assert.match(String(dev.lines[0]?.text), new RegExp(`^port ${port}.* in use: serving on \\d+$`));
    assert.deepEqual(Object.keys(Object(dev.ready.functions)), ["good"]);
    assert.equal((await dev.call("good")).text, "good");
    await change(dev, "bad", () => writeFileSync(join(folder.path, "bad/index.mjs"), answering("mended")));
    assert.equal((await dev.call("bad")).text, "mended");
  });

  it("leaves nothing behind when it is killed, interrupted or ended", async () => {
    using folder = makeFolder({ "index.mjs": answering("1") });
    let left: string | undefined;
    for (const [signal, code] of [
      ["SIGKILL", null],
      ["SIGINT", 0],
      ["SIGTERM", 0],
    ] as const) {
      const dev = await startDev(folder.path, "--name", "one");
      const dataDir = String(dev.ready.dataDir);
      assert.ok(existsSync(dataDir));
      dev.child.kill(signal);
      assert.equal(await dev.exited, code);
      await until(() => processesWith(dataDir).length === 0, 30_000);
      // What a killed one could not remove, the next does.
      if (signal === "SIGKILL") left = dataDir;
      else
        assert.deepEqual(
          [dataDir, left].filter((dir) => existsSync(dir ?? "")),
          [],
        );
    }
  });

  it("takes a project by its lambda.yaml, which may change too", async () => {
    using folder = makeFolder({
      "lambda.yaml":
        "project: shop\nsecrets: [KEY]\nfunctions:\n  one: { path: code, timeout: 5s }\nroutes:\n  GET /mood: { function: one, host: shop.localhost }\n",
      ".env": "KEY=from .env\n",
      "code/index.mjs": "export const handler = async () => process.env.KEY + process.env.MOOD;\n",
    });
    await using dev = await startDev(folder.path);
    assert.deepEqual([dev.ready.project, (await dev.call("one")).text], ["shop", "from .envundefined"]);
    assert.equal((await dev.call("shop", "/mood")).text, "from .envundefined");
    const file = join(folder.path, "lambda.yaml");
    const text = readFileSync(file, "utf8");
    await change(dev, "one", () => writeFileSync(file, `${text}environment: { MOOD: good }\n`));
    assert.equal((await dev.call("one")).text, "from .envgood");
    const from = dev.lines.length;
    writeFileSync(file, text.replace("timeout", "tiemout"));
    const { message } = await dev.line(({ type }) => type === "problem", from);
    assert.match(String(message), /^lambda\.yaml:4:22: unknown key "tiemout"; did you mean timeout\?/);
    assert.equal((await dev.call("one")).text, "from .envgood");
  });

  it("lets a debugger attach to what serves now, always at the same port", async () => {
    using folder = makeFolder({ "index.mjs": answering("1") });
    await using dev = await startDev(folder.path, "--name", "one", "--inspect=29229");
    const attach = ({ type, text }: DevLine) =>
      type === "note" && /^one: debugger: attach to /.test(String(text));
    const address = /[\d.]+:\d+$/.exec(String((await dev.line(attach)).text))?.[0];
    const inspected = async () => {
      const [target] = Object(await (await fetch(`http://${address}/json/list`)).json());
      assert.ok(target.webSocketDebuggerUrl.startsWith(`ws://${address}/`));
      return target.id;
    };
    const before = await inspected();
    const from = dev.lines.length;
    await change(dev, "one", () => writeFileSync(join(folder.path, "index.mjs"), answering("2")));
    await dev.line(attach, from);
    assert.notEqual(await inspected(), before);
    assert.equal((await dev.call("one")).text, "2");
  });

  it("says why what is debugged does not start, and nothing of the debugger", async () => {
    using folder = makeFolder({ "index.mjs": answering("1") });
    await using dev = await startDev(folder.path, "--name", "one", "--inspect");
    const from = dev.lines.length;
    writeFileSync(
      join(folder.path, "index.mjs"),
      'console.log("on the way");\nthrow new Error("at the start");\nexport const handler = 1;\n',
    );
    const { message } = await dev.line(({ type }) => type === "problem", from);
    assert.match(String(message), /at the start[\s\S]*on the way/);
    assert.doesNotMatch(String(message), /Debugger|nodejs\.org/);
  });

  it("has keys on a terminal, and leaves it as it was", { skip: withoutPython }, async () => {
    using folder = makeFolder({ "index.mjs": answering("hello"), "terminal.py": TERMINAL });
    const args = [
      join(folder.path, "terminal.py"),
      join(ROOT, "bin/lambda"),
      "dev",
      folder.path,
      "--name",
      "one",
      "--port",
      "0",
    ];
    const ran = await run("python3", args, { env: { NO_COLOR: "1" } });
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    for (const wanted of [
      /watching .* · i invoke, o open, l logs, r rebuild, \? more, q quit/,
      /export LAMBDA_SERVER=http:\/\/127\.0\.0\.1:\d+ LAMBDA_KEY=\$\(cat /,
      /input of one \[\{\}\]: /,
      /"hello"/,
      /logs are not shown/,
      /building everything again/,
      /nothing is new in one: release 1 stays live/,
      /stopped/,
    ])
      assert.match(ran.stdout, wanted);
  });

  it("keeps what it is told to keep, and goes on with it", async () => {
    using folder = makeFolder({ "code/index.mjs": answering("1") });
    const data = join(folder.path, "data");
    for (const answer of ["1", "2"]) {
      writeFileSync(join(folder.path, "code/index.mjs"), answering(answer));
      await using dev = await startDev(join(folder.path, "code"), "--name", "one", "--data", data);
      assert.equal((await dev.call("one")).text, answer);
    }
    assert.ok(existsSync(join(data, "admin.key")));
  });

  for (const [why, files, args, message] of [
    ["a folder that is not there", {}, ["nowhere"], /there is no nowhere/],
    [
      "a folder without functions",
      { "a.txt": "" },
      ["."],
      /no function found.*no folder in it is a function either/,
    ],
    [
      "a function that does not parse",
      { "index.mjs": "const a = 1;\nexport cosnt handler = a;\n" },
      ["."],
      /index\.mjs:2:1 does not parse: .*\n.*\n> 2 \| export cosnt handler/,
    ],
    ["a file", { "a.mjs": "" }, ["a.mjs"], /a\.mjs is a file: lambda dev takes the folder that it is in/],
    [
      "a setting of one function for several",
      { "a/index.mjs": answering("1"), "b/index.mjs": answering("2") },
      [".", "--name", "x"],
      /--name is said of one function, and \. has several/,
    ],
    [
      "a port that is none",
      { "index.mjs": answering("1") },
      [".", "--port", "x"],
      /--port: expected a whole number/,
    ],
  ] as const) {
    it(`refuses ${why}`, async () => {
      using folder = makeFolder(files);
      const ran = await run(join(ROOT, "bin/lambda"), ["dev", ...args], { cwd: folder.path });
      assert.equal(ran.code, 2, ran.stderr);
      assert.match(ran.stderr, message);
    });
  }
});
