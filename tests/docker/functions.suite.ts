/** Functions made of images, through the command line and the gateway of a real daemon. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleepFor } from "node:timers/promises";
import { freePort } from "../../src/core/free-port.fake.ts";
import { type Daemon, startDaemon } from "./daemon.ts";
import { census, type TestEngine } from "./engine.ts";
import { importImages } from "./images.ts";

const RIE = "/2015-03-31/functions/function/invocations";

export function describeImageFunctions(getEngine: () => TestEngine): void {
  let found: Readonly<Record<string, readonly string[]>> = {};
  describe("functions made of images", () => {
    let daemon: Daemon;
    let folder = "";

    before(async () => {
      found = await census(getEngine());
      await importImages(getEngine());
      folder = await mkdtemp(join(tmpdir(), "src-"));
      daemon = await startDaemon(getEngine().socketPath);
    });
    after(async () => {
      await daemon[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    });

    const done = async (...args: readonly string[]) => {
      const result = await daemon.lambda(...args);
      assert.equal(result.exitCode, 0, `lambda ${args.join(" ")}: ${result.stderr}`);
      return result;
    };
    const fails = async (...args: readonly string[]) => {
      const result = await daemon.lambda(...args);
      assert.notEqual(result.exitCode, 0, `lambda ${args.join(" ")} was expected to fail`);
      return result.stderr;
    };
    const post = async (name: string, body: string, path = "") => {
      const answer = await daemon.call(name, { method: "POST", body, path });
      return { status: answer.status, text: await answer.text() };
    };
    const sourceOf = async (name: string, files: Readonly<Record<string, string>>) => {
      const dir = join(folder, name);
      await mkdir(dir, { recursive: true });
      for (const [path, text] of Object.entries(files)) await writeFile(join(dir, path), text);
      return dir;
    };

    it("are filters from stdin to stdout unless they say otherwise", async () => {
      await done("fn", "create", "box", "test/box:1");
      assert.deepEqual(await post("box", "one\ntwo\n"), { status: 200, text: "one\ntwo\n" });
      assert.deepEqual(await post("box", "again"), { status: 200, text: "again" });
      assert.match((await done("function", "ls")).stdout, /^box +image +1 /m);
      assert.match(await fails("fn", "create", "box", "test/box:1"), /exists already/);
      assert.match(await fails("images", "nobody"), /function "nobody" does not exist/);
    });

    it("keep stderr for the log, and fail by their exit status", async () => {
      await done(
        "deploy",
        "--image",
        "test/box:1",
        "--name",
        "fails",
        "--command",
        "sh -c 'cat; echo oh no >&2; exit 3'",
      );
      const { status, text } = await post("fails", "x");
      assert.equal(status, 502);
      assert.match(text, /FunctionThrew|exit status 3/);
      assert.match((await done("logs", "fails")).stdout, /oh no/);
    });

    it("cannot flood the daemon with output", async () => {
      await done(
        "deploy",
        "--image",
        "test/box:1",
        "--name",
        "floods",
        "--timeout",
        "60",
        "--command",
        "sh -c 'head -c 1000000000 /dev/zero'",
      );
      const { status } = await post("floods", "x");
      assert.equal(status, 502);
    });

    it("say that they are for other machines, when they are built and when they start", async () => {
      const dir = await sourceOf("other-machine", {
        Dockerfile: 'FROM test/box:1\nCOPY program /program\nCMD ["/program"]\n',
        program: "\u007fELF, but of no machine that there is",
      });
      await chmod(join(dir, "program"), 0o755);
      const other = /for other machines than this one \(linux\/\w+\), or a script without #!/;
      assert.match(await fails("deploy", dir, "--name", "other"), other);
      await writeFile(
        join(dir, "Dockerfile"),
        'FROM test/box:1\nCOPY program /program\nRUN ["/program"]\nCMD ["/program"]\n',
      );
      assert.match(await fails("deploy", dir, "--name", "other"), other);
    });

    it("are servers where they expose a port", async () => {
      await done("deploy", "--image", "test/web:1", "--name", "web", "-e", "GREETING=hi");
      const answer = await daemon.call("web", { path: "/hello" });
      assert.equal(await answer.text(), "hello from the image\n");
      const said = await (await daemon.call("web", { path: "/cgi-bin/env" })).text();
      assert.match(said, /^GREETING=hi$/m);
      assert.match(said, /^PORT=8000$/m);
      assert.match(said, /^AWS_LAMBDA_FUNCTION_NAME=web$/m);
    });

    it("are handlers on AWS's base images, with their own entry point and handler", async () => {
      const dir = await sourceOf("python-like", {
        Dockerfile: 'FROM test/aws:1\nCOPY app.txt .\nRUN echo "building for real"\nCMD ["app.handler"]\n',
        "app.txt": "the code\n",
        ".dockerignore": "*.secret\n",
        "a.secret": "must not get in",
      });
      const { stderr } = await done("deploy", dir, "--name", "aws");
      assert.match(stderr, /building for real/);
      const rie = "/2015-03-31/functions/function/invocations";
      assert.deepEqual(await post("aws", '{"a":1}', rie), {
        status: 200,
        text: '{"handler":"app.handler","event":{"a":1}}',
      });
      assert.match((await done("logs", "aws")).stdout, /bootstrap of app\.handler/);
      const labels = await getEngine().docker(
        "image",
        "inspect",
        "-f",
        "{{json .Config.Labels}}",
        "-f",
        "{{json .Config.Labels}}",
        await imageOf(getEngine(), "aws:1"),
      );
      const read = JSON.parse(labels);
      assert.equal(read["org.opencontainers.image.title"], "aws");
      assert.equal(read["org.opencontainers.image.base.name"], "test/aws:1");
      assert.equal(read["dev.lambdad.function"], "aws");
    });

    it("have the extensions of their image beside them", async () => {
      const dir = await sourceOf("extended", {
        Dockerfile: 'FROM test/aws:1\nCOPY watcher /opt/extensions/watcher\nCMD ["app.handler"]\n',
        watcher: `#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2020-01-01/extension"
wget -q -S -O /dev/null --header "Lambda-Extension-Name: watcher" --post-data '{"events":["INVOKE"]}' "$api/register" 2>/tmp/watcher
id=$(sed -n 's/.*lambda-extension-identifier: *//Ip' /tmp/watcher | tr -d '\\r')
while event=$(wget -q -O - --header "Lambda-Extension-Identifier: $id" "$api/event/next"); do
  echo "watcher was told: $event"
