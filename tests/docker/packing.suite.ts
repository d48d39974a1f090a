/** Folders without a Dockerfile, made into images all the same. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Daemon, startDaemon } from "./daemon.ts";
import { census, type TestEngine } from "./engine.ts";
import { importImages, importLanguages } from "./images.ts";

const RIE = "/2015-03-31/functions/function/invocations";

export function describePacking(getEngine: () => TestEngine): void {
  describe("folders made into images", () => {
    let folder = "";
    let found: Awaited<ReturnType<typeof census>>;

    before(async () => {
      found = await census(getEngine());
      await importImages(getEngine());
      await importLanguages(getEngine());
      folder = await mkdtemp(join(tmpdir(), "pack-"));
    });
    after(async () => {
      await rm(folder, { recursive: true, force: true });
      assert.deepEqual(await census(getEngine()), found);
    });

    const sourceOf = async (name: string, files: Readonly<Record<string, string>>) => {
      const dir = join(folder, name);
      await mkdir(dir, { recursive: true });
      for (const [path, text] of Object.entries(files)) await writeFile(join(dir, path), text);
      return dir;
    };
    const deploy = async (daemon: Daemon, ...args: readonly string[]) => {
      const { exitCode, stderr } = await daemon.lambda("deploy", ...args);
      assert.equal(exitCode, 0, stderr);
      return stderr;
    };
    const post = async (daemon: Daemon, name: string, body: string) => {
      const answer = await daemon.call(name, { method: "POST", body, path: RIE });
      return `${answer.status} ${await answer.text()}`;
    };
    const daemonOn = (bases: string) =>
      startDaemon(getEngine().socketPath, undefined, ["--image-bases", bases]);
    const remove = async (daemon: Daemon, ...names: readonly string[]) => {
      for (const name of names) assert.equal((await daemon.lambda("delete", name, "--yes")).exitCode, 0);
    };

    it("stand on AWS's base image of their runtime, and go on doing so", async () => {
      await using daemon = await daemonOn("aws,nodejs24.x=test/aws:1");
      const dir = await sourceOf("aws", { "index.mjs": "export const handler = async () => 1;\n" });
      assert.match(await deploy(daemon, dir, "--name", "aws", "--package", "image"), /image on test\/aws:1/);
      assert.equal(await post(daemon, "aws", "{}"), '200 {"handler":"index.handler","event":{}}');
      // What was left out keeps its value.
      assert.match(await deploy(daemon, dir, "--name", "aws", "--memory", "200"), /image on test\/aws:1/);
      const [image] = JSON.parse((await daemon.lambda("images", "aws", "--json")).stdout).images;
      assert.deepEqual([image.version, image.base.name, image.base.state], ["2", "test/aws:1", "current"]);
      const labels = JSON.parse(
        await getEngine().docker("image", "inspect", "-f", "{{json .Config.Labels}}", image.id),
      );
      assert.equal(labels["org.opencontainers.image.version"], "2");
      assert.match(labels["org.opencontainers.image.created"], /^\d{4}-\d\d-\d\dT/);
      const there = await getEngine().docker(
        "run",
        "--rm",
        "--entrypoint",
        "ls",
        image.id,
        "-A",
        "/var/task",
      );
      assert.equal(there, "index.mjs\n");
      await deploy(daemon, dir, "--name", "aws", "--package", "zip");
      assert.equal(await post(daemon, "aws", "{}"), "200 1");
      await remove(daemon, "aws");
    });

    it("stand on a slim image with a Runtime API client put in", async () => {
      await using daemon = await daemonOn("slim,nodejs24.x=test/node:1,python3.11=test/python:1");
      const node = await sourceOf("node", {
        "index.mjs":
          'export const handler = async (event, context) => {\n  if (event.fail) throw new TypeError("as asked");\n' +
          "  return { event, name: context.functionName, left: context.getRemainingTimeInMillis() > 0 };\n};\n",
      });
      await deploy(daemon, node, "--name", "node", "--package", "image");
      assert.equal(await post(daemon, "node", '{"a":1}'), '200 {"event":{"a":1},"name":"node","left":true}');
      assert.match(
        await post(daemon, "node", '{"fail":true}'),
        /"errorType":"TypeError","errorMessage":"as asked"/,
      );
      const used = [...(await daemon.lambda("logs", "node")).stdout.matchAll(/Max Memory Used: (\d+) MB/g)];
      assert.equal(used.length, 2);
      // Node's own pages are in it, whoever read them first.
      for (const [, mib] of used) assert.ok(Number(mib) >= 20 && Number(mib) <= 128, `${mib} MB`);

      const python = await sourceOf("python", {
        "app.py":
          'def handler(event, context):\n    if event.get("fail"):\n        raise ValueError("as asked")\n' +
          '    return {"event": event, "name": context.function_name}\n',
      });
      await deploy(daemon, python, "--name", "python", "--package", "image", "--runtime", "python3.11");
      assert.equal(await post(daemon, "python", '{"a":1}'), '200 {"event": {"a": 1}, "name": "python"}');
      assert.match(await post(daemon, "python", '{"fail":true}'), /"errorType": "ValueError"/);

      const broken = await sourceOf("broken", {
        "index.mjs": 'import "nowhere";\nexport const handler = 1;\n',
      });
      const refused = await daemon.lambda("deploy", broken, "--name", "broken", "--package", "image");
      assert.match(refused.stderr, /does not start.*\n.*nowhere/s);
      await remove(daemon, "node", "python");
    });

    it("may be servers, and are refused where they cannot be images", async () => {
      await using daemon = await daemonOn("slim,nodejs24.x=test/node:1");
      const server = await sourceOf("server", {
        "server.mjs":
          'import { createServer } from "node:http";\ncreateServer((_, response) => response.end("served")).listen(process.env.PORT);\n',
      });
      await deploy(daemon, server, "--name", "served", "--package", "image", "--command", "node server.mjs");
      assert.equal(await (await daemon.call("served")).text(), "served");
      const lifecycle = await sourceOf("life", {
        "index.mjs": "export const run = (context, request, response) => response.end();\n",
      });
      const refused = await daemon.lambda("deploy", lifecycle, "--name", "life", "--package", "image");
      assert.match(refused.stderr, /lifecycle modules .* cannot be images/);
      await remove(daemon, "served");
    });
  });
}
