/** Hooks and sources of a project: they go live, back and away with its releases, and keep what others know them by. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type FakeSqs, startFakeSqs } from "../../src/events/sqs/sqs-server.fake.ts";
import {
  type Answer,
  makeFolder,
  type Ran,
  startDaemon,
  type TestDaemon,
  until,
} from "../e2e/daemon.fake.ts";
import { SECRET, sendAsGitHub } from "../e2e/hook-sender.fake.ts";

const WITHIN_MS = 60_000;

/** Tells what it was called with, and which version it is. */
const handler = (version: number) => `
export const handler = async (event) => {
  const what = event.Records ? event.Records.map(({ body }) => body) : [event.body];
  for (const each of what) await fetch(process.env.TOLD_URL, { method: "POST", body: "v${version} " + each });
};
`;

function file(more: string): string {
  return `project: shop
environment: { TOLD_URL: "\${env:TOLD_URL}" }
functions:
  ci: {}
  report: {}
${more}`;
}

const HOOK = "hooks:\n  push: { function: ci, provider: github, secret: PUSH_SECRET }\n";

describe("hooks and sources of a project", () => {
  let daemon: TestDaemon;
  let sqs: FakeSqs;
  const told: string[] = [];
  const listener = createServer(async (request, response) => {
    told.push(await new Response(ReadableStream.from(request)).text());
    response.end();
  });
  const folder = makeFolder({
    "lambda.yaml": file(""),
    "ci/index.mjs": handler(1),
    "report/index.mjs": handler(1),
  });
  const write = (name: string, text: string) => writeFileSync(join(folder.path, name), text);
  const deploy = (...flags: string[]) =>
    daemon.lambda("deploy", folder.path, "--env-file", join(folder.path, "all.env"), ...flags);
  let queue = "";
  const source = (more = "") =>
    `sources:\n  orders: { function: report, queue: "${queue}", endpoint: "${sqs.url}", accessKeyId: ${sqs.login.accessKeyId}, secret: SQS_SECRET${more} }\n`;
  const path = async () =>
    new URL(JSON.parse((await daemon.control("GET", "/v1/hooks/push")).text).url).pathname;
  const push = async (id: string): Promise<Answer> =>
    await sendAsGitHub(daemon, await path(), { id, body: JSON.stringify({ push: id }) });
  before(async () => {
    [sqs, daemon] = await Promise.all([startFakeSqs(), startDaemon()]);
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    queue = sqs.create("orders");
    const { port } = Object(listener.address());
    write(
      "all.env",
      `TOLD_URL=http://127.0.0.1:${port}\nPUSH_SECRET=${SECRET}\nSQS_SECRET=${sqs.login.secret}\n`,
    );
  });
  after(async () => {
    await daemon[Symbol.asyncDispose]();
    await sqs[Symbol.asyncDispose]();
    listener.close();
    folder[Symbol.dispose]();
  });

  it("are planned, made with the release, and do their work", async () => {
    write("lambda.yaml", file(HOOK + source()));
    const plan = deployed(await deploy("--dry-run"));
    assert.match(plan.stdout, /\+ push +hook\n\+ orders +source\n/);
    assert.equal((await daemon.control("GET", "/v1/hooks/push")).status, 404);
    const made = deployed(await deploy());
    assert.match(made.stdout, /hook push +http:\/\/localhost:\d+\/_hooks\/hk_/);
    assert.ok(!`${made.stdout}${made.stderr}`.includes(SECRET), "secrets that were given are not shown");
    assert.equal((await push("one")).status, 202);
    sqs.send("orders", "first");
    await until(() => told.includes("v1 first") && told.includes('v1 {"push":"one"}'), WITHIN_MS);
    assert.match(deployed(await deploy()).stdout, /nothing has changed/);
  });

  it("stay what they are over deploys that change their functions, without their secrets at hand", async () => {
    const address = await path();
    const [{ id }] = JSON.parse((await daemon.control("GET", "/v1/sources")).text).sources;
    write("ci/index.mjs", handler(2));
    write("report/index.mjs", handler(2));
    write("lambda.yaml", file(HOOK + source(", batch: 1")));
    const lines = readFileSync(join(folder.path, "all.env"), "utf8").split("\n");
    write("no-hook.env", lines.filter((line) => !line.startsWith("PUSH_SECRET=")).join("\n"));
    const ran = await daemon.lambda("deploy", folder.path, "--env-file", join(folder.path, "no-hook.env"));
    assert.match(deployed(ran).stdout, /~ orders +source\n/);
    assert.equal(await path(), address);
    assert.equal((await push("two")).status, 202);
    sqs.send("orders", "second");
    await until(() => told.includes("v2 second") && told.includes('v2 {"push":"two"}'), WITHIN_MS);
    const [now] = JSON.parse((await daemon.control("GET", "/v1/sources")).text).sources;
    assert.deepEqual([now.id, now.batchSize, now.name], [id, 1, "orders"]);
    const diff = deployed(await daemon.lambda("releases", "diff", "1", "2", "--project", "shop"));
    assert.match(diff.stdout, /~ orders +source/);
  });

  it("are asked for before they go, answer nothing then, and come back with a rollback", async () => {
    const address = await path();
    write("lambda.yaml", file(""));
    const refused = await deploy();
    assert.equal(refused.code, 2, refused.stdout);
    assert.match(
      refused.stderr,
      /lambda\.yaml no longer has hook push, source orders, which are live: nothing was changed/,
    );
    const pruned = deployed(await deploy("--prune"));
    assert.match(pruned.stdout, /- push +hook\n- orders +source\n/);
    assert.equal((await push("three")).status, 404);
    assert.match((await daemon.lambda("hook", "list")).stdout, /push .*not live/);
    sqs.send("orders", "third");
    deployed(await daemon.lambda("rollback", "--to", "1", "--project", "shop"));
    assert.equal(await path(), address);
    assert.equal((await push("four")).status, 202);
    await until(() => told.includes("v1 third") && told.includes('v1 {"push":"four"}'), WITHIN_MS);
  });

  it("are changed with the project only, but for pauses and secrets", async () => {
    const [{ id }] = JSON.parse((await daemon.control("GET", "/v1/sources")).text).sources;
    for (const args of [
      ["hook", "delete", "push"],
      ["source", "delete", id],
      ["source", "update", id, "--batch", "3"],
    ]) {
      const ran = await daemon.lambda(...args);
      assert.equal(ran.code, 5, `${args.join(" ")}: ${ran.stdout}${ran.stderr}`);
      assert.match(ran.stderr, /project shop; .*lambda deploy/);
    }
    deployed(await daemon.lambda("source", "pause", id));
    deployed(await daemon.lambda("source", "resume", id));
    assert.equal((await push("five")).status, 202);
  });

  it("leave the live release as it is where a queue is away or a secret is missing, and say what to do", async () => {
    write(
      "lambda.yaml",
      file(`${HOOK}  pay: { function: ci, provider: hmac, secret: PAY_SECRET }\n${source()}`),
    );
    const missing = await deploy();
    assert.equal(missing.code, 2, missing.stdout);
    assert.match(
      missing.stderr,
      /lambda\.yaml:8:\d+: secret PAY_SECRET is not set, and hook pay has none yet: set it/,
    );
    write(
      "lambda.yaml",
      file(
        `${HOOK}${source()}  away: { function: ci, queue: "${queue}-away", endpoint: "${sqs.url}", accessKeyId: ${sqs.login.accessKeyId}, secret: SQS_SECRET }\n`,
      ),
    );
    const away = await deploy();
    assert.notEqual(away.code, 0);
    assert.match(away.stderr, /source away: /);
    const live = JSON.parse((await daemon.control("GET", "/v1/projects/shop")).text);
    assert.deepEqual([live.liveRelease, live.live.sources.length], [1, 1]);
  });
});

function deployed(ran: Ran): Ran {
  assert.equal(ran.code, 0, ran.stderr + ran.stdout);
  return ran;
}
