/** Functions of each protocol on an engine that is not a dockerd of root, by a daemon of the engine's own user. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleepFor } from "node:timers/promises";
import type { DriverUnderTest } from "../../src/sandbox/driver.contract.ts";
import { type Daemon, startDaemon } from "./daemon.ts";
import { describeDockerDriver } from "./driver.suite.ts";
import { removeContainers } from "./engine.ts";
import { describeFirstProcess } from "./first-process.suite.ts";
import { importImages } from "./images.ts";
import {
  type OtherEngine,
  type OtherEngineKind,
  otherCensus,
  startOtherEngine,
  withoutOtherEngine,
} from "./other-engines.ts";

const RIE = "/2015-03-31/functions/function/invocations";
const PODMAN_DOES_NOT_TELL = "with control groups of version 1 Podman does not tell that it was memory";
const NOT_LIMITED = "this engine has no control groups of its own here";

export async function describeOtherEngine(
  kind: OtherEngineKind,
  /** With every promise of a driver, which takes as long as all else. */
  { isWhole }: { readonly isWhole: boolean },
): Promise<void> {
  const skip = await withoutOtherEngine(kind);
  describe(`docker, ${kind}`, { skip: skip ?? false }, () => {
    let started: OtherEngine | undefined;
    let found: Awaited<ReturnType<typeof otherCensus>> = {};
    const getEngine = () => {
      assert.ok(started, "the engine is started before the tests");
      return started;
    };
    before(async () => {
      started = await startOtherEngine(kind);
      found = await otherCensus(started);
    });
    after(async () => {
      const left = started && (await otherCensus(started));
      await started?.[Symbol.asyncDispose]();
      assert.deepEqual(left, found);
    });

    // What a rootless engine does not limit must not be tried: it is this host that would run out.
    const exceptions: DriverUnderTest["exceptions"] =
      kind === "podman"
        ? { "memory limit": PODMAN_DOES_NOT_TELL }
        : { "memory limit": NOT_LIMITED, "process limit": NOT_LIMITED };
    if (isWhole) {
      describeDockerDriver(getEngine, {
        name: kind,
        runDir: () => join(getEngine().folder, "run"),
        exceptions,
      });
      describeFirstProcess(getEngine, {
        runDir: () => join(getEngine().folder, "first"),
        tellsOutOfMemory: false,
        seesMounts: kind === "podman",
      });
    }
    describeFunctions(kind, getEngine);
  });
}

