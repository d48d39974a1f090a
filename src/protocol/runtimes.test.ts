import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Runtimes } from "./runtimes.ts";

const packageRoot = dirname(dirname(import.meta.dirname));
const path = process.env.PATH ?? "";
let folder = "";

before(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), "ld-runtimes-")));
});
after(() => rm(folder, { recursive: true, force: true }));

/** A folder with programs, as a PATH. */
async function pathWith(name: string, programs: Readonly<Record<string, string>>): Promise<string> {
  const place = join(folder, name);
  await mkdir(place);
  for (const [program, text] of Object.entries(programs)) {
    await writeFile(join(place, program), text);
    await chmod(join(place, program), 0o755);
  }
  return place;
}

function fakePython(version: string, prefix = "/opt/py"): string {
  const answer = JSON.stringify([`${prefix}/bin/python3`, version, prefix, prefix]);
  return `#!/bin/sh\necho '${answer}'\n`;
}

function fakeRuby(version: string, prefix = "/opt/rb"): string {
  return `#!/bin/sh\nprintf '%s\\n' ${prefix}/bin/ruby ${version} ${prefix}\n`;
}

describe("Runtimes", () => {
  it("serves every Node runtime with the bundled binary and names its folder", async () => {
    const runtimes = new Runtimes({ packageRoot, path: "" });
    for (const name of ["nodejs26.x", "nodejs24.x", "nodejs22.x", "nodejs20.x", "nodejs18.x"]) {
      const { interpreter = "", runtimeDir, toolDirs } = await runtimes.resolve(name, "handler");
      assert.match(interpreter, /node-linux-(x64|arm64)\/bin\/node$/);
      assert.equal(runtimeDir, join(packageRoot, "runtimes/nodejs"));
      assert.deepEqual(toolDirs, [dirname(dirname(interpreter))]);
    }
  });

  it("takes a node on PATH where none is bundled, and says so", async () => {
    const root = join(folder, "bare");
    await mkdir(root);
    const runtimes = new Runtimes({ packageRoot: root, path: `relative:${dirname(process.execPath)}` });
    const { interpreter, toolDirs } = await runtimes.resolve("nodejs24.x", "lifecycle");
    assert.equal(interpreter, await realpath(process.execPath));
    assert.deepEqual(toolDirs, [dirname(dirname(await realpath(process.execPath)))]);
    const [info] = await runtimes.list();
    assert.equal(info?.version, process.versions.node);
  });

  it("refuses an old node and one that does not work, and looks again the next time", async () => {
    const root = join(folder, "other");
    await mkdir(root);
    const old = await pathWith("old-node", { node: "#!/bin/sh\necho 18.20.0\n" });
    const runtimes = new Runtimes({ packageRoot: root, path: old });
    await assert.rejects(runtimes.resolve("nodejs24.x", "handler"), {
      code: "RuntimeUnavailable",
      message: /no Node 20 or newer here, only 18\.20\.0 at .*: run npm install/,
    });
    await writeFile(join(old, "node"), "#!/bin/sh\nexit 1\n");
    await assert.rejects(runtimes.resolve("nodejs24.x", "handler"), { code: "RuntimeUnavailable" });
    await writeFile(join(old, "node"), `#!/bin/sh\nexec ${process.execPath} "$@"\n`);
    assert.equal(
      (await runtimes.resolve("nodejs24.x", "handler")).interpreter,
      await realpath(process.execPath),
    );
  });

  it("finds just that Python, else python3, and says which version it is", async () => {
    const both = await pathWith("both", {
      "python3.12": fakePython("3.12.4"),
      python3: fakePython("3.9.2", "/usr"),
    });
    const runtimes = new Runtimes({ packageRoot, path: both });
    assert.deepEqual(await runtimes.resolve("python3.12", "handler"), {
      interpreter: "/opt/py/bin/python3",
      runtimeDir: join(packageRoot, "runtimes/python"),
      toolDirs: ["/opt/py"],
    });
    assert.deepEqual(await runtimes.resolve("python3.13", "server"), {
      interpreter: "/usr/bin/python3",
      runtimeDir: undefined,
      toolDirs: [],
    });
    const list = await runtimes.list();
    const versions = list.filter(({ name }) => name.startsWith("python")).map(({ version }) => version);
    assert.deepEqual(versions, ["3.9.2", "3.9.2", "3.12.4", "3.9.2", "3.9.2", "3.9.2"]);
  });

  for (const [why, python] of [
    ["too old", fakePython("3.8.10")],
    ["a Python 2", fakePython("2.7.18")],
    ["a shim that fails", "#!/bin/sh\necho 'pyenv: python3: command not found' >&2\nexit 127\n"],
    ["something else", "#!/bin/sh\necho hello\n"],
    ["too talkative", "#!/bin/sh\necho '[1]'\n"],
  ] as const) {
    it(`refuses a python3 that is ${why}`, async () => {
      const runtimes = new Runtimes({
        packageRoot,
        path: await pathWith(`py-${why.replaceAll(" ", "-")}`, { python3: python }),
      });
      await assert.rejects(runtimes.resolve("python3.13", "handler"), {
        code: "RuntimeUnavailable",
        message: /no Python 3\.9 or newer here: install python3\.13/,
      });
      const list = await runtimes.list();
      const info = list.find(({ name }) => name === "python3.13");
      assert.ok(info && !info.isHere && info.remedy?.includes("install python3.13"));
    });
  }

  it("finds just that Ruby, else ruby, and says which version it is", async () => {
    const both = await pathWith("rubies", {
      "ruby3.3": fakeRuby("3.3.5"),
      ruby: fakeRuby("3.1.2", "/usr"),
    });
    const runtimes = new Runtimes({ packageRoot, path: both });
    const runtimeDir = join(packageRoot, "runtimes/ruby");
    assert.deepEqual(await runtimes.resolve("ruby3.3", "handler"), {
      interpreter: "/opt/rb/bin/ruby",
      runtimeDir,
      toolDirs: ["/opt/rb"],
    });
    assert.deepEqual(await runtimes.resolve("ruby3.4", "handler"), {
      interpreter: "/usr/bin/ruby",
      runtimeDir,
      toolDirs: [],
    });
    const list = await runtimes.list();
    const versions = list.filter(({ name }) => name.startsWith("ruby")).map(({ version }) => version);
    assert.deepEqual(versions, ["3.1.2", "3.1.2", "3.3.5", "3.1.2"]);
  });

  for (const [why, ruby] of [
    ["too old", fakeRuby("3.0.9")],
    ["of another kind", "#!/bin/sh\necho jruby\n"],
    ["broken", "#!/bin/sh\nexit 1\n"],
  ] as const) {
    it(`refuses a ruby that is ${why}`, async () => {
      const path = await pathWith(`rb-${why.replaceAll(" ", "-")}`, { ruby });
      await assert.rejects(new Runtimes({ packageRoot, path }).resolve("ruby3.3", "handler"), {
        code: "RuntimeUnavailable",
        message: /no Ruby 3\.1 or newer here: install ruby3\.3 or ruby/,
      });
    });
  }

  it("serves the names of .NET up to the newest runtime that dotnet lists", async () => {
    const list = ["6.0.36", "8.0.11"]
      .map((version) => `Microsoft.NETCore.App ${version} [/opt/x]`)
      .join("\n");
    const path = await pathWith("dotnets", {
      dotnet: `#!/bin/sh\ncat <<E\nMicrosoft.AspNetCore.App 10.0.0 [/x]\n${list}\nE\n`,
    });
    const runtimes = new Runtimes({ packageRoot, path });
    for (const name of ["dotnet6", "dotnet8"])
      assert.deepEqual(await runtimes.resolve(name, "handler"), {
        interpreter: join(path, "dotnet"),
        runtimeDir: undefined,
        toolDirs: [path],
      });
    assert.equal((await runtimes.look("dotnet6")).version, "8.0.11");
    await assert.rejects(runtimes.resolve("dotnet10", "handler"), {
      code: "RuntimeUnavailable",
      message: /no \.NET 10 or newer here, only 8\.0\.11 at .*: install dotnet-runtime-10\.0/,
    });
  });

  it("finds the real interpreter of this host, behind shims too", { skip: missingPython() }, async () => {
    const { interpreter = "", toolDirs } = await new Runtimes({ packageRoot, path }).resolve(
      "python3.11",
      "handler",
    );
    const prefix = execFileSync(interpreter, ["-I", "-c", "import sys; print(sys.base_prefix)"], {
      encoding: "utf8",
      env: {},
    }).trim();
    assert.ok(prefix === "/usr" || prefix.startsWith("/usr/") || toolDirs.includes(prefix));
    assert.doesNotMatch(interpreter, /shims/);
  });

  it("needs nothing for programs that bring all they need", async () => {
    const runtimes = new Runtimes({ packageRoot, path: "" });
    for (const name of ["provided.al2023", "provided.al2", "provided", "go1.x"]) {
      const nothing = { interpreter: undefined, runtimeDir: undefined, toolDirs: [] };
      assert.deepEqual(await runtimes.resolve(name, "handler"), nothing);
    }
  });

  for (const [runtime, kind, message] of [
    ["java8.al2", "handler", /java8\.al2 is not managed here.*provided\.al2023/],
    [
      "ruby2.7",
      "handler",
      /ruby2\.7 is not managed here: choose one of ruby4\.0, ruby3\.4, .*provided\.al2023/,
    ],
    ["dotnet7", "handler", /dotnet7 is not managed here: choose one of dotnet10, dotnet8, dotnet6/],
    ["ruby3.4", "lifecycle", /lifecycle modules run on Node/],
    ["nodejs4.3", "handler", /there is no runtime "nodejs4\.3": choose one of nodejs26\.x/],
    ["python2.7", "handler", /there is no runtime/],
    ["python3.13; rm", "handler", /there is no runtime/],
    ["../../bin/sh", "server", /there is no runtime/],
    ["", "filter", /there is no runtime ""/],
    ["python3.13", "lifecycle", /lifecycle modules run on Node/],
    ["provided.al2023", "lifecycle", /lifecycle modules run on Node/],
  ] as const) {
    it(`refuses ${runtime || "no name"} for a ${kind}, with what to do`, async () => {
      const runtimes = new Runtimes({ packageRoot, path });
      await assert.rejects(runtimes.resolve(runtime, kind), { code: "RuntimeUnavailable", message });
    });
  }
});

