/**
 * Row R7 of the failure matrix: calls of the store that do what they are asked for and then say that they timed out.
 * Whoever asked may ask again; nothing is there twice, nothing is forgotten, and what is in memory is what is stored.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type FakeSqs, startFakeSqs } from "../../src/events/sqs/sqs-server.fake.ts";
import { type Answer, makeFolder, startDaemon, type TestDaemon, until } from "../e2e/daemon.fake.ts";
import {
  deliveriesOf,
  makeHook,
  makeRepo,
  noGit,
  pushOf,
  sendAsGitHub,
  untilDeployed,
} from "../e2e/hook-sender.fake.ts";
import { runFaults } from "./event-faults.ts";
import { CHANGES } from "./people-changes.ts";

const SEED = Number(process.env.FAULTS_SEED ?? Date.now() % 2 ** 31);
/** A claim that nobody knows of ends with its lease. */
const LEASE_OVER_MS = 180_000;
/** One a second; so many that the event comes meanwhile, and so few that its lease is not over. */
const CLAIMS_LOST = 30;
const COUNTING = {
  "index.mjs": `let count = 0;
export const handler = async (event) => {
  const said = event.body ? JSON.parse(event.body) : event;
  if (said.fails) throw new Error("told to");
  console.log("ran", ++count);
};`,
};

const timeOut = (call: string, times = 1) => ({ LAMBDAD_FAULT: `time-out:${call}:${times}` });

