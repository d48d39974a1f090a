import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { silentLog } from "../../core/log.ts";
import { FirstProcesses, startProblem } from "./first-process.ts";
import { firstProgram } from "./first-program.ts";
import { wrongMachine } from "./wrong-machine.ts";

const SOURCE = join(import.meta.dirname, "../../../runtimes/container/first.c");
const TOKEN = "\u0001token";
const PIPE_BYTES = 65_536;

/** How the code in first-program.ts was made. Another compiler's code is as good, but other code. */
const COMPILER_VERSION = "12.2.0";
const COMPILERS = { x64: "x86_64-linux-gnu", arm64: "aarch64-linux-gnu" } as const;
const COMPILER_FLAGS = [
  ...[
    "-Os",
    "-static",
    "-nostdlib",
    "-ffreestanding",
    "-fno-stack-protector",
    "-fno-pic",
    "-Wall",
    "-Wextra",
  ],
  ...["-Werror", "-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns"],
  "-Wl,--build-id=none,-N,-Ttext=0x400078,--no-warn-rwx-segments",
];

const isHere = process.platform === "linux" && firstProgram(process.arch) !== undefined;

describe("the first process of a filter's container", {
  skip: !isHere && "there is none for this machine",
}, () => {
  let folder = "";
  let first = "";

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "first-"));
    first = join(folder, "first");
    await writeFile(first, firstProgram(process.arch) ?? "");
    await chmod(first, 0o755);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const start = (command: readonly string[], env: NodeJS.ProcessEnv = process.env) => {
    const child = spawn(first, [TOKEN, ...command], { stdio: ["pipe", "pipe", "pipe"], env });
    child.stdin.on("error", () => undefined);
    return child;
  };
  const run = async (command: readonly string[], input = "", env?: NodeJS.ProcessEnv) => {
    const child = start(command, env);
    child.stdin.end(input);
    const [stdout, stderr, [exitCode]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "exit"),
    ]);
    return { stdout, stderr, exitCode };
  };

  it("tells that the program runs, and how it ended, behind what it printed", async () => {
    assert.deepEqual(await run(["sh", "-c", "cat; echo log >&2; exit 42"], "hello"), {
      stdout: `hello${TOKEN}X*`,
      stderr: `${TOKEN}S\0log\n${TOKEN}X*`,
      exitCode: 42,
    });
  });

  it("tells which signal killed it, and leaves as a shell would", async () => {
    const { stdout, exitCode } = await run(["sh", "-c", "kill -TERM $$"]);
    assert.deepEqual([stdout, exitCode], [`${TOKEN}K\u000f`, 143]);
  });

  it("looks along PATH, and says why nothing can be started", async () => {
    await mkdir(join(folder, "one"));
    await mkdir(join(folder, "two"));
    await writeFile(join(folder, "one/tool"), "#!/bin/sh\necho one\n", { mode: 0o644 });
    await writeFile(join(folder, "two/tool"), "#!/bin/sh\necho two\n", { mode: 0o755 });
    await writeFile(join(folder, "two/data"), "no program\n", { mode: 0o755 });
    const PATH = `/nowhere:${join(folder, "one")}:${join(folder, "two")}`;
    assert.equal((await run(["tool"], "", { PATH })).stdout, `two\n${TOKEN}X\0`);
    for (const [command, errno, sentence] of [
      ["nothing", 2, 'exec: "nothing": executable file not found in $PATH'],
      ["/no/thing", 2, 'exec: "/no/thing": no such file or directory'],
      [join(folder, "one/tool"), 13, `exec: "${folder}/one/tool": permission denied`],
      ["data", 8, `exec: "data": exec format error (${wrongMachine("exec format error")})`],
      ["x".repeat(5_000), 2, `exec: "${"x".repeat(5_000)}": executable file not found in $PATH`],
    ] as const) {
      assert.deepEqual(await run([command], "", { PATH }), {
        stdout: "",
        stderr: `${TOKEN}F${String.fromCharCode(errno)}`,
        exitCode: 127,
      });
      assert.equal(startProblem(command, errno), sentence);
    }
    assert.deepEqual((await run(["sh"], "", {})).exitCode, 127);
  });

  it("hands signals on, and lets the program end by itself", async () => {
    const child = start(["sh", "-c", "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done"]);
    const stdout = child.stdout.setEncoding("utf8")[Symbol.asyncIterator]();
    assert.equal((await stdout.next()).value, "up\n");
    child.kill("SIGTERM");
    assert.deepEqual(await once(child, "exit"), [5, null]);
    assert.match((await stdout.next()).value, /^bye\n/);
  });

  it("lets the program have the signals and the input of one that is started by itself", async () => {
    const { stdout } = await run(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    assert.match(stdout, /SigBlk:\t0{16}\n/);
    const child = start(["sh", "-c", "exec 0<&-; echo closed; sleep 30"]);
    await once(child.stdout, "data");
    // Nobody else holds the input: whoever writes is told.
    child.stdin.write(Buffer.alloc(PIPE_BYTES * 4));
    await once(child.stdin, "error");
    child.kill("SIGTERM");
    await once(child, "exit");
  });

  it("waits for whoever reads, also where the program told the pipe not to wait", async () => {
    const fill = `perl -e 'use Fcntl; fcntl(STDOUT, F_SETFL, O_NONBLOCK); 1 while syswrite(STDOUT, "x" x 4096); print STDERR "full\\n"; exit 7'`;
    const child = start(["sh", "-c", `exec ${fill}`]);
    let stderr = "";
    for await (const chunk of child.stderr.setEncoding("utf8")) {
      stderr += chunk;
      if (stderr.includes("full")) break;
    }
    const stdout = await buffer(child.stdout);
    assert.equal(stdout.subarray(-9).toString("latin1"), `x${TOKEN}X\u0007`);
    assert.deepEqual(child.exitCode ?? (await once(child, "exit"))[0], 7);
  });

  for (const arch of ["x64", "arm64"] as const) {
    const compiler = `${COMPILERS[arch]}-gcc`;
    it(`is what its source says (${arch})`, { skip: withoutCompiler(compiler) }, async () => {
      const object = join(folder, `${arch}.elf`);
      const code = join(folder, `${arch}.bin`);
      const compiled = spawnSync(compiler, [...COMPILER_FLAGS, "-o", object, SOURCE], { encoding: "utf8" });
      assert.equal(compiled.status, 0, compiled.stderr);
      const cut = spawnSync(`${COMPILERS[arch]}-objcopy`, ["-O", "binary", "-j", ".text", object, code]);
      assert.equal(cut.status, 0, String(cut.stderr));
      const made = await readFile(code);
      const kept = firstProgram(arch) ?? Buffer.alloc(0);
      assert.equal(
        kept.subarray(-made.length).toString("base64"),
        made.toString("base64"),
        "first-program.ts is to have this",
      );
    });
  }
});

