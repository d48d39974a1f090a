import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

/** bin/lambda in a package of its own, whose program is a few lines that tell what they see. */
interface Package extends AsyncDisposable {
  readonly dir: string;
  readonly lambda: string;
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const BUNDLED = join(`node-linux-${process.arch}`, "bin", "node");

const REPORT = `
const { LAMBDAD_WRAPPER_FD: fd = null } = process.env;
console.log(JSON.stringify({ args: process.argv.slice(2), major: Number.parseInt(process.versions.node), fd }));
`;

async function makePackage(
  options: {
    readonly program?: string;
    readonly main?: string;
    readonly at?: string;
    readonly hasNode?: boolean;
  } = {},
): Promise<Package> {
  const top = await mkdtemp(join(tmpdir(), "lambda-start-"));
  const dir = join(top, options.at ?? "package");
  const main = join(dir, options.main ?? "src/lambda.ts");
  await mkdir(dirname(main), { recursive: true });
  await cp(join(ROOT, "bin"), join(dir, "bin"), { recursive: true });
  await writeFile(
    join(dir, "package.json"),
    '{\n  "name": "lambdad",\n  "version": "7.8.9",\n  "type": "module"\n}\n',
  );
  await writeFile(main, options.program ?? REPORT);
  if (options.hasNode !== false) {
    const modules = options.at?.startsWith("node_modules/")
      ? join(top, "node_modules")
      : join(dir, "node_modules");
    const node = join(modules, BUNDLED);
    await mkdir(dirname(node), { recursive: true });
    await symlink(process.execPath, node);
  }
  return {
    dir,
    lambda: join(dir, "bin", "lambda"),
    async [Symbol.asyncDispose]() {
      await rm(top, { recursive: true, force: true });
    },
  };
}

interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(
  command: readonly [string, ...string[]],
  env: Record<string, string> = {},
): Promise<Ended> {
  const [program, ...args] = command;
  const child = spawn(program, args, {
    env: { PATH: "/usr/bin:/bin", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const [exitCode, signal] = await once(child, "close");
  return { exitCode, signal, stdout, stderr };
}

const ARGS = ["list", "two words", "", "--env-file", "missing", "a\nb", "*"] as const;
const SEEN = { args: [...ARGS], major: Number.parseInt(process.versions.node, 10), fd: null };

describe("bin/lambda, executed", () => {
  it("starts the Node of the package with the arguments as they are", async () => {
    await using made = await makePackage();
    assert.deepEqual(JSON.parse((await run([made.lambda, ...ARGS])).stdout), SEEN);
  });

  it("finds its package through links, as npm makes them", async () => {
    await using made = await makePackage();
    await mkdir(join(made.dir, "links"));
    await symlink(made.lambda, join(made.dir, "links", "absolute"));
    await symlink("absolute", join(made.dir, "links", "relative"));
    await symlink("../links", join(made.dir, "links", "folder"));
    const ran = await run([join(made.dir, "links", "folder", "relative"), ...ARGS]);
    assert.deepEqual(JSON.parse(ran.stdout), SEEN);
  });

  it("finds a Node that npm has hoisted, and dist where there is no src", async () => {
    await using made = await makePackage({
      at: "node_modules/lambdad",
      main: "dist/lambda.js",
    });
    assert.deepEqual(JSON.parse((await run([made.lambda, ...ARGS])).stdout), SEEN);
    assert.deepEqual(await readdir(join(made.dir, "..", ".cache")), ["lambdad"]);
  });

  it("answers --version without any Node", async () => {
    await using made = await makePackage({ hasNode: false });
    for (const flag of ["-V", "--version"]) {
      assert.deepEqual(await run([made.lambda, flag], { PATH: "/nowhere" }), {
        exitCode: 0,
        signal: null,
        stdout: "7.8.9\n",
        stderr: "",
      });
    }
  });

  it("says what to install where there is no Node", async () => {
    await using made = await makePackage({ hasNode: false });
    const ran = await run([made.lambda, "list"], { PATH: "/nowhere" });
    assert.deepEqual([ran.exitCode, ran.stdout], [69, ""]);
    assert.match(
      ran.stderr,
      /^lambdad needs Node 24 or newer and found none: run npm install in its folder, .*\n$/,
    );
  });
});

describe("bin/lambda, given to a Node", () => {
  it("runs in it if it is new enough", async () => {
    await using made = await makePackage({ hasNode: false });
    const ran = await run([process.execPath, "--", made.lambda, ...ARGS]);
    assert.deepEqual(JSON.parse(ran.stdout), SEEN);
    assert.equal((await run([process.execPath, made.lambda, "--version"])).stdout, "7.8.9\n");
  });

  it("keeps compiled modules in the package, or in the user's cache where it may not write", async () => {
    await using made = await makePackage();
    await run([made.lambda]);
    assert.equal((await readdir(join(made.dir, "node_modules", ".cache", "lambdad"))).length, 1);

    await rm(join(made.dir, "node_modules", ".cache"), { recursive: true });
    await writeFile(join(made.dir, "node_modules", ".cache"), "in the way");
    const ran = await run([made.lambda, ...ARGS], { XDG_CACHE_HOME: join(made.dir, "cache") });
    assert.deepEqual(JSON.parse(ran.stdout), SEEN);
    assert.equal((await readdir(join(made.dir, "cache", "lambdad"))).length, 1);
  });
});

const oldNode = findOldNode();
const skip =
  oldNode !== undefined || process.env.REQUIRE_ALL === "1" ? false : "no Node older than 24 is installed";

describe("bin/lambda, given to an older Node", { skip }, () => {
  const old = oldNode ?? "a Node older than 24";

  it("re-runs itself on the Node of the package", async () => {
    await using made = await makePackage();
    assert.deepEqual(JSON.parse((await run([old, "--", made.lambda, ...ARGS])).stdout), SEEN);
  });

  it("says what to do where the package has none", async () => {
    await using made = await makePackage({ hasNode: false });
    const ran = await run([old, made.lambda, "list"]);
    assert.deepEqual([ran.exitCode, ran.stdout], [69, ""]);
    assert.match(ran.stderr, /^lambda needs Node 24 or newer, this is v\d+\.\S+: run npm install in .*\n$/);
    assert.equal((await run([old, made.lambda, "-V"])).stdout, "7.8.9\n");
  });

  it("ends as the program ends", async () => {
    await using made = await makePackage({
      program: `
      if (process.argv[2] === "exit") process.exit(42);
      process.kill(process.pid, process.argv[2]);
      setInterval(() => undefined, 1000);`,
    });
    assert.equal((await run([old, made.lambda, "exit"])).exitCode, 42);
    for (const signal of ["SIGTERM", "SIGKILL", "SIGINT"]) {
      const ran = await run([old, made.lambda, signal]);
      assert.deepEqual([ran.exitCode, ran.signal], [null, signal]);
    }
  });

  it("passes signals on", async () => {
    await using made = await makePackage({
      program: `
      for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => console.log(signal));
      process.on("SIGUSR2", () => process.exit(7));
      setInterval(() => undefined, 1000);
      console.log("ready");`,
    });
    const wrapper = spawn(old, [made.lambda], { stdio: ["ignore", "pipe", "pipe"] });
    const exited = once(wrapper, "exit");
    const lines = createInterface({ input: wrapper.stdout })[Symbol.asyncIterator]();
    const said: unknown[] = [(await lines.next()).value];
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
      wrapper.kill(signal);
      said.push((await lines.next()).value);
    }
    wrapper.kill("SIGUSR2");
    assert.deepEqual(
      [said, await exited],
      [
        ["ready", "SIGTERM", "SIGINT", "SIGHUP"],
        [7, null],
      ],
    );
  });

  it("takes the program along when it is killed, even one that is busy starting children", async () => {
    await using made = await makePackage({
      program: `
      import { spawn } from "node:child_process";
      const child = spawn(process.execPath, ["-e", "setInterval(() => undefined, 1000)"], { stdio: "ignore" });
      console.log(process.pid + " " + child.pid + " " + process.env.LAMBDAD_WRAPPER_FD);
      setInterval(() => undefined, 1000);`,
    });
    const wrapper = spawn(old, [made.lambda], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = await once(createInterface({ input: wrapper.stdout }), "line");
    const [program = "", child = "", wrapperFd] = String(line).split(" ");
    assert.equal(wrapperFd, "undefined");
    try {
      const gone = once(wrapper.stdout, "close");
      wrapper.kill("SIGKILL");
      // Its stdout is shared by wrapper and program: it closes when both are gone.
      await gone;
      assert.equal(isRunning(Number(program)), false);
    } finally {
      process.kill(Number(child), "SIGKILL");
    }
  });
});

/** A zombie whose new parent has not looked yet is as gone as it needs to be. */
function isRunning(pid: number): boolean {
  try {
    const state = execFileSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" });
    return state.trim() !== "" && !state.startsWith("Z");
  } catch {
    return false; // ps knows no such process.
  }
}

function findOldNode(): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/bin", "/usr/bin"];
  return folders
    .map((folder) => join(folder, "node"))
    .filter((file) => existsSync(file))
    .find((file) => {
      const version = execFileSync(file, ["-p", "process.versions.node"], { encoding: "utf8" });
      const major = Number.parseInt(version, 10);
      return major >= 20 && major < 24;
    });
}
