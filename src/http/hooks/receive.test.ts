import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { systemClock } from "../../core/clock.ts";
import type { HookDelivery } from "../../core/hook.ts";
import { HOOK_BODY_BYTES_MAX } from "../../core/limits.ts";
import { silentLog } from "../../core/log.ts";
import { type HookBook, type NewHook, openHookBook } from "../../registry/hook-book.ts";
import { Turns } from "../../registry/turns.ts";
import { sampleFunction, sampleName } from "../../store/samples.fake.ts";
import { openSqliteStore } from "../../store/sqlite/sqlite-store.ts";
import type { Store } from "../../store/store.ts";
import { openKeyRing } from "../control/keys.ts";
import {
  type Answer,
  call,
  type FakeFunctionFacts,
  fakeFunctions,
  startGateway,
} from "../gateway/gateway.fake.ts";
import { newHookReceiver } from "./receive.ts";
import { macByOther } from "./signer.fake.ts";

const root = await mkdtemp(join(tmpdir(), "lambdad-receive-"));
after(() => rm(root, { recursive: true }));
let count = 0;

interface TestHooks extends AsyncDisposable {
  readonly store: Store;
  readonly book: HookBook;
  readonly deploymentCalls: () => number;
  make(change?: Partial<NewHook>): Promise<string>;
  send(
    path: string,
    facts: { method?: string; headers?: Record<string, string>; body?: string | Buffer },
  ): Promise<Answer>;
  deliveries(name?: string): Promise<HookDelivery[]>;
}