function missingPython(): string | false {
  try {
    execFileSync("python3", ["--version"]);
    return false;
  } catch {
    assert.notEqual(process.env.REQUIRE_ALL, "1", "python3 is required here");
    return "python3 is not installed";
  }
}

describe("a runtime that was installed", () => {
  const isHere = process.platform === "linux";

  it("serves just its own name, and is as it was if npm fails", { skip: !isHere }, async () => {
    const dir = join(folder, "runtimes");
    const bin = join(dir, "nodejs22.x/node_modules", `node-linux-${process.arch}`, "bin");
    await mkdir(bin, { recursive: true });
    await writeFile(join(bin, "node"), "#!/bin/sh\necho 22.1.0\n", { mode: 0o755 });
    const npm = await pathWith("npm-fails", { npm: "#!/bin/sh\necho no registry >&2; exit 1\n" });
    const runtimes = new Runtimes({
      packageRoot,
      path,
      install: { dir, environment: { PATH: `${npm}:${path}` } },
    });
    assert.equal((await runtimes.resolve("nodejs22.x", "handler")).interpreter, join(bin, "node"));
    assert.notEqual((await runtimes.resolve("nodejs24.x", "handler")).interpreter, join(bin, "node"));
    await assert.rejects(runtimes.install("nodejs22.x"), /cannot install node-linux-\w+@22 with npm/);
    assert.equal((await runtimes.resolve("nodejs22.x", "handler")).interpreter, join(bin, "node"));
    await assert.rejects(runtimes.install("python3.13"), /cannot be installed from the npm registry/);
    await assert.rejects(runtimes.install("../x"), /cannot be installed/);
  });
});