done
`,
      });
      await chmod(join(dir, "watcher"), 0o755);
      await done("deploy", dir, "--name", "extended", "--timeout", "30");
      const rie = "/2015-03-31/functions/function/invocations";
      assert.equal((await post("extended", "{}", rie)).text, '{"handler":"app.handler","event":{}}');
      assert.equal((await post("extended", "2", rie)).text, '{"handler":"app.handler","event":2}');
      const { latest } = JSON.parse((await done("info", "extended", "--json")).stdout);
      assert.deepEqual(latest.code.image.extensions, ["watcher"]);
      assert.match((await done("logs", "extended")).stdout, /watcher was told: .*INVOKE/);
    });

    it("leave out of the build what .dockerignore names", async () => {
      const dir = await sourceOf("ignored", {
        Dockerfile: 'FROM test/box:1\nCOPY . /src/\nCMD ["ls", "/src"]\n',
        ".dockerignore": "*.secret\n!kept.secret\n",
        "a.secret": "x",
        "kept.secret": "x",
        "b.txt": "x",
      });
      await done("deploy", dir, "--name", "ignored");
      const { text } = await post("ignored", "");
      assert.deepEqual(text.trim().split("\n"), ["Dockerfile", "b.txt", "kept.secret"]);
    });

    it("are made by AWS's tools with PackageType Image", async () => {
      const created = await aws(daemon, "POST", "/2015-03-31/functions", {
        FunctionName: "sdk",
        Role: "arn:aws:iam::000000000000:role/r",
        PackageType: "Image",
        Code: { ImageUri: "test/aws:1" },
        ImageConfig: { Command: ["other.run"] },
      });
      assert.equal(created.status, 201, JSON.stringify(created.json));
      const { PackageType, Runtime, Handler, CodeSha256, ImageConfigResponse } = created.json;
      assert.deepEqual(
        [PackageType, Runtime, Handler, ImageConfigResponse],
        ["Image", undefined, undefined, { ImageConfig: { Command: ["other.run"] } }],
      );
      assert.match(CodeSha256, /^[0-9a-f]{64}$/);
      assert.equal((await post("sdk", "7")).status, 200);
      const updated = await aws(daemon, "PUT", "/2015-03-31/functions/sdk/code", {
        ImageUri: "test/aws:1",
        Publish: true,
      });
      assert.deepEqual([updated.status, updated.json.Version], [200, "1"]);
      const refused = await aws(daemon, "PUT", "/2015-03-31/functions/sdk/code", { ZipFile: "UEsFBg==" });
      assert.match(refused.json.message ?? refused.json.Message, /packageType Image/);
      const shown = await aws(daemon, "GET", "/2015-03-31/functions/sdk");
      assert.equal(shown.json.Code.ImageUri, "test/aws:1");

      const configure = (body: object) => aws(daemon, "PUT", "/2015-03-31/functions/sdk/configuration", body);
      const changed = await configure({ ImageConfig: { Command: ["third.run"] }, Timeout: 30 });
      assert.equal(changed.status, 200, JSON.stringify(changed.json));
      assert.deepEqual(changed.json.ImageConfigResponse, { ImageConfig: { Command: ["third.run"] } });
      assert.equal((await post("sdk", "7", RIE)).text, '{"handler":"third.run","event":7}');
      assert.equal((await configure({ ImageConfig: {} })).json.ImageConfigResponse, undefined);
      assert.equal((await post("sdk", "7", RIE)).text, '{"handler":"","event":7}');
      const again = await aws(daemon, "GET", "/2015-03-31/functions/sdk");
      assert.equal(again.json.Code.ImageUri, "test/aws:1");
    });

    it("are refused by name, and told when they are nowhere", async () => {
      assert.match(await fails("deploy", "--image", "UPPER/case", "--name", "x"), /image: expected/);
      assert.match(await fails("deploy", "--image", "test/box;rm -rf", "--name", "x"), /image: expected/);
      assert.match(
        await fails("deploy", "--image", "test/nothing:1", "--name", "x"),
        /test\/nothing:1 cannot be had/,
      );
      assert.match(
        await fails("deploy", "--image", "test/box:1", "--name", "x", "--network", "host"),
        /do not share/,
      );
    });

    it("show why a build failed, and change nothing then", async () => {
      const dir = await sourceOf("broken", { Dockerfile: "FROM test/box:1\nRUN echo before && false\n" });
      const said = await fails("deploy", dir, "--name", "broken");
      assert.match(said, /before/);
      assert.match(said, /returned a non-zero code/);
      assert.match(await fails("info", "broken"), /not found|no function|does not exist/i);
    });

    it("are isolated: no rights, nothing to write to but /tmp, no way to this host or to each other", async () => {
      const server = createServer((socket) => socket.end("reached")).listen(0, "0.0.0.0");
      await once(server, "listening");
      const { port } = Object(server.address());
      const gateways = (
        await getEngine().docker(
          "network",
          "inspect",
          "-f",
          "{{range .IPAM.Config}}{{.Gateway}}{{end}}",
          ...(await networks(getEngine())),
        )
      )
        .trim()
        .split("\n");
      const web =
        (await getEngine().docker("ps", "-q", "--filter", "ancestor=test/web:1")).trim().split("\n")[0] ?? "";
      const other = (
        await getEngine().docker(
          "inspect",
          "-f",
          "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
          web,
        )
      ).trim();
      const addresses = [
        ...gateways.flatMap((gateway) => [`${gateway}:${port}`, `${gateway}:9001`]),
        `${other}:8000`,
        "169.254.169.254:80",
      ];
      await done(
        "deploy",
        "--image",
        "test/box:1",
        "--name",
        "portrait",
        "--timeout",
        "60",
        "--command",
        JSON.stringify(["/bin/portrait", ...addresses]),
      );
      const { text } = await post("portrait", "");
      server.close();
      const lines = text.trim().split("\n");
      assert.ok(Number(lines[0]) > 1_000_000, text);
      // The Runtime API's own port is open to all; who has none there is hung up on.
      const open = lines.slice(1).filter((line) => !/^reached [\d.]+:9001$/.test(line));
      assert.deepEqual(open, ["CapEff 0000000000000000", "NoNewPrivs 1", "Seccomp 2", "tmp", "end"], text);
    });

    it("go on when their container is killed or removed behind our back", async () => {
      for (const command of ["kill", "rm -f"]) {
        const ids = (await getEngine().docker("ps", "-q", "--filter", "ancestor=test/web:1"))
          .trim()
          .split("\n");
        await getEngine().docker(...command.split(" "), ...ids.filter((id) => id !== ""));
        const answers = [];
        for (let tries = 0; tries < 3; tries += 1)
          answers.push((await daemon.call("web", { path: "/hello" })).status);
        assert.equal(answers.at(-1), 200, `after docker ${command}: ${answers}`);
      }
    });

    it("take a time limit even when their container is paused", async () => {
      await done("deploy", "--image", "test/web:1", "--name", "paused", "--timeout", "2");
      const id = await containerOf(getEngine(), "paused", daemon);
      await getEngine().docker("pause", id);
      const startedAt = performance.now();
      assert.equal((await daemon.call("paused", { path: "/hello" })).status, 504);
      assert.ok(performance.now() - startedAt < 5_000);
      assert.equal((await daemon.call("paused", { path: "/hello" })).status, 200);
    });

    it("go back to an image of before, and take nothing of the one they leave", async () => {
      await done("deploy", "--image", "test/box:1", "--name", "turns", "--command", "echo one");
      await done("deploy", "--image", "test/box:1", "--name", "turns", "--command", "echo two");
      assert.equal((await post("turns", "")).text, "two\n");
      await done("rollback", "turns");
      assert.equal((await post("turns", "")).text, "one\n");
    });

    it("run in the foreground, and are gone on Ctrl-C", async () => {
      const dir = await sourceOf("fore", { Dockerfile: 'FROM test/aws:1\nCMD ["fore.ground"]\n' });
      assert.match(await fails("run", dir, "-p", "99999"), /^error: --port: expected a port from 1 to 65535/);
      const port = await freePort();
      const running = daemon.startLambda("run", dir, "-p", String(port));
      await new Promise<void>((resolve, reject) => {
        running.stdout?.on("data", (text) => String(text).includes("running at") && resolve());
        running.once("exit", (code) => reject(new Error(`lambda run ended with ${code}`)));
      });
      const answer = await fetch(`http://127.0.0.1:${port}/2015-03-31/functions/function/invocations`, {
        method: "POST",
        body: "{}",
      });
      assert.equal(await answer.text(), '{"handler":"fore.ground","event":{}}');
      // Before anything is built.
      assert.match(await fails("run", dir, "-p", String(port)), /^error: port \d+ is in use/);
      running.removeAllListeners("exit");
      running.kill("SIGINT");
      await once(running, "exit");
      assert.doesNotMatch((await done("list")).stdout, /-run-/);
    });

    it("serve twenty cold calls at once without a failure", async () => {
      await done("deploy", "--image", "test/web:1", "--name", "burst");
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => daemon.call("burst", { path: "/hello" })),
      );
      assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    });

    it("leave nothing when they are deleted: containers, images", async () => {
      const { stdout } = await done("list", "-q");
      for (const name of stdout.trim().split("\n")) await done("delete", name, "--yes");
      const left = await until(async () => {
        const { containers, images } = await census(getEngine());
        return containers?.length === 0 && images?.length === 0;
      });
      assert.ok(left, JSON.stringify(await census(getEngine())));
    });

    it("leave nothing of a daemon that was killed, once the next has started", async () => {
      const dir = await mkdtemp(join(tmpdir(), "killed-"));
      const killed = await startDaemon(getEngine().socketPath, dir);
      assert.equal((await killed.lambda("deploy", "--image", "test/web:1", "--name", "left")).exitCode, 0);
      await killed.kill();
      assert.equal((await census(getEngine())).containers?.length, 1);
      {
        await using next = await startDaemon(getEngine().socketPath, dir);
        assert.ok(await until(async () => (await census(getEngine())).containers?.length === 0));
        assert.equal((await next.call("left", { path: "/hello" })).status, 200);
        assert.equal((await next.lambda("delete", "left")).exitCode, 0);
        assert.ok(await until(async () => (await census(getEngine())).images?.length === 0));
      }
      await rm(dir, { recursive: true, force: true });
    });

    it("are the only ones that suffer when the engine stops, and are back within ten seconds of its return", async () => {
      const local = await sourceOf("local", { "index.js": "exports.handler = async () => 'here';\n" });
      await done("deploy", local, "--name", "local");
      await done("deploy", "--image", "test/web:1", "--name", "web");
      await getEngine().stop();
      const answers = [];
      for (let tries = 0; tries < 2; tries += 1) {
        const answer = await daemon.call("web", { path: "/hello" });
        answers.push(`${answer.status} ${await answer.text()}`);
      }
      assert.equal((await post("local", "{}")).text, "here");
      assert.match(
        await fails("deploy", "--image", "test/web:1", "--name", "web2"),
        /container engine .* is stopped|went away|no container engine/,
      );
      await getEngine().start();
      const backAt = performance.now();
      assert.ok(
        await until(async () => (await daemon.call("web", { path: "/hello" })).status === 200),
        answers.join("\n"),
      );
      assert.ok(performance.now() - backAt < 10_000);
      await done("delete", "web", "--yes");
      await done("delete", "local", "--yes");
    });
  });

  it("leave nothing on the engine once the daemon has stopped", async () => {
    assert.deepEqual(await census(getEngine()), found);
  });
}

async function aws(daemon: Daemon, method: string, path: string, body?: object) {
  const { readFile } = await import("node:fs/promises");
  const key = (await readFile(join(daemon.dir, "admin.key"), "utf8")).trim();
  const answer = await fetch(`${daemon.control}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: answer.status, json: Object(await answer.json()) };
}

async function imageOf(engine: TestEngine, tag: string): Promise<string> {
  const { images } = await census(engine);
  const found = images?.find((image) => image.endsWith(`/${tag}`));
  assert.ok(found, `${tag} is not among ${images}`);
  return found;
}

async function networks(engine: TestEngine): Promise<readonly string[]> {
  return (await census(engine)).networks ?? [];
}

/** The one container that came last. */
async function containerOf(engine: TestEngine, _name: string, _daemon: Daemon): Promise<string> {
  return (await engine.docker("ps", "-q", "-n", "1")).trim();
}

async function until(isSo: () => Promise<boolean>): Promise<boolean> {
  const giveUpAt = performance.now() + 10_000;
  while (performance.now() < giveUpAt) {
    if (await isSo()) return true;
    await sleepFor(100);
  }
  return false;
}
