import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { busyInstances, makeFolder, processesWith, ROOT, run, startDaemon, until } from "./daemon.fake.ts";

const HANDLER = `export const handler = async (e) => { if (e.rawPath === "/slow") await new Promise((r) => setTimeout(r, 1500)); return "alive"; };`;

describe("a daemon that stops and starts again", () => {
  const dataDir = mkdtempSync(join(tmpdir(), "lambdad-e2e-restart-"));
  after(() => rmSync(dataDir, { recursive: true, force: true }));

  it("keeps functions, versions and keys, and leaves nothing behind when it is killed", async () => {
    {
      await using first = await startDaemon({ dataDir });
      using folder = makeFolder({ "index.mjs": HANDLER });
      await first.deploy(folder.path, "kept", "-e", `MARK=${dataDir}`);
      using server = makeFolder({ "server.sh": "#!/bin/sh\nexec sleep 1000\n" });
      await first.lambda(
        "deploy",
        server.path,
        "--name",
        "sleeper",
        "--kind",
        "filter",
        "--command",
        "./server.sh",
        "-e",
        `MARK=${dataDir}`,
      );
      const hanging = first.call("sleeper", "/", { body: "x" });
      hanging.catch(() => undefined);
      await until(() => processesWith(dataDir).length >= 2);
      await first.stop("SIGKILL");
      await assert.rejects(hanging);
    }
    await until(() => processesWith(dataDir).length === 0);
    await using second = await startDaemon({ dataDir });
    assert.equal((await second.call("kept")).text, "alive");
    assert.match((await second.lambda("versions", "kept")).stdout, /^1\s/m);
  });

  it("lets running calls end when it is asked to stop", async () => {
    await using daemon = await startDaemon({ dataDir });
    const running = daemon.call("kept", "/slow");
    await until(async () => (await busyInstances(daemon, "kept")) === 1);
    const stopped = daemon.stop("SIGTERM");
    assert.equal((await running).text, "alive");
    assert.equal(await stopped, 0);
  });

  it("does not start twice on one data folder, nor on a port in use, nor on a folder it does not know", async () => {
    await using daemon = await startDaemon({ dataDir });
    const lambdad = (...args: string[]) => run(join(ROOT, "bin/lambdad"), args);
    const twice = await lambdad("--data", dataDir, "--gateway", ":0", "--control", ":0");
    assert.deepEqual([twice.code, /DataFolderInUse.*process/.test(twice.stderr)], [2, true], twice.stderr);

    using other = makeFolder();
    const port = await lambdad(
      "--data",
      other.path,
      "--gateway",
      `:${daemon.gatewayPort}`,
      "--control",
      ":0",
    );
    assert.deepEqual([port.code, /PortInUse.*--gateway/.test(port.stderr)], [2, true], port.stderr);

    using foreign = makeFolder();
    writeFileSync(join(foreign.path, "lambdad.db"), "this is no database");
    const unknown = await lambdad("--data", foreign.path, "--gateway", ":0", "--control", ":0");
    assert.deepEqual([unknown.code, /DataFolderMismatch/.test(unknown.stderr)], [2, true], unknown.stderr);
  });

  it("reports everything that is wrong with its configuration at once", async () => {
    const wrong = await run(join(ROOT, "bin/lambdad"), ["--gateway", "nowhere", "--region", "x"], {
      env: { LAMBDAD_ACCOUNT: "1" },
    });
    assert.equal(wrong.code, 2);
    assert.equal(wrong.stderr.match(/ConfigurationInvalid/g)?.length, 3, wrong.stderr);
  });
});

describe("deploying while calls come in", () => {
  it("drops no call, and answers none from the old version once the deploy has returned", async () => {
    await using daemon = await startDaemon();
    const deploy = async (mark: number) => {
      using folder = makeFolder({ "index.mjs": `export const handler = async () => ({ mark: ${mark} });` });
      await daemon.deploy(folder.path, "marked");
    };
    await deploy(0);
    let live = 0;
    let isOver = false;
    const problems: string[] = [];
    let calls = 0;
    const client = async () => {
      while (!isOver) {
        const atLeast = live;
        const answer = await daemon.call("marked");
        calls += 1;
        if (answer.status !== 200) problems.push(answer.text);
        else if (JSON.parse(answer.text).mark < atLeast)
          problems.push(`stale: ${answer.text} after ${atLeast}`);
      }
    };
    const clients = [client(), client(), client(), client()];
    for (let mark = 1; mark <= 6; mark++) {
      await deploy(mark);
      live = mark;
    }
    isOver = true;
    await Promise.all(clients);
    assert.deepEqual(problems, []);
    assert.ok(calls > 50, `${calls} calls were made`);
  });
});