describe("where the first process is kept", { skip: !isHere && "there is none for this machine" }, () => {
  it("is the first folder that programs may be run in, and containers do without if there is none", async () => {
    const folder = await mkdtemp(join(tmpdir(), "first-"));
    const file = join(folder, "file");
    await writeFile(file, "");
    const firsts = new FirstProcesses({ folders: [join(file, "no"), join(folder, "yes")], log: silentLog });
    const [one, other] = [await firsts.next(), await firsts.next()];
    assert.equal(one?.file, join(folder, "yes/first"));
    assert.notEqual(one?.token, other?.token);
    const said: unknown[] = [];
    const log = { ...silentLog, warn: (message: string, facts: unknown) => said.push(message, facts) };
    const none = new FirstProcesses({ folders: [join(file, "no")], log });
    assert.equal(await none.next(), undefined);
    assert.match(JSON.stringify(said), /answers of filters wait/);
    await rm(folder, { recursive: true });
  });

  it("is given up where an engine refuses it, and only for that", async () => {
    const folder = await mkdtemp(join(tmpdir(), "first-"));
    const firsts = new FirstProcesses({ folders: [folder], log: silentLog });
    const first = await firsts.next();
    assert.ok(first);
    assert.equal(firsts.isRefusedBy("no such image: sha256:1", first), false);
    assert.ok(await firsts.next());
    const refusal =
      'starting container process caused: exec: "/run/lambdad-first": permission denied: unknown';
    assert.equal(firsts.isRefusedBy(refusal, first), true);
    assert.equal(await firsts.next(), undefined);
    await rm(folder, { recursive: true });
  });
});

function withoutCompiler(compiler: string): string | false {
  const version = spawnSync(compiler, ["-dumpfullversion"], { encoding: "utf8" }).stdout?.trim();
  if (version === COMPILER_VERSION || process.env.REQUIRE_ALL === "1") return false;
  return `${compiler} ${COMPILER_VERSION} is not installed`;
}
