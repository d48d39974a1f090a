/** Images in a registry, and how many of them stay. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleepFor } from "node:timers/promises";
import { type Daemon, startDaemon } from "./daemon.ts";
import { census, removeContainers, type TestEngine } from "./engine.ts";
import { importImages } from "./images.ts";
import { startRegistry, type TestRegistry } from "./registry.ts";

const RIE = "/2015-03-31/functions/function/invocations";

export function describeRegistry(getEngine: () => TestEngine): void {
  const hasGo = spawnSync("go", ["version"]).status === 0 || process.env.REQUIRE_ALL === "1";
  describe("images in a registry", { skip: hasGo ? false : "go is not installed" }, () => {
    let registry: TestRegistry;
    let daemon: Daemon;
    let folder = "";
    let found: Awaited<ReturnType<typeof census>>;

    before(async () => {
      found = await census(getEngine());
      await importImages(getEngine());
      folder = await mkdtemp(join(tmpdir(), "reg-"));
      registry = await startRegistry();
      daemon = await startDaemon(getEngine().socketPath, undefined, [
        ...["--registry", `${registry.place}/team`],
        ...["--registry-user", registry.user],
        ...["--registry-password-file", registry.passwordFile],
        ...["--image-versions", "2"],
      ]);
    });
    after(async () => {
      await daemon[Symbol.asyncDispose]();
      await registry[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
      assert.deepEqual(await census(getEngine()), found);
    });

    const done = async (...args: readonly string[]) => {
      const result = await daemon.lambda(...args);
      assert.equal(result.exitCode, 0, `lambda ${args.join(" ")}: ${result.stderr}`);
      return result.stdout;
    };
    const sourceOf = async (name: string, dockerfile: string) => {
      const dir = join(folder, name);
      await mkdir(dir, { recursive: true });
      await writeFile(join(dir, "Dockerfile"), dockerfile);
      return dir;
    };
    const imagesOf = async (name: string): Promise<readonly Record<string, unknown>[]> =>
      JSON.parse(await done("images", name, "--json")).images;
    const call = async (name: string) =>
      await (await daemon.call(name, { method: "POST", body: "{}", path: RIE })).text();
    /** With the engine's own push, as somebody else would. */
    const pushBase = async (mark: string) => {
      const dir = await sourceOf(`base-${mark}`, `FROM test/aws:1\nENV PATCHED=${mark}\n`);
      const base = `${registry.place}/base:1`;
      await getEngine().docker("build", "-q", "-t", base, dir);
      await getEngine().docker(
        "--config",
        folder,
        "login",
        "-u",
        registry.user,
        "-p",
        "open sesame",
        registry.place,
      );
      await getEngine().docker("--config", folder, "push", "-q", base);
      await getEngine().docker("rmi", base);
      return base;
    };
    const tagsThere = async (name: string): Promise<readonly string[]> => {
      const authorization = `Basic ${Buffer.from(`${registry.user}:open sesame`).toString("base64")}`;
      const answer = await fetch(`http://${registry.place}/v2/team/${name}/tags/list`, {
        headers: { authorization },
      });
      return Object(await answer.json()).tags ?? [];
    };

    it("are built on bases that are pulled from there with the configured credentials", async () => {
      const base = await pushBase("one");
      const dir = await sourceOf("app", `FROM ${base}\nCMD ["app.handler"]\n`);
      await done("deploy", dir, "--name", "app");
      const [image] = await imagesOf("app");
      assert.match(String(Object(image?.base).digest), /^sha256:[0-9a-f]{64}$/);
      await pushBase("two");
      assert.match(
        await done("images", "refresh", "--live"),
        /^app: version 2 is built on the newer .* and live$/m,
      );
      const [renewed] = await imagesOf("app");
      assert.notEqual(Object(renewed?.base).digest, Object(image?.base).digest);
      const labels = JSON.parse(
        await getEngine().docker("image", "inspect", "-f", "{{json .Config.Labels}}", String(renewed?.id)),
      );
      assert.equal(labels["org.opencontainers.image.base.digest"], Object(renewed?.base).digest);
    });

    it("are pushed there, one tag per version, and got back when the engine has lost them", async () => {
      assert.ok(await until(async () => (await tagsThere("app")).join() === "1,2"), "pushed in time");
      const [live] = await imagesOf("app");
      await removeContainers(getEngine());
      await getEngine().docker("rmi", "-f", String(live?.id));
      await assert.rejects(getEngine().docker("image", "inspect", String(live?.id)));
      assert.ok(await until(async () => (await call("app")) === '{"handler":"app.handler","event":{}}'));
      const names = await getEngine().docker("image", "inspect", "-f", "{{.RepoTags}}", String(live?.id));
      assert.match(names, /lambdad-\w+\/app:2/);
    });

    it("say why they cannot be taken from there", async () => {
      const base = `${registry.place}/base:1`;
      await writeFile(registry.passwordFile, "open sesame\n");
      await done("deploy", "--image", base, "--kind", "handler", "--command", "a.b", "--name", "taken");
      const nowhere = await daemon.lambda("deploy", "--image", `${registry.place}/nothing:1`, "--name", "x");
      assert.match(nowhere.stderr, /nothing:1 cannot be had: .*(unknown|not found)/i);
      await done("delete", "taken", "--yes");
    });

    it("say whose credentials are missing, or are refused", async () => {
      const base = `${registry.place}/private:1`;
      const dir = await sourceOf("own", `FROM ${base}\nCMD ["app.handler"]\n`);
      const config = join(folder, "docker");
      await mkdir(config);
      const tried = async () => {
        await using other = await startDaemon(getEngine().socketPath, undefined, [], undefined, {
          DOCKER_CONFIG: config,
        });
        const taken = await other.lambda("deploy", "--image", base, "--name", "taken");
        const built = await other.lambda("deploy", dir, "--name", "built");
        return [taken.stderr, built.stderr];
      };
      for (const stderr of await tried())
        assert.match(
          stderr,
          /private:1 cannot be had: \S+ asks for credentials, and there are none for it in /,
        );
      const auth = Buffer.from(`${registry.user}:sesame`).toString("base64");
      await writeFile(join(config, "config.json"), JSON.stringify({ auths: { [registry.place]: { auth } } }));
      for (const stderr of await tried())
        assert.match(
          stderr,
          /private:1 cannot be had: \S+ refuses what \S+config\.json has for the user "tester": /,
        );
    });

    it("stay on a base that is pinned by digest, and are shown so", async () => {
      const base = await pushBase("pinned");
      const [image] = await imagesOf("app");
      const pinned = `${base}@${Object(image?.base).digest}`;
      const dir = await sourceOf("pinned", `FROM ${pinned}\nCMD ["app.pinned"]\n`);
      await done("deploy", dir, "--name", "pinned");
      const [built] = await imagesOf("pinned");
      assert.deepEqual([Object(built?.base).name, Object(built?.base).state], [pinned, "pinned"]);
      assert.match(await done("images", "pinned"), /base:1 \(pinned\) /);
      assert.match(
        await done("images", "refresh", "pinned"),
        /^pinned: left as it is: it stays on .* by digest/,
      );
      await done("delete", "pinned", "--yes");
    });

    it("stay as many as are configured, and those that something needs", async () => {
      await done("alias", "set", "app", "prod", "1");
      for (const mark of ["a", "b", "c", "d"]) {
        const dir = await sourceOf("app", `FROM test/aws:1\nENV MARK=${mark}\nCMD ["app.${mark}"]\n`);
        await done("deploy", dir, "--name", "app");
      }
      // 1 has an alias; 5 and 6 are the newest two, the live one and what a rollback goes to.
      assert.ok(
        await until(async () => (await imagesOf("app")).map(({ version }) => version).join() === "6,5,1"),
      );
      assert.match(await call("app"), /app\.d/);
      await done("rollback", "app");
      assert.match(await call("app"), /app\.c/);
      await done("delete", "app", "--yes");
    });
  });
}

async function until(isSo: () => Promise<boolean>): Promise<boolean> {
  const giveUpAt = performance.now() + 30_000;
  while (performance.now() < giveUpAt) {
    if (await isSo()) return true;
    await sleepFor(100);
  }
  return false;
}