/** A gateway with the hooks of a real store; `greet` is there. */
async function startHooks(functions: Record<string, FakeFunctionFacts> = { greet: {} }): Promise<TestHooks> {
  const dir = join(root, `${++count}`);
  const store = await openSqliteStore({ dir, log: silentLog, clock: systemClock });
  const ring = await openKeyRing({ dir, keys: store.keys, clock: systemClock });
  const box = ring.sealerFor("hooks");
  for (const name of Object.keys(functions)) await store.registry.saveFunction(sampleFunction(name));
  const registry = fakeFunctions(functions);
  let calls = 0;
  const deploymentWaits = () => {
    calls += 1;
  };
  const parts = { hooks: store.hooks, functions: registry, box, deploymentWaits, clock: systemClock };
  const book = openHookBook({ ...parts, ledger: store.events, turns: new Turns() });
  const gateway = await startGateway({
    functions,
    receiveHook: newHookReceiver({ ...parts, log: silentLog }),
  });
  return {
    store,
    book,
    deploymentCalls: () => calls,
    async make(change = {}) {
      const { hook } = await book.create({
        name: "push",
        description: "",
        functionName: sampleName("greet"),
        qualifier: undefined,
        provider: "github",
        hmac: undefined,
        secret: "s3cret",
        isPaused: false,
        deploy: undefined,
        ...change,
      });
      return `/_hooks/${hook.id}`;
    },
    send: (path, facts) => call(gateway.port, path, { method: "POST", host: "127.0.0.1", ...facts }),
    deliveries: async (name = "push") =>
      await book.deliveries(await book.get(name), { before: undefined, limit: 500 }),
    async [Symbol.asyncDispose]() {
      await gateway[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

/** Headers as GitHub sends them. */
function fromGitHub(
  body: string | Buffer,
  id: string,
  event = "push",
  secret = "s3cret",
): Record<string, string> {
  return {
    "x-hub-signature-256": `sha256=${macByOther(secret, body)}`,
    "x-github-delivery": id,
    "x-github-event": event,
    "content-type": "application/json",
  };
}

const json = (answer: Answer): Record<string, unknown> => JSON.parse(answer.text);

async function eventsOf(store: Store) {
  const query = { functionName: sampleName("greet"), states: undefined, after: undefined, limit: 100 };
  return await store.events.list(query);
}

async function payloadOf(store: Store): Promise<Record<string, unknown>> {
  const [event] = await eventsOf(store);
  assert.ok(event);
  const work = await store.events.findWork(event.id);
  assert.ok(work?.kind === "call" && work.input.kind === "event");
  return JSON.parse(Buffer.from(work.input.payload).toString());
}

describe("a hook", () => {
  it("queues what is genuine as the function's event, and says so with 202", async () => {
    await using hooks = await startHooks();
    const path = await hooks.make();
    const body = '{"ref":"refs/heads/main"}';
    const answer = await hooks.send(`${path}/sub?x=1`, { headers: fromGitHub(body, "g1"), body });
    assert.equal(answer.status, 202, answer.text);
    const [delivery] = await hooks.deliveries();
    const [event] = await eventsOf(hooks.store);
    assert.deepEqual(json(answer), { deliveryId: delivery?.id, eventId: event?.id });
    assert.equal(event?.origin, "hook push");
    assert.equal(delivery?.outcome, "accepted");
    assert.equal(delivery?.senderId, "g1");
    assert.equal(delivery?.eventType, "push");
    assert.equal(delivery?.bodyBytes, body.length);
    assert.equal(delivery?.sourceIp, "127.0.0.1");
    const payload = await payloadOf(hooks.store);
    assert.equal(payload.body, body);
    assert.equal(payload.isBase64Encoded, false);
    assert.equal(payload.rawPath, "/sub");
    assert.equal(payload.rawQueryString, "x=1");
    const headers: Record<string, string> = Object(payload.headers);
    assert.equal(headers["x-github-event"], "push");
    assert.equal(headers["x-lambdad-hook"], "push");
    assert.equal(headers["x-forwarded-prefix"], path);
  });

  it("keeps a binary body in base64, and every byte of it under the signature", async () => {
    await using hooks = await startHooks();
    const path = await hooks.make();
    const body = Buffer.from([0, 255, 254, 13, 10, 128]);
    const headers = { ...fromGitHub(body, "g1"), "content-type": "application/octet-stream" };
    assert.equal((await hooks.send(path, { headers, body })).status, 202);
    const payload = await payloadOf(hooks.store);
    assert.deepEqual([payload.body, payload.isBase64Encoded], [body.toString("base64"), true]);
  });

  it("gives a server the request, and never GitLab's token", async () => {
    await using hooks = await startHooks({ greet: { kind: "server" } });
    const path = await hooks.make({ provider: "gitlab", secret: "t0ken" });
    const headers = { "x-gitlab-token": "t0ken", "x-gitlab-event": "Push Hook", "idempotency-key": "k" };
    assert.equal((await hooks.send(path, { headers, body: "{}" })).status, 202);
    const [event] = await eventsOf(hooks.store);
    assert.ok(event);
    const work = await hooks.store.events.findWork(event.id);
    assert.ok(work?.kind === "call" && work.input.kind === "request");
    assert.deepEqual([work.input.method, work.input.path], ["POST", "/"]);
    assert.equal(Buffer.from(work.input.body ?? []).toString(), "{}");
    assert.ok(!JSON.stringify(work.input.rawHeaders).includes("t0ken"));
  });

  it("answers all that is not genuine alike, enqueues nothing, and tells its owner why", async () => {
    await using hooks = await startHooks();
    const path = await hooks.make();
    const good = fromGitHub("{}", "g1");
    const { "x-hub-signature-256": _signature, ...unsigned } = good;
    const attempts = [
      { headers: unsigned, body: "{}" },
      { headers: fromGitHub("{}", "g1", "push", "other"), body: "{}" },
      { headers: good, body: "{ }" },
      { headers: { ...good, "x-hub-signature-256": "sha256=zz" }, body: "{}" },
    ];
    const answers = [];
    for (const attempt of attempts) answers.push(await hooks.send(path, attempt));
    assert.deepEqual(
      answers.map(({ status, text }) => [status, JSON.parse(text).error.message]),
      attempts.map(() => [401, "the delivery is not known to be genuine"]),
    );
    assert.deepEqual(await eventsOf(hooks.store), []);
    const notes = (await hooks.deliveries()).map(({ outcome, note }) => `${outcome}: ${note}`);
    assert.equal(notes.length, 4);
    assert.match(notes.at(-1) ?? "", /^refused: no X-Hub-Signature-256 header/);
    for (const note of notes.slice(0, 3)) assert.match(note, /^refused: the signature does not fit/);
  });

  it("takes a delivery once, also across twenty at the same moment, and says which it was", async () => {
    await using hooks = await startHooks();
    const path = await hooks.make();
    const facts = { headers: fromGitHub("{}", "g1"), body: "{}" };
    const answers = await Promise.all(Array.from({ length: 20 }, () => hooks.send(path, facts)));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array(19).fill(200), 202]);
    assert.equal((await eventsOf(hooks.store)).length, 1);
    const first = json(answers.find(({ status }) => status === 202) ?? (answers[0] as Answer));
    const again = answers.find(({ status }) => status === 200);
    assert.ok(again);
    assert.deepEqual(json(again), { ...first, duplicate: true });
    const duplicate = (await hooks.deliveries()).find(({ outcome }) => outcome === "duplicate");
    assert.equal(duplicate?.repeats, first.deliveryId);
  });

  it("answers GitHub's ping and Slack's question, but only when they are signed", async () => {
    await using hooks = await startHooks();
    const github = await hooks.make();
    const ping = await hooks.send(github, { headers: fromGitHub("{}", "g1", "ping"), body: "{}" });
    assert.deepEqual([ping.status, ping.text], [200, '{"answer":"pong"}']);
    const slack = await hooks.make({ name: "slack", provider: "slack", secret: "abc" });
    const body = '{"type":"url_verification","challenge":"c#1"}';
    const seconds = `${Math.floor(Date.now() / 1_000)}`;
    const headers = {
      "content-type": "application/json",
      "x-slack-request-timestamp": seconds,
      "x-slack-signature": `v0=${macByOther("abc", `v0:${seconds}:${body}`)}`,
    };
    const answer = await hooks.send(slack, { headers, body });
    assert.deepEqual([answer.status, answer.text], [200, "c#1"]);
    assert.equal((await hooks.send(slack, { headers: {}, body })).status, 401);
    assert.deepEqual(await eventsOf(hooks.store), []);
    assert.equal((await hooks.deliveries("slack")).at(-1)?.outcome, "answered");
  });

  it("takes the old and the new secret while both are good, and each only then", async () => {
    await using hooks = await startHooks();
    const path = await hooks.make();
    const sendBy = async (secret: string, id: string) =>
      (await hooks.send(path, { headers: fromGitHub("{}", id, "push", secret), body: "{}" })).status;
    await hooks.book.rotate("push", { secret: "second", overlapMs: 60_000 });
    assert.deepEqual([await sendBy("s3cret", "1"), await sendBy("second", "2")], [202, 202]);
    await hooks.book.rotate("push", { secret: "third", overlapMs: 60_000 });
    assert.deepEqual(
      [await sendBy("s3cret", "3"), await sendBy("second", "4"), await sendBy("third", "5")],
      [401, 202, 202],
    );
    const { secret } = await hooks.book.rotate("push", { secret: undefined, overlapMs: 0 });
    assert.deepEqual([await sendBy("third", "6"), await sendBy(secret ?? "", "7")], [401, 202]);
  });

  it("has senders try again while it is paused, and strangers know nothing of that", async () => {
    await using hooks = await startHooks();
    const path = await hooks.make({ isPaused: true });
    const facts = { headers: fromGitHub("{}", "g1"), body: "{}" };
    assert.equal((await hooks.send(path, facts)).status, 503);
    assert.equal((await hooks.send(path, { body: "{}" })).status, 401);
    await hooks.book.setPaused("push", false);
    assert.equal((await hooks.send(path, facts)).status, 202);
  });

  it("refuses what is no POST, too large, or to no hook", async () => {
    await using hooks = await startHooks();
    const path = await hooks.make();
    const get = await hooks.send(path, { method: "GET" });
    assert.deepEqual([get.status, get.headers.allow], [405, "POST"]);
    for (const other of ["/_hooks/", "/_hooks/hk_x", `${path}x`, "/_hooks/hk_00000000000000000000000000"]) {
      assert.equal((await hooks.send(other, { body: "{}" })).status, 404, other);
    }
    const body = Buffer.alloc(HOOK_BODY_BYTES_MAX + 1);
    assert.equal((await hooks.send(path, { headers: fromGitHub(body, "g1"), body })).status, 413);
    assert.match((await hooks.deliveries())[0]?.note ?? "", /larger than 4194304 bytes/);
    // Each byte of it is one of six characters as JSON.
    const wide = Buffer.alloc(2 * 1024 * 1024, 1);
    assert.equal((await hooks.send(path, { headers: fromGitHub(wide, "g2"), body: wide })).status, 413);
  });

  it("follows its alias, and says to its owner, not to the sender, that it is gone", async () => {
    const aliases = ["live"];
    await using hooks = await startHooks({ greet: { aliases } });
    const path = await hooks.make({ qualifier: "live" });
    const send = (id: string) => hooks.send(path, { headers: fromGitHub("{}", id), body: "{}" });
    assert.equal((await send("1")).status, 202);
    assert.equal((await eventsOf(hooks.store))[0]?.qualifier, "live");
    aliases.pop();
    const answer = await send("2");
    assert.deepEqual([answer.status, answer.text.includes("greet")], [404, false]);
    assert.match((await hooks.deliveries())[0]?.note ?? "", /not there: .*"greet"/);
  });

  it("takes nothing by secrets that were sealed under another master key", async () => {
    await using hooks = await startHooks();
    const path = await hooks.make();
    await using other = await startHooks();
    await other.store.hooks.save(await hooks.book.get("push"));
    const answer = await other.send(path, { headers: fromGitHub("{}", "g1"), body: "{}" });
    assert.equal(answer.status, 401);
    assert.match((await other.deliveries())[0]?.note ?? "", /no secret/);
  });

  it("goes on counting how many events led to one another", async () => {
    await using hooks = await startHooks();
    const path = await hooks.make();
    for (const [id, depth] of [
      ["1", "5"],
      ["2", "-1"],
      ["3", "much"],
    ] as const) {
      const headers = { ...fromGitHub("{}", id), "x-lambdad-depth": depth };
      assert.equal((await hooks.send(path, { headers, body: "{}" })).status, 202);
    }
    assert.deepEqual(
      (await eventsOf(hooks.store)).map(({ depth }) => depth),
      [0, 0, 5],
    );
  });

  it("writes down only some of very many refusals, and how many it left out", async () => {
    await using hooks = await startHooks();
    const path = await hooks.make();
    for (let sent = 0; sent < 60; sent += 1) {
      assert.equal((await hooks.send(path, { body: `${sent}` })).status, 401);
    }
    const kept = (await hooks.deliveries()).length;
    assert.ok(kept >= 20 && kept < 40, `${kept}`);
  });

  it("does again what followed from a delivery, once for each time it is asked to", async () => {
    await using hooks = await startHooks();
    const path = await hooks.make();
    await hooks.send(path, { headers: fromGitHub('{"n":1}', "g1"), body: '{"n":1}' });
    const hook = await hooks.book.get("push");
    const [first] = await hooks.deliveries();
    assert.ok(first);
    const again = await hooks.book.redeliver(hook, first.id, "redelivered");
    assert.equal(again.repeats, first.id);
    assert.equal((await eventsOf(hooks.store)).length, 2);
    assert.equal((await payloadOf(hooks.store)).body, '{"n":1}');
    await hooks.send(path, { body: "x" });
    const [refused] = await hooks.deliveries();
    assert.ok(refused);
    await assert.rejects(hooks.book.redeliver(hook, refused.id, ""), /nothing followed from delivery/);
  });

  it("lets a push to its branch wait for deployment, and ignores everything else", async () => {
    await using hooks = await startHooks({});
    const deploy = { repo: "/repo", branch: "main", path: "", credential: undefined };
    const path = await hooks.make({ functionName: sampleName("site"), deploy });
    const after = "a".repeat(40);
    const push = (ref: string, commit: unknown = after) => JSON.stringify({ ref, after: commit });
    const sendPush = async (body: string, id: string, event = "push") =>
      (await hooks.send(path, { headers: fromGitHub(body, id, event), body })).status;
    assert.equal(await sendPush(push("refs/heads/main"), "1"), 202);
    assert.equal(hooks.deploymentCalls(), 1);
    const [delivery] = await hooks.deliveries();
    assert.equal(delivery?.outcome, "waiting");
    assert.deepEqual([delivery?.deployment?.commit, delivery?.deployment?.branch], [after, "main"]);
    const form = `payload=${encodeURIComponent(push("refs/heads/main", "b".repeat(40)))}`;
    assert.equal(await sendPush(form, "2"), 202);
    const others: [string, string][] = [
      [push("refs/heads/other"), "push"],
      [push("refs/tags/main"), "push"],
      [push("refs/heads/main", "0".repeat(40)), "push"],
      [push("refs/heads/main", "--upload-pack=x"), "push"],
      [push("refs/heads/main", 7), "push"],
      ["no JSON", "push"],
      [push("refs/heads/main"), "workflow_run"],
    ];
    for (const [index, [body, event]] of others.entries()) {
      assert.equal(await sendPush(body, `o${index}`, event), 200, body);
    }
    assert.equal(hooks.deploymentCalls(), 2);
    const outcomes = (await hooks.deliveries()).map(({ outcome }) => outcome);
    assert.deepEqual(outcomes, [...others.map(() => "ignored"), "waiting", "superseded"]);
  });
});
