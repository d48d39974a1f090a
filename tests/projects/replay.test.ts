/** Recording and replay, as their users and the disk see them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeFolder, send, skipWithout, startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";

const WAIT_MS = 60_000;
const SECRET = "c0rrect-horse-battery";

/** Says what it was called with, and whether it is a replay. */
const handler = (version: string) =>
  makeFolder({
    "index.mjs": `export const handler = async (event, context) => ({
      version: "${version}", total: event.n * 2, at: Date.now(), echo: event.key,
      known: event.key === process.env.KEY, replay: context.clientContext?.custom?.["lambdad-replay"] !== undefined,
    });`,
  });

const server = (total: string) =>
  makeFolder({
    "server.mjs": `import { createServer } from "node:http";
      createServer((request, response) => {
        let body = "";
        request.on("data", (chunk) => (body += chunk)).on("end", () => {
          response.writeHead(201, { "content-type": "application/json", "set-cookie": "session=S3SS10N" });
          response.end(JSON.stringify({ total: ${total}, path: request.url, replay: "x-lambdad-replay" in request.headers, auth: request.headers.authorization?.length }));
        });
      }).listen(process.env.PORT);`,
  });

interface Status {
  readonly isOn: boolean;
  readonly recordings: number;
  readonly damaged: number;
  readonly dropped: Readonly<Record<string, number>>;
}

async function statusOf(daemon: TestDaemon, name: string): Promise<Status> {
  return JSON.parse((await daemon.control("GET", `/v1/functions/${name}/recording`)).text);
}

async function idsOf(daemon: TestDaemon, name: string): Promise<string[]> {
  const answer = await daemon.control("GET", `/v1/functions/${name}/recordings`);
  return (JSON.parse(answer.text) as { recordings: { id: string }[] }).recordings.map(({ id }) => id);
}

async function invoke(daemon: TestDaemon, name: string, event: unknown): Promise<string> {
  const answer = await send(daemon.gatewayPort, `/2015-03-31/functions/function/invocations`, {
    method: "POST",
    headers: { host: `${name}.localhost:${daemon.gatewayPort}` },
    body: JSON.stringify(event),
  });
  assert.equal(answer.status, 200, answer.text);
  return String(answer.headers["x-amzn-requestid"]);
}

function allText(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((each) => each.isFile());
  return files.map((file) => readFileSync(join(file.parentPath, file.name), "utf8")).join("");
}

it("records as a project's release says, and no more when one without is live", async () => {
  await using daemon = await startDaemon();
  using one = handler("one");
  using folder = makeFolder();
  cpSync(one.path, join(folder.path, "f"), { recursive: true });
  const deploy = async (recording: string) => {
    writeFileSync(join(folder.path, "lambda.yaml"), `project: shop\nfunctions: { f: { ${recording} } }\n`);
    const ran = await daemon.lambda("deploy", folder.path);
    assert.equal(ran.code, 0, ran.stderr);
    return ran.stdout;
  };
  await deploy("");
  await invoke(daemon, "f", { n: 0 });
  assert.match(await deploy("recording: { keep: 2d, redact: [ssn] }"), /^~ f +version 1 \(recording\)\n/);
  const id = await invoke(daemon, "f", { n: 1, ssn: "123-45-6789" });
  await until(async () => (await idsOf(daemon, "f")).length === 1, WAIT_MS);
  const shown = await daemon.lambda("recordings", "show", `inv_${id}`);
  assert.match(shown.stdout, /__redacted__/);
  assert.doesNotMatch(shown.stdout, /123-45-6789/);
  const info = await daemon.lambda("info", "f");
  assert.match(
    info.stdout,
    /Recorded: +100% of its calls, kept for 2 days, without ssn, as its release says\n/,
  );
  assert.equal((await daemon.lambda("replay", `inv_${id}`, "--ignore", "body")).code, 0);
  const logged = await daemon.lambda("logs", "f", "--id", `inv_${id}`);
  assert.match(logged.stdout, new RegExp(`REPORT RequestId: ${id}`));

  assert.equal((await daemon.lambda("rollback", "--project", "shop")).code, 0);
  assert.equal((await statusOf(daemon, "f")).isOn, false);
  await invoke(daemon, "f", { n: 2 });
  assert.deepEqual(await idsOf(daemon, "f"), [id], "what was kept stays, and no more comes");
  assert.doesNotMatch((await daemon.lambda("info", "f")).stdout, /Recorded/);
  assert.equal((await daemon.lambda("releases", "promote", "2", "--project", "shop")).code, 0);
  assert.equal((await statusOf(daemon, "f")).isOn, true);
});

