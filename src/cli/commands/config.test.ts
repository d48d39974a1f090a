import assert from "node:assert/strict";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { startFakeControl } from "../control-server.fake.ts";
import { openLambda } from "../lambda-process.fake.ts";

/** An environment in which neither server nor key is given. */
const NOTHING = { LAMBDA_SERVER: "", LAMBDA_KEY: "" };

describe("lambda config", () => {
  it("keeps settings in a file that only its owner may read, with its comments", async () => {
    await using lambda = await openLambda("");
    const file = join(lambda.dir, "home", ".config", "lambda", "config.yaml");
    await mkdir(join(file, ".."), { recursive: true });
    await writeFile(file, "# at work\nserver: http://10.0.0.1:8081 # the big one\n");
    await lambda.run(["config", "set", "key", "LKA.secret"], { env: NOTHING });
    assert.equal(
      await readFile(file, "utf8"),
      "# at work\nserver: http://10.0.0.1:8081 # the big one\nkey: LKA.secret\n",
    );
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const listed = await lambda.run(["config", "list", "--show-origin"], { env: NOTHING });
    assert.equal(
      listed.stdout,
      "KEY      VALUE                  ORIGIN\n" +
        `server   http://10.0.0.1:8081   ${file}\n` +
        `key      LKA.…                  ${file}\n`,
    );
    assert.equal((await lambda.run(["config", "get", "key"], { env: NOTHING })).stdout, "LKA.secret\n");
    await lambda.run(["config", "unset", "server"], { env: NOTHING });
    assert.equal(
      (await lambda.run(["config", "get", "server"], { env: NOTHING })).stdout,
      "http://127.0.0.1:8081\n",
    );
  });

  it("lets options win over the environment, and the environment over the file", async () => {
    await using lambda = await openLambda("");
    await writeFile(join(lambda.dir, "c.yaml"), "server: http://file:1\nkey: LKFILE.x\n");
    const origins = async (args: string[], env: Record<string, string>) => {
      const { stdout } = await lambda.run(["--use-config", "c.yaml", ...args, "config", "list", "--json"], {
        env: { ...NOTHING, ...env },
      });
      const listed: { settings: { value: string }[] } = JSON.parse(stdout);
      return listed.settings.map(({ value }) => value);
    };
    assert.deepEqual(await origins([], {}), ["http://file:1", "LKFILE.…"]);
    assert.deepEqual(await origins([], { LAMBDA_SERVER: "http://env:2" }), ["http://env:2", "LKFILE.…"]);
    assert.deepEqual(await origins(["--server", "option:3", "--key", "LKO.y"], { LAMBDA_KEY: "LKE.z" }), [
      "http://option:3",
      "LKO.…",
    ]);
  });

  for (const [why, text, message] of [
    ["YAML that is none", "server: [", /config\.yaml: .*line 1/s],
    ["a list", "- server\n", /expected lines like server: http/],
    ["an unknown key", "sever: x\n", /unknown key "sever", expected server or key/],
    ["a number", "key: 12\n", /key is not text/],
  ] as const) {
    it(`says where the file is wrong: ${why}`, async () => {
      await using lambda = await openLambda("");
      await writeFile(join(lambda.dir, "config.yaml"), text);
      const ran = await lambda.run(["--use-config", "config.yaml", "list"], { env: NOTHING });
      assert.equal(ran.exitCode, 2);
      assert.match(ran.stderr, message);
    });
  }

  it("finds the key of this machine's daemon, and offers it to loopback only", async () => {
    await using server = await startFakeControl();
    await using lambda = await openLambda(server.url);
    server.on("GET /v1/functions", { json: { functions: [] } });
    await writeFile(join(lambda.dir, "admin.key"), "LKADMIN.secret\n");
    const env = { LAMBDA_KEY: "", LAMBDAD_DATA: "." };
    assert.equal((await lambda.run(["list"], { env })).exitCode, 0);
    assert.equal(server.requests[0]?.headers.authorization, "Bearer LKADMIN.secret");

    const elsewhere = await lambda.run(["--server", "http://192.0.2.1:8081", "list"], { env });
    assert.equal(elsewhere.exitCode, 4);
    assert.match(elsewhere.stderr, /no key for http:\/\/192\.0\.2\.1:8081: looked in --key, LAMBDA_KEY/);
  });

  it("says where it looked for a key, and exits with 4", async () => {
    await using lambda = await openLambda("http://127.0.0.1:1");
    const ran = await lambda.run(["list"], { env: { LAMBDA_KEY: "", LAMBDAD_DATA: "/nowhere" } });
    assert.equal(ran.exitCode, 4);
    assert.match(ran.stderr, /no key .*\/nowhere\/admin\.key\nhint: /);
  });
});