function describeFunctions(kind: OtherEngineKind, getEngine: () => OtherEngine): void {
  describe("functions", () => {
    let daemon: Daemon;
    let folder = "";

    before(async () => {
      await importImages(getEngine());
      folder = await mkdtemp(join(tmpdir(), "src-"));
      daemon = await startDaemon(getEngine().socketPath, undefined, [], getEngine().user);
    });
    after(async () => {
      await daemon[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
      await getEngine().docker("image", "prune", "-f");
    });

    const done = async (...args: readonly string[]) => {
      const result = await daemon.lambda(...args);
      assert.equal(result.exitCode, 0, `lambda ${args.join(" ")}: ${result.stderr}`);
      return result;
    };
    const post = async (name: string, body: string, path = "") =>
      await (await daemon.call(name, { method: "POST", body, path })).text();
    const sourceOf = async (name: string, files: Readonly<Record<string, string>>) => {
      const dir = join(folder, name);
      await mkdir(dir, { recursive: true });
      for (const [path, text] of Object.entries(files)) await writeFile(join(dir, path), text);
      return dir;
    };

    it("are filters, with their log and their exit status", async () => {
      await done("fn", "create", "box", "test/box:1", "--timeout", "60");
      assert.equal(await post("box", "one\ntwo\n"), "one\ntwo\n");
      const failing = ["--command", "sh -c 'cat; echo oh no >&2; exit 3'", "--timeout", "60"];
      await done("deploy", "--image", "test/box:1", "--name", "fails", ...failing);
      assert.match(await post("fails", "x"), /exit status 3/);
      assert.match((await done("logs", "fails")).stdout, /oh no/);
    });

    it("are servers", async () => {
      await done("deploy", "--image", "test/web:1", "--name", "web", "--timeout", "60");
      const answers = await Promise.all(
        Array.from({ length: 6 }, async () => (await daemon.call("web", { path: "/hello" })).text()),
      );
      assert.deepEqual([...new Set(answers)], ["hello from the image\n"]);
    });

    // The builder within Docker's engine takes no secrets: its command does, which buildkit.suite.ts tests.
    if (kind.includes("podman"))
      it("are built with arguments and secrets", async () => {
        const dir = await sourceOf("inputs", {
          Dockerfile: [
            "FROM test/box:1",
            "ARG GREETING=none",
            "COPY . /all",
            'RUN --mount=type=secret,id=tok cat /run/secrets/tok; (echo "$GREETING"; wc -c < /run/secrets/tok; ls -A /all) > /said',
            'CMD ["cat", "/said"]',
          ].join("\n"),
        });
        await writeFile(join(folder, "tok"), "very-secret-text");
        const inputs = ["--build-arg", "GREETING=hi", "--build-secret", `id=tok,src=${join(folder, "tok")}`];
        const { stderr } = await done("deploy", dir, "--name", "inputs", "--timeout", "60", ...inputs);
        assert.match(stderr, /\*\*\*/);
        assert.doesNotMatch(stderr, /very-secret-text/);
        assert.equal(await post("inputs", ""), "hi\n16\nDockerfile\n");
        await done("delete", "inputs", "--yes");
      });

    it("are handlers, built here, patched and taken back", async () => {
      const dir = await sourceOf("aws", {
        Dockerfile: 'FROM test/aws:1\nCOPY app.txt .\nRUN echo "building for real"\nCMD ["app.handler"]\n',
        "app.txt": "the code\n",
      });
      const { stderr } = await done("deploy", dir, "--name", "aws", "--timeout", "60");
      assert.match(stderr, /building for real/);
      assert.equal(await post("aws", '{"a":1}', RIE), '{"handler":"app.handler","event":{"a":1}}');
      const base = await sourceOf("base", { Dockerfile: "FROM test/aws:1\nENV PATCHED=1\n" });
      await getEngine().docker("build", "-q", "-t", "test/aws:1", base);
      assert.match((await done("images", "refresh", "aws", "--live")).stdout, /version 2 .* and live/);
      const { images } = JSON.parse((await done("images", "aws", "--json")).stdout);
      assert.deepEqual(
        images.map((image: Record<string, unknown>) => [image.version, image.isLive, image.isHere]),
        [
          ["2", true, true],
          ["1", false, true],
        ],
      );
      assert.equal(await post("aws", "2", RIE), '{"handler":"app.handler","event":2}');
      await done("rollback", "aws");
      assert.equal(await post("aws", "3", RIE), '{"handler":"app.handler","event":3}');
    });

    it("say why a build failed", async () => {
      const dir = await sourceOf("broken", { Dockerfile: "FROM test/box:1\nRUN echo before && false\n" });
      const { exitCode, stderr } = await daemon.lambda("deploy", dir, "--name", "broken");
      assert.notEqual(exitCode, 0);
      assert.match(stderr, /before/);
    });

    it("reach neither this host nor each other", async () => {
      const server = createServer((socket) => socket.end("reached")).listen(0, "0.0.0.0");
      await once(server, "listening");
      const { port } = Object(server.address());
      const own = Object.values(networkInterfaces())
        .flatMap((addresses) => addresses ?? [])
        .filter(({ family, internal }) => family === "IPv4" && !internal);
      const names = (await otherCensus(getEngine())).networks ?? [];
      const format = "{{range .IPAM.Config}}{{.Gateway}}{{end}}";
      const gateways = (await getEngine().docker("network", "inspect", "-f", format, ...names))
        .trim()
        .split("\n");
      const other = await addressOf(getEngine(), "test/web:1");
      const targets = [
        ...gateways.map((gateway) => `${gateway}:${port}`),
        ...own.map((each) => `${each.address}:${port}`),
        `${other}:8000`,
        "169.254.169.254:80",
      ];
      const command = JSON.stringify(["/bin/portrait", ...targets]);
      await done(
        ...["deploy", "--image", "test/box:1", "--name", "portrait", "--timeout", "120"],
        ...["--command", command],
      );
      const said = (await post("portrait", "")).trim().split("\n");
      server.close();
      const wanted = ["CapEff 0000000000000000", "NoNewPrivs 1", "Seccomp 2", "tmp", "end"];
      assert.deepEqual(said.slice(1), wanted, said.join("\n"));
    });

    it("go on when what keeps the engine's networks is gone, and when the engine was away", async () => {
      await removeContainers(getEngine());
      assert.ok(await until(async () => (await post("aws", "4", RIE)).includes('"event":4')), "after rm -f");
      assert.ok(await until(async () => (await daemon.call("web", { path: "/hello" })).status === 200));
      await getEngine().stop();
      await getEngine().start();
      assert.ok(await until(async () => (await post("box", "back")) === "back"), "after a restart");
    });

    it("are told apart by doctor and status, with what is not limited", async () => {
      const { stdout } = await daemon.lambda("doctor");
      if (getEngine().user) assert.match(stdout, /no limit of memory, CPU time or processes/);
      else assert.doesNotMatch(stdout, /no limit of/);
    });

    it("leave nothing when they are deleted", async () => {
      for (const name of (await done("list", "-q")).stdout.trim().split("\n"))
        await done("delete", name, "--yes");
      assert.ok(
        await until(async () => isBare(await otherCensus(getEngine()))),
        JSON.stringify(await otherCensus(getEngine())),
      );
    });
  });
}

/** Of a container that was made of that image. */
async function addressOf({ docker }: OtherEngine, image: string): Promise<string> {
  const id = (await docker("image", "inspect", "-f", "{{.Id}}", image)).trim();
  const format = "{{.Image}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
  const all = (await docker("inspect", "-f", format, ...(await docker("ps", "-q")).trim().split("\n"))).split(
    "\n",
  );
  const found = all
    .map((line) => line.split(" "))
    .find(([its]) => its?.replace("sha256:", "") === id.replace("sha256:", ""));
  assert.ok(found?.[1], `a container of ${image} is among ${all}`);
  return found[1];
}

/** No function's; the containers that keep networks up, and their image, stay as long as the daemon. */
function isBare({ containers = [], images = [] }: Awaited<ReturnType<typeof otherCensus>>): boolean {
  return containers.length <= 2 && images.every((name) => name.includes("lambdad-holder"));
}

async function until(isSo: () => Promise<boolean>): Promise<boolean> {
  // Several times what is tried again after.
  const giveUpAt = performance.now() + 120_000;
  while (performance.now() < giveUpAt) {
    if (await isSo()) return true;
    await sleepFor(200);
  }
  return false;
}
