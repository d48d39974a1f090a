/** Row R14 of the failure matrix: an address that is told of events, and is down, slow, failing or cutting off. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { RETRY_POLICY_DEFAULT } from "../../src/core/retry.ts";
import { inBackground } from "../../src/core/scope.ts";
import { seededRandom } from "../../src/core/seeded-random.fake.ts";
import { runEventWorker } from "../../src/events/event-worker.ts";
import { newHttpDelivery } from "../../src/events/http-delivery.ts";
import { fakeInvocations, returned } from "../../src/invoker/invocations.fake.ts";
import { sampleEvent } from "../../src/store/event-samples.fake.ts";
import { sampleFunction, sampleName } from "../../src/store/samples.fake.ts";
import { openSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";

const DELIVERIES = 1_000;
const CALLS = 200;
const DOWN_MS = 1_000;
const TIMEOUT_MS = 1_000;
const WITHIN_MS = 600_000;
const POLICY = { ...RETRY_POLICY_DEFAULT, setbackMsMin: 20, setbackMsMax: 1_000 };
const NO_KEY = { idempotencyKey: undefined };
const seed = Number(process.env.FAULTS_SEED ?? Date.now() % 2 ** 31);

it(`each of ${DELIVERIES} is told in the end, under one id, and nothing waits for them`, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "lambdad-destinations-"));
  const random = seededRandom(seed);
  const told = new Map<string, string[]>();
  const taken = new Set<string>();
  const faults = { failed: 0, cutOff: 0, late: 0, tookAndCutOff: 0 };
  const sink = createServer(async (request, response) => {
    const id = String(request.headers["webhook-id"]);
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece);
    const body = Buffer.concat(pieces).toString();
    told.set(body, [...(told.get(body) ?? []), id]);
    const kind = Math.floor(random() * 8);
    if (kind === 0) {
      faults.failed += 1;
      response.writeHead(500).end();
    } else if (kind === 1) {
      faults.cutOff += 1;
      request.socket.resetAndDestroy();
    } else if (kind === 2) {
      // It has taken it, but nobody hears of that.
      faults.tookAndCutOff += 1;
      taken.add(body);
      request.socket.resetAndDestroy();
    } else if (kind === 3) {
      faults.late += 1;
      response.on("error", () => undefined);
    } else {
      taken.add(body);
      response.writeHead(204).end();
    }
  });
  try {
    // A port that nobody listens on until the sink comes up.
    sink.listen(0, "127.0.0.1");
    await once(sink, "listening");
    const { port } = sink.address() as AddressInfo;
    await new Promise((resolve) => sink.close(resolve));

    await using store = await openSqliteStore({ dir, log: silentLog, clock: systemClock });
    const { events } = store;
    const ids = new Map<string, string>();
    const record = sampleFunction("f");
    const target = { record, version: record.latest, qualifier: undefined };
    const url = `http://127.0.0.1:${port}/`;
    await Promise.all(
      Array.from({ length: DELIVERIES }, async (_, index) => {
        const work = { kind: "delivery", url, body: Buffer.from(`${index}`) } as const;
        const { id } = await events.enqueue(sampleEvent("f", "", { work }), NO_KEY);
        ids.set(`${index}`, id);
      }),
    );
    let calls = 0;
    await using _worker = inBackground((signal) =>
      runEventWorker(
        {
          events,
          functions: { resolve: async () => target, resolveCached: () => target },
          invocations: fakeInvocations(async () => {
            calls += 1;
            return returned("{}");
          }),
          deliver: newHttpDelivery({
            secret: `whsec_${Buffer.alloc(24).toString("base64")}`,
            allowsPrivate: true,
            timeoutMs: TIMEOUT_MS,
          }),
          identity: { accountId: "123456789012", region: "us-east-1" },
          clock: systemClock,
          log: silentLog,
          policy: POLICY,
        },
        { signal },
      ),
    );
    await Promise.all(Array.from({ length: CALLS }, () => events.enqueue(sampleEvent("f"), NO_KEY)));
    await sleep(DOWN_MS);
    assert.equal(told.size, 0);
    sink.listen(port, "127.0.0.1");
    await once(sink, "listening");
    const giveUpAt = performance.now() + WITHIN_MS;
    let openWhenCalled = 0;
    for (;;) {
      const { queued, running } = events.counts(sampleName("f"));
      if (openWhenCalled === 0 && calls === CALLS) openWhenCalled = queued + running;
      if (queued + running === 0) break;
      assert.ok(performance.now() < giveUpAt, `${queued} wait, ${running} run`);
      await sleep(20);
    }

    const attempts = [...told.values()].reduce((sum, list) => sum + list.length, 0);
    t.diagnostic(JSON.stringify({ seed, told: told.size, attempts, ...faults, openWhenCalled }));
    assert.equal(taken.size, DELIVERIES);
    for (const [body, list] of told) assert.deepEqual(new Set(list), new Set([ids.get(body)]));
    assert.ok(faults.tookAndCutOff > 0 && attempts > DELIVERIES);
    assert.ok(openWhenCalled > DELIVERIES / 2, "calls did not wait for deliveries");
    const query = { functionName: sampleName("f"), states: ["done"], after: undefined } as const;
    assert.equal((await events.list({ ...query, limit: 2_000 })).length, DELIVERIES + CALLS);
  } finally {
    sink.closeAllConnections();
    sink.close();
    await rm(dir, { recursive: true });
  }
});
