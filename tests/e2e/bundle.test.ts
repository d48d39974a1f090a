import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, it } from "node:test";
import { EXAMPLES, makeFolder, ROOT, run, startDaemon, until } from "./daemon.fake.ts";

/** Says of each script whether V8 took what had been compiled of it before. */
const PROBE = `
const vm = require("node:vm");
vm.Script = class extends vm.Script {
  constructor(source, options) {
    super(source, options);
    process.stderr.write("script cached=" + (options.cachedData !== undefined && !this.cachedDataRejected) + "\\n");
  }
};
`;

/** The package in a folder of its own, whose dependencies are those of this checkout. */
function packageCopy() {
  const folder = makeFolder({ "probe.cjs": PROBE });
  const root = join(folder.path, "lambdad");
  for (const part of ["bin", "src", "runtimes", "package.json", "tsconfig.json", "tsconfig.build.json"])
    cpSync(join(ROOT, part), join(root, part), { recursive: true });
  const modules = join(ROOT, "node_modules");
  mkdirSync(join(root, "node_modules"));
  for (const name of readdirSync(modules)) {
    if (!name.startsWith(".")) symlinkSync(join(modules, name), join(root, "node_modules", name));
  }
  const bundle = join(root, "node_modules/.cache/lambdad/bundle");
  const start = () =>
    startDaemon({ root, env: { NODE_OPTIONS: `--require ${join(folder.path, "probe.cjs")}` } });
  return {
    root,
    main: join(root, "src/lambdad.ts"),
    bundle: join(bundle, "lambdad.json"),
    compiled: join(bundle, "lambdad.compiled"),
    start,
    /** Runs a daemon until what the next start wants is there. */
    async startUntilMade(file: string) {
      await using daemon = await start();
      await until(() => existsSync(file));
      return daemon.logged();
    },
    [Symbol.dispose]: () => folder[Symbol.dispose](),
  };
}

describe("starts from a bundle", () => {
  it("runs what the sources are, from source, bundled, and compiled before", async () => {
    using copy = packageCopy();
    assert.doesNotMatch(await copy.startUntilMade(copy.bundle), /script cached/, "from source");
    assert.match(await copy.startUntilMade(copy.compiled), /script cached=false/, "bundled");
    {
      await using daemon = await copy.start();
      assert.match(daemon.logged(), /script cached=true/, "compiled before");
      // It takes in code by packages that are read only then.
      const deployed = await daemon.deploy(join(EXAMPLES, "hello-nodejs"), "greet");
      assert.doesNotMatch(`${deployed.stderr}${daemon.logged()}`, /Warning/);
    }

    // What was compiled of other code, or only half written, is not taken; the daemon runs all the same.
    writeFileSync(copy.compiled, readFileSync(copy.compiled).subarray(0, 5_000));
    assert.match(await copy.startUntilMade(copy.compiled), /script cached=false/, "damaged");

    writeFileSync(copy.main, readFileSync(copy.main, "utf8").replace('"serving"', '"serving the new code"'));
    await using changed = await copy.start();
    await until(() => /serving the new code/.test(changed.logged()));
    assert.doesNotMatch(changed.logged(), /script cached/, "the bundle is not for the changed sources");
  });

  it("runs what a package brings, which has no sources", async () => {
    using copy = packageCopy();
    const built = await run("npm", ["run", "--silent", "build"], { cwd: copy.root });
    assert.equal(built.code, 0, built.stdout + built.stderr);
    rmSync(join(copy.root, "src"), { recursive: true });

    assert.doesNotMatch(await copy.startUntilMade(copy.bundle), /script cached/, "from what was compiled");
    assert.match(await copy.startUntilMade(copy.compiled), /script cached=false/, "bundled");
    await using daemon = await copy.start();
    assert.match(daemon.logged(), /script cached=true/);
    await daemon.deploy(join(EXAMPLES, "hello-nodejs"), "greet");
    assert.equal((await daemon.call("greet", "/?name=World")).status, 200);
  });
});

it("a bundle requires nothing that can only be imported", () => {
  const require = createRequire(import.meta.url);
  const { BUNDLED_PACKAGES } = require("../../bin/bundle.cjs");
  const { dependencies } = require("../../package.json");
  const required = Object.keys(dependencies).filter((name) => !BUNDLED_PACKAGES.includes(name));
  assert.ok(required.length > 5);
  for (const name of required) assert.doesNotThrow(() => require(name), name);
});