describe("recording and replay", () => {
  it("run what a handler was called with on another version, and show what differs", async () => {
    await using daemon = await startDaemon();
    using one = handler("one");
    using two = handler("two");
    await daemon.deploy(one.path, "f", "--env", `KEY=${SECRET}`);
    await invoke(daemon, "f", { n: 0 });
    const on = await daemon.lambda("record", "on", "f", "--redact", "body.card.number");
    assert.equal(on.stdout, "f: 100% of its calls are recorded from now on\n");
    const first = await invoke(daemon, "f", { n: 1, key: SECRET, password: "hunter22" });
    await invoke(daemon, "f", { n: 2, card: { number: "4111" } });
    assert.equal((await idsOf(daemon, "f")).length, 2, "and not what came before");
    await daemon.deploy(two.path, "f", "--env", `KEY=${SECRET}`);

    const same = await daemon.lambda(
      "replay",
      first,
      "--ignore",
      "body.at",
      "--ignore",
      "body.replay",
      "--version",
      "1",
    );
    assert.deepEqual([same.code, same.stdout.split("\n")[0]], [0, `same      ${first}`], same.stderr);
    assert.match(same.stderr, /1 input had 1 value redacted, and so was not exactly what came/);
    const ran = await daemon.lambda(
      "replay",
      "--function",
      "f",
      "--last",
      "10",
      "--diff",
      "--ignore",
      "body.at",
    );
    assert.equal(ran.code, 1, ran.stderr);
    assert.match(
      ran.stdout,
      /differs {3}\S+ {3}2 differences\n {4}body\.version: "one" → "two"\n {4}body\.replay: false → true\n/,
    );
    assert.match(ran.stdout, /2 replayed on version 2: 0 the same, 2 differ\n$/);
    assert.equal(ran.stdout.includes("known"), false, "the value of the environment was put in again");

    const shown = await daemon.lambda("recordings", "show", first);
    assert.match(shown.stdout, /"password":"__redacted__"/);
    const text = allText(join(daemon.dataDir, "recordings"));
    for (const hidden of [SECRET, "hunter22", "4111"]) assert.equal(text.includes(hidden), false, hidden);

    assert.equal((await statusOf(daemon, "f")).recordings, 2, "replays are not recorded");
    const logged = await daemon.lambda("logs", "f", "--grep", "REPLAY");
    assert.equal(logged.stdout.trim().split("\n").length, 3);
    assert.match(logged.stdout, new RegExp(`REPLAY RequestId: \\S+ Of: ${first}`));

    await daemon.lambda("record", "off", "f");
    await invoke(daemon, "f", { n: 3 });
    const status = await daemon.lambda("record", "status", "f");
    assert.match(
      status.stdout,
      /Recorded: +no\n[\s\S]*Also redacted: +body\.card\.number\n[\s\S]*Recordings: +2 /,
    );
  });

  it("do the same for requests to a server, streamed bodies included", async () => {
    await using daemon = await startDaemon();
    using one = server("body.length");
    using two = server("body.length + 1");
    const flags = ["--kind", "server", "--command", "node server.mjs"];
    await daemon.deploy(one.path, "web", ...flags);
    await daemon.lambda("record", "on", "web");
    const body = "x".repeat(100_000);
    const headers = { authorization: "Bearer sesame-open" };
    assert.equal((await daemon.call("web", "/a?q=1&token=T0KEN", { headers })).status, 201);
    assert.equal((await daemon.call("web", "/b", { method: "PUT", headers, body })).status, 201);
    assert.equal((await idsOf(daemon, "web")).length, 2);
    await daemon.deploy(two.path, "web", ...flags);

    const ran = await daemon.lambda(
      "replay",
      "--function",
      "web",
      "--ignore",
      "body.path",
      "--ignore",
      "body.auth",
      "--json",
    );
    assert.equal(ran.code, 1, ran.stderr);
    const { results, ...summary } = JSON.parse(ran.stdout);
    assert.deepEqual(summary, { replayed: 2, same: 0, differ: 2, notRun: 0 });
    for (const { differences, redacted, replay } of results) {
      assert.deepEqual(
        differences.map(({ path }: { path: string }) => path),
        ["body.total", "body.replay"],
      );
      assert.ok(redacted > 0);
      assert.equal(replay.outcome.status, 201);
    }
    const totals = results.map(
      ({ differences }: { differences: { was: string; is: string }[] }) => differences[0],
    );
    assert.deepEqual(totals.map(({ was, is }: { was: string; is: string }) => `${was} ${is}`).sort(), [
      "0 1",
      "100000 100001",
    ]);
    const text = allText(join(daemon.dataDir, "recordings"));
    for (const hidden of ["sesame-open", "T0KEN", "S3SS10N"])
      assert.equal(text.includes(hidden), false, hidden);
  });

  it("answer what cannot be done with a code and a remedy", async () => {
    await using daemon = await startDaemon();
    using one = handler("one");
    using web = server("1");
    await daemon.deploy(one.path, "f");
    const unknown = "6a0e0f7e-1111-4000-8000-000000000000";
    for (const [args, code, text] of [
      [["replay"], 2, /give the id of a recorded call, or --function/],
      [["replay", "inv_1"], 2, /expected the id of an invocation.*inv_1/],
      [["replay", unknown, "--last", "3"], 2, /--last/],
      [["replay", unknown], 3, /no recording of invocation 6a0e0f7e/],
      [["replay", "--function", "f"], 3, /no recordings of f[\s\S]*lambda record on f/],
      [["replay", "--function", "none"], 3, /none/],
      [["replay", "--function", "f", "--concurrency", "0"], 2, /--concurrency/],
      [["record", "on", "f", "--sample", "110%"], 2, /--sample/],
      [["record", "on", "f", "--redact", "a b"], 7, /redact: expected/],
      [["record", "on", "none"], 3, /none/],
      [["recordings", "delete", "f"], 2, /--all/],
    ] as const) {
      const ran = await daemon.lambda(...args);
      assert.equal(ran.code, code, `${args.join(" ")}: ${ran.stderr}`);
      assert.match(ran.stderr, text, args.join(" "));
    }
    assert.equal((await statusOf(daemon, "f")).isOn, false);

    await daemon.lambda("record", "on", "f");
    const id = await invoke(daemon, "f", { n: 1 });
    const missing = await daemon.lambda("replay", id, "--version", "8");
    assert.deepEqual([missing.code, /version/i.test(missing.stderr)], [3, true], missing.stderr);
    await daemon.deploy(web.path, "f", "--kind", "server", "--command", "node server.mjs");
    const unfit = await daemon.lambda("replay", id);
    assert.equal(unfit.code, 8);
    assert.match(
      unfit.stdout,
      /not run +\S+ +the recording of invocation \S+ is an event, and version \S+ of "f" is a server/,
    );
    assert.equal((await daemon.lambda("replay", id, "--version", "1", "--ignore", "body")).code, 0);

    const folder = join(daemon.dataDir, "recordings", "f");
    assert.ok(existsSync(folder));
    assert.equal((await daemon.lambda("delete", "f", "--yes")).code, 0);
    assert.equal(existsSync(folder), false, "recordings go with their function");
    assert.equal((await daemon.lambda("replay", id)).code, 3);
  });

  it("lose nothing but the last moment when the daemon is killed, and say what is cut", async () => {
    const dataDir = mkdtempSync(join(tmpdir(), "lambdad-e2e-replay-"));
    try {
      const known: string[] = [];
      {
        await using daemon = await startDaemon({ dataDir });
        using one = handler("one");
        await daemon.deploy(one.path, "f");
        await daemon.lambda("record", "on", "f");
        for (let n = 0; n < 20; n++) known.push(await invoke(daemon, "f", { n }));
        assert.equal((await idsOf(daemon, "f")).length, 20);
        // More are on their way to the disk when it dies.
        const calls = Array.from({ length: 40 }, (_, n) => invoke(daemon, "f", { n }).catch(() => undefined));
        await Promise.race(calls);
        await daemon.stop("SIGKILL");
        await Promise.all(calls);
      }
      const [file = ""] = readdirSync(join(dataDir, "recordings", "f")).sort();
      appendFileSync(
        join(dataDir, "recordings", "f", file),
        '{"id":"6a0e0f7e-1111-4000-8000-000000000000","at":',
      );
      await using daemon = await startDaemon({ dataDir });
      const ids = await idsOf(daemon, "f");
      for (const id of known) assert.ok(ids.includes(id), id);
      assert.ok((await statusOf(daemon, "f")).damaged >= 1);
      assert.match((await daemon.lambda("record", "status", "f")).stdout, /Damaged: +\d+ \(cut by a crash/);
      const after = await invoke(daemon, "f", { n: 99 });
      assert.ok((await idsOf(daemon, "f")).includes(after));
      const ran = await daemon.lambda("replay", known[0] ?? "", "--ignore", "body");
      assert.equal(ran.code, 0, ran.stderr);
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  });

  const disk = mkdtempSync(join(tmpdir(), "lambdad-e2e-full-"));
  const folder = join(disk, "recordings");
  mkdirSync(folder);
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=512k", "tmpfs", folder]);
  it("drop and count when the disk is full, and no call fails or waits for it", {
    skip: skipWithout("mount (as root)", mounted.status === 0),
  }, async () => {
    try {
      await using daemon = await startDaemon({ dataDir: disk });
      using one = handler("one");
      await daemon.deploy(one.path, "f");
      await daemon.lambda("record", "on", "f");
      const event = { n: 1, fill: "x".repeat(60_000) };
      await until(async () => {
        await invoke(daemon, "f", event);
        return (await statusOf(daemon, "f")).dropped.disk !== 0;
      }, WAIT_MS);
      assert.match(
        (await daemon.lambda("record", "status", "f")).stdout,
        /Dropped: +\d+ \(disk did not take it\)/,
      );
      const before = await statusOf(daemon, "f");
      assert.equal(before.damaged, 0, "what did not fit leaves no half of itself");
      await daemon.lambda("recordings", "delete", "f", "--all");

      const id = await invoke(daemon, "f", event);
      assert.deepEqual(await idsOf(daemon, "f"), [id]);
    } finally {
      spawnSync("umount", [folder]);
      rmSync(disk, { recursive: true, force: true });
    }
  });
  if (mounted.status !== 0) rmSync(disk, { recursive: true, force: true });
});