/** Again as long as it is refused for the store's sake, as clients do. */
async function insist(ask: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    const answer = await ask();
    if (answer.status !== 503 && answer.status !== 500) return answer;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A daemon with a function `work` that has this fault from its second start on. */
async function startDoubting(
  env: Readonly<Record<string, string>>,
  prepare: (daemon: TestDaemon) => Promise<void> = async () => {},
): Promise<TestDaemon> {
  const dataDir = mkdtempSync(join(tmpdir(), "lambdad-faults-doubt-"));
  const cleared = () => rmSync(dataDir, { recursive: true, force: true });
  try {
    {
      await using first = await startDaemon({ dataDir });
      using folder = makeFolder(COUNTING);
      await first.deploy(folder.path, "work");
      await prepare(first);
    }
    const daemon = await startDaemon({ dataDir, env });
    return {
      ...daemon,
      async [Symbol.asyncDispose]() {
        await daemon[Symbol.asyncDispose]();
        cleared();
      },
    };
  } catch (error) {
    cleared();
    throw error;
  }
}

const enqueue = (daemon: TestDaemon, event: Readonly<Record<string, unknown>>, key: string) =>
  daemon.call("work", "/", {
    method: "POST",
    headers: { prefer: "respond-async", "idempotency-key": key, "content-type": "application/json" },
    body: JSON.stringify(event),
  });
async function eventOf(daemon: TestDaemon, id: string) {
  return JSON.parse((await insist(() => daemon.control("GET", `/v1/events/${id}`))).text);
}
async function ran(daemon: TestDaemon): Promise<number> {
  return (await daemon.lambda("logs", "work")).stdout.match(/\bran\b/g)?.length ?? 0;
}

describe("a change that is made and said to have failed", () => {
  let sqs: FakeSqs;
  before(async () => {
    sqs = await startFakeSqs();
  });
  after(() => sqs[Symbol.asyncDispose]());

  for (const { what, call, prepare, change, count } of CHANGES) {
    it(`is in force at once, and there once when it is asked for again: ${what}`, async () => {
      await using daemon = await startDoubting(timeOut(call), (first) => prepare(first, 1, sqs));
      await change(daemon, 1, sqs);
      await until(async () => (await count(daemon, 1)) === 1);
      await change(daemon, 1, sqs);
      assert.equal(await count(daemon, 1), 1);
    });
  }
});

describe("an event of a store in doubt", () => {
  it("is there once under its key, and runs once, when its acknowledgement is lost", async () => {
    await using daemon = await startDoubting(timeOut("events.enqueue", 3));
    const answers: number[] = [];
    const asked = await insist(async () => {
      const answer = await enqueue(daemon, { n: 1 }, "k");
      answers.push(answer.status);
      return answer;
    });
    assert.ok(answers.includes(503), `${answers}`);
    const { eventId } = JSON.parse(asked.text);
    await until(async () => (await eventOf(daemon, eventId)).state === "done");
    const { events } = JSON.parse((await daemon.control("GET", "/v1/events?function=work")).text);
    assert.deepEqual([events.length, await ran(daemon)], [1, 1]);
  });

  it("runs once when its claim is lost, as soon as the lease is over", async () => {
    await using daemon = await startDoubting(timeOut("events.claim", CLAIMS_LOST));
    const { eventId } = JSON.parse((await enqueue(daemon, { n: 1 }, "k")).text);
    await until(async () => (await eventOf(daemon, eventId)).state === "done", LEASE_OVER_MS);
    const { attempts } = await eventOf(daemon, eventId);
    assert.deepEqual(
      attempts.map(({ outcome }: { outcome: string }) => outcome),
      ["lost", "returned"],
    );
    assert.equal(await ran(daemon), 1);
  });

  it("has ended once when its end is lost", async () => {
    await using daemon = await startDoubting(timeOut("events.end", 3));
    const { eventId } = JSON.parse((await enqueue(daemon, { n: 1 }, "k")).text);
    await until(async () => (await eventOf(daemon, eventId)).state === "done");
    assert.deepEqual([(await eventOf(daemon, eventId)).attempts.length, await ran(daemon)], [1, 1]);
  });

  it("waits for its next attempt when that is lost, and is cancelled and sent on its way again once", async () => {
    await using daemon = await startDoubting(timeOut("events.delay"));
    const { eventId } = JSON.parse((await enqueue(daemon, { fails: true }, "k")).text);
    await until(async () => (await eventOf(daemon, eventId)).errors === 1);
    const { state, attempts } = await eventOf(daemon, eventId);
    assert.deepEqual([state, attempts.length], ["queued", 1]);
  });

  for (const [call, path, state] of [
    ["events.cancel", "cancel", "cancelled"],
    ["events.requeue", "retry", "queued"],
  ] as const) {
    it(`is ${state} once when the answer to that is lost`, async () => {
      await using daemon = await startDoubting(timeOut(call), async (first) => {
        const { eventId } = JSON.parse((await enqueue(first, { fails: true }, "k")).text);
        await until(async () => (await eventOf(first, eventId)).errors === 1);
        if (path === "retry") await first.control("POST", `/v1/events/${eventId}/cancel`, {});
      });
      const { events } = JSON.parse((await daemon.control("GET", "/v1/events?function=work")).text);
      const [{ id }] = events;
      const first = await daemon.control("POST", `/v1/events/${id}/${path}`, {});
      assert.equal(first.status, 503, first.text);
      // It runs at once, and fails.
      const seen = path === "retry" ? ["queued", "running"] : [state];
      await until(async () => seen.includes((await eventOf(daemon, id)).state));
      const again = await daemon.control("POST", `/v1/events/${id}/${path}`, {});
      assert.equal(again.status, 409, again.text);
    });
  }
});

describe("schedules and hooks of a store in doubt", () => {
  it("fire an instant once, and go when they have ended", async () => {
    await using daemon = await startDoubting(timeOut("schedules.fire", 2));
    const at = new Date(Date.now() + 3_000).toISOString().slice(0, 19);
    const wanted = { function: "work", expression: `at(${at})`, endsDeleted: true };
    const kept = { function: "work", expression: `at(${at})` };
    assert.equal((await daemon.control("PUT", "/v1/schedules/goes", wanted)).status, 201);
    assert.equal((await daemon.control("PUT", "/v1/schedules/stays", kept)).status, 201);
    await until(async () => (await daemon.control("GET", "/v1/schedules/goes")).status === 404);
    await until(async () => (await ran(daemon)) >= 2);
    const { history } = JSON.parse((await daemon.control("GET", "/v1/schedules/stays/history")).text);
    assert.equal(history.length, 1);
    const { events } = JSON.parse((await daemon.control("GET", "/v1/events?function=work")).text);
    assert.deepEqual([events.length, await ran(daemon)], [2, 2]);
  });

  it("take a delivery once that was taken and refused, when it is sent again", async () => {
    let path = "";
    await using daemon = await startDoubting(timeOut("hooks.take"), async (first) => {
      path = await makeHook(first, { name: "push", function: "work" });
    });
    const deliver = () => sendAsGitHub(daemon, path, { id: "d1", body: '{"n":1}' });
    assert.equal((await deliver()).status, 503);
    assert.equal((await deliver()).status, 200);
    await until(async () => (await ran(daemon)) === 1);
    const { events } = JSON.parse((await daemon.control("GET", "/v1/events?function=work")).text);
    const accepted = (await deliveriesOf(daemon, "push")).filter(({ outcome }) => outcome === "accepted");
    assert.deepEqual([events.length, accepted.length], [1, 1]);
  });

  for (const call of ["deployments.begin", "deployments.log", "deployments.end", "registry.saveFunction"]) {
    it(`deploy a push once, with ${call} in doubt`, { skip: noGit }, async () => {
      using folder = makeFolder();
      const repo = makeRepo(folder.path);
      const commit = repo.commit({ "index.mjs": "export const handler = async () => 1;" });
      let path = "";
      await using daemon = await startDoubting(timeOut(call), async (first) => {
        path = await makeHook(first, { name: "site", function: "site", deploy: { repo: folder.path } });
      });
      assert.equal((await sendAsGitHub(daemon, path, { id: "p", body: pushOf(commit) })).status, 202);
      const [delivery, ...others] = await untilDeployed(daemon, "site");
      assert.deepEqual(
        [delivery?.outcome, delivery?.deployment?.version, others],
        ["deployed", 1, []],
        JSON.stringify(delivery),
      );
      assert.equal((await daemon.call("site")).text, "1");
      const { versions } = JSON.parse((await daemon.control("GET", "/v1/functions/site/versions")).text);
      assert.equal(versions.length, 1);
    });
  }
});

describe("a daemon whose store is in doubt at one call in twenty", () => {
  it("loses no event that it has acknowledged, and runs none twice without an attempt that says so", async (t) => {
    const fault = `time-out:5:${SEED}`;
    const report = await runFaults({ kills: 10, seed: SEED, fault, killAfterMs: [500, 3_000] });
    t.diagnostic(
      JSON.stringify({ ...report, lost: report.lost.length, unexplained: report.unexplained.length }),
    );
    assert.deepEqual([report.lost, report.unexplained, report.integrity], [[], [], "ok"]);
    assert.ok(
      report.repeated <= report.inFlight,
      `${report.repeated} repeated, ${report.inFlight} in flight`,
    );
    assert.ok(report.acknowledged > 0 && report.requests > report.acknowledged, "some were refused");
  });
});
