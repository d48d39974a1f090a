/** What happens to images after they were deployed: what is listed of them, and newer bases. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Daemon, startDaemon } from "./daemon.ts";
import { census, type TestEngine } from "./engine.ts";
import { importImages } from "./images.ts";

const RIE = "/2015-03-31/functions/function/invocations";

export function describeImageUpkeep(getEngine: () => TestEngine): void {
  describe("images of functions", () => {
    let daemon: Daemon;
    let folder = "";
    let found: Awaited<ReturnType<typeof census>>;

    before(async () => {
      found = await census(getEngine());
      await importImages(getEngine());
      folder = await mkdtemp(join(tmpdir(), "src-"));
      await writeFile(join(folder, "Dockerfile"), 'FROM test/aws:1\nCOPY app.txt .\nCMD ["app.handler"]\n');
      await writeFile(join(folder, "app.txt"), "the code\n");
      daemon = await startDaemon(getEngine().socketPath);
    });
    after(async () => {
      await daemon[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
      assert.deepEqual(await census(getEngine()), found);
    });

    const done = async (...args: readonly string[]) => {
      const result = await daemon.lambda(...args);
      assert.equal(result.exitCode, 0, `lambda ${args.join(" ")}: ${result.stderr}`);
      return result.stdout;
    };
    const images = async (): Promise<readonly Record<string, unknown>[]> =>
      JSON.parse(await done("images", "--json")).images;
    const call = async (name: string) =>
      await (await daemon.call(name, { method: "POST", body: "{}", path: RIE })).text();
    /** The base under the same name with another content, as a patched one is. */
    const patchBase = async (mark: string) => {
      const root = join(folder, `base-${mark}`);
      await mkdir(root);
      await writeFile(join(root, "Dockerfile"), `FROM test/aws:1\nENV PATCHED=${mark}\n`);
      await getEngine().docker("build", "-q", "-t", "test/aws:1", root);
    };

    it("are listed with their base, its id, and who uses them", async () => {
      await done("deploy", folder, "--name", "listed", "--cpus", "0.5");
      await done("alias", "set", "listed", "prod", "1");
      const [image, ...others] = await images();
      const base = (await getEngine().docker("image", "inspect", "-f", "{{.Id}}", "test/aws:1")).trim();
      assert.deepEqual(
        [others.length, image?.function, image?.version, image?.isLive, image?.aliases, image?.isHere],
        [0, "listed", "1", true, ["prod"], true],
      );
      assert.deepEqual(image?.base, { name: "test/aws:1", id: base, state: "current" });
      assert.match(
        await done("images"),
        /^listed +1 +\d+s +[\d.]+ MiB +sha256:\w{12} +test\/aws:1 +sha256:\w{12} +live, prod, 1 container$/m,
      );
      const container = (await getEngine().docker("ps", "-q", "-n", "1")).trim();
      const cpus = await getEngine().docker("inspect", "-f", "{{.HostConfig.NanoCpus}}", container);
      assert.equal(cpus.trim(), "500000000");
    });

    it("are built again on a newer base, once, and go live only if that is said", async () => {
      assert.match(await done("images", "refresh"), /^listed: test\/aws:1 is current/);
      await patchBase("one");
      assert.match(await done("images"), /test\/aws:1 \(newer there\)/);
      assert.match(
        await done("images", "refresh"),
        /^listed: version 2 is built .* lambda rollback listed --to 2/,
      );
      assert.match(await done("images", "refresh"), /is current/);
      const afterFirst = await images();
      assert.deepEqual(
        afterFirst.map(({ version, isLive }) => [version, isLive]),
        [
          ["2", false],
          ["1", true],
        ],
      );
      await patchBase("two");
      assert.match(await done("images", "refresh", "listed", "--live"), /^listed: version 3 .* and live$/m);
      assert.deepEqual(
        (await images()).map(({ version, isLive }) => [version, isLive]),
        [
          ["3", true],
          ["2", false],
          ["1", false],
        ],
      );
      assert.equal(await call("listed"), '{"handler":"app.handler","event":{}}');
    });

    it("know bases behind arguments and stages, and leave those that are pinned", async () => {
      const sourceOf = async (name: string, dockerfile: string) => {
        const dir = join(folder, name);
        await mkdir(dir);
        await writeFile(join(dir, "Dockerfile"), dockerfile);
        return dir;
      };
      const multi = await sourceOf(
        "multi",
        'ARG TAG=1\nARG FROM=test/aws:$TAG\nFROM test/web:1 AS made\nRUN echo made > /made\nFROM ${FROM}\nCOPY --from=made /made /made\nCMD ["a.b"]\n',
      );
      await done("deploy", multi, "--name", "multi");
      const [image] = JSON.parse(await done("images", "multi", "--json")).images;
      assert.deepEqual(
        [image.base.name, image.otherBases.map(({ name }: { name: string }) => name)],
        ["test/aws:1", ["test/web:1"]],
      );
      assert.match(await done("images", "refresh", "multi"), /test\/aws:1, test\/web:1 is current/);
      const patched = await sourceOf("web", "FROM test/web:1\nENV PATCHED=1\n");
      await getEngine().docker("build", "-q", "-t", "test/web:1", patched);
      assert.match(await done("images", "multi"), /test\/aws:1, test\/web:1 \(newer there\)/);
      assert.match(
        await done("images", "refresh", "multi"),
        /^multi: version 2 is built on the newer test\/web:1;/m,
      );
      assert.match(await done("images", "refresh", "multi"), /is current/);

      const bare = await sourceOf(
        "bare",
        'FROM test/box:1 AS b\nFROM scratch\nCOPY --from=b /bin /bin\nCMD ["/bin/cat"]\n',
      );
      await done("deploy", bare, "--name", "bare");
      assert.match(await done("images", "bare"), /^bare .* test\/box:1 /m);
      for (const name of ["multi", "bare"]) await done("delete", name, "--yes");
    });

    it("say of a project's function how it gets a newer base", async () => {
      const dir = join(folder, "shop");
      await mkdir(join(dir, "cart"), { recursive: true });
      await writeFile(join(dir, "lambda.yaml"), "project: shop\nfunctions:\n  cart:\n    path: cart\n");
      await writeFile(join(dir, "cart/Dockerfile"), 'FROM test/aws:1\nCMD ["cart.handler"]\n');
      await done("deploy", dir);
      assert.match(await done("images", "refresh", "cart"), /^cart: test\/aws:1 is current/);
      await patchBase("shop");
      const listed = await daemon.lambda("images", "cart");
      assert.match(
        listed.stderr,
        /newer bases for cart: run lambda deploy --rebuild in the folder of project shop/,
      );
      assert.match(
        await done("images", "refresh", "cart"),
        /^cart: left as it is: .* lambda deploy --rebuild/,
      );
      await done("deploy", dir, "--rebuild");
      assert.match(await done("images", "refresh", "cart"), /^cart: test\/aws:1 is current/);
      assert.equal(await call("cart"), '{"handler":"cart.handler","event":{}}');
      await done("projects", "delete", "shop", "--yes");
    });

    it("leave alone what was not built here", async () => {
      await done("deploy", "--image", "test/box:1", "--name", "taken");
      assert.match(
        await done("images", "refresh", "taken"),
        /^taken: left as it is: .* taken as test\/box:1/,
      );
      const refused = await daemon.lambda("images", "refresh", "nobody");
      assert.equal(refused.exitCode === 0, false);
      assert.match(refused.stderr, /nobody/);
    });

    it("never go live when they do not start, and say what they printed", async () => {
      const broken = join(folder, "broken");
      await mkdir(broken);
      await writeFile(
        join(broken, "Dockerfile"),
        'FROM test/box:1\nENTRYPOINT ["sh", "-c", "echo cannot find my things; exit 3"]\nCMD ["x"]\n',
      );
      const { exitCode, stderr } = await daemon.lambda(
        "deploy",
        broken,
        "--name",
        "listed",
        "--kind",
        "handler",
      );
      assert.notEqual(exitCode, 0);
      assert.match(stderr, /what was live still is/);
      assert.match(stderr, /cannot find my things/);
      assert.equal(await call("listed"), '{"handler":"app.handler","event":{}}');
      const fresh = await daemon.lambda("deploy", broken, "--name", "never", "--kind", "handler");
      assert.match(fresh.stderr, /the function was not made/);
      assert.notEqual((await daemon.lambda("info", "never")).exitCode, 0);
    });

    it("are said to be unknown while the engine is away", async () => {
      await getEngine().stop();
      const answer = JSON.parse(await done("images", "--json"));
      assert.match(answer.engineProblem, /container engine/);
      assert.equal(answer.images[0].isHere, undefined);
      await getEngine().start();
      for (const name of ["listed", "taken"]) await done("delete", name, "--yes");
    });
  });
}
