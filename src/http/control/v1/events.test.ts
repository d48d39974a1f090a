import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import type { EventState } from "../../../core/event.ts";
import type { EventId } from "../../../core/ids.ts";
import type { ClaimedEvent } from "../../../store/event-queue.ts";
import { sampleEnding, sampleEvent, sampleResult } from "../../../store/event-samples.fake.ts";
import { makeFunction, startControl, type TestControl } from "../control.fake.ts";

let control: TestControl;
before(async () => {
  control = await startControl();
  for (const name of ["one", "two"]) await makeFunction(control, name);
});
after(() => control[Symbol.asyncDispose]());
beforeEach(async () => {
  for (const name of ["one", "two"]) {
    const { functionName } = sampleEvent(name);
    await control.store.events.cancelAll(functionName, REASON);
    await control.store.events.removeDeadLetters(functionName, undefined, 100);
  }
});

const REASON = { condition: "RetriesExhausted", message: "why" } as const;

async function enqueue(name: string, text = '{"n":1}'): Promise<EventId> {
  return (await control.store.events.enqueue(sampleEvent(name, text), { idempotencyKey: undefined })).id;
}

async function claim(): Promise<ClaimedEvent> {
  const [claimed] = await control.store.events.claim({ leaseMs: 60_000, limit: 1, room: () => 1 });
  assert.ok(claimed);
  return claimed;
}

async function ended(name: string, state: Exclude<EventState, "queued" | "running">): Promise<EventId> {
  const id = await enqueue(name);
  const claimed = await claim();
  const result = {
    ...sampleResult('{"a":1}'),
    functionError: state === "done" ? undefined : ("Unhandled" as const),
  };
  const reason = state === "done" ? undefined : REASON;
  await control.store.events.end(claimed, sampleEnding(claimed, { state, reason, result }));
  return id;
}

const get = (path: string, token?: string) => control.send({ path, ...(token !== undefined && { token }) });
const post = (path: string, body: unknown = {}) =>
  control.send({ method: "POST", path, body: JSON.stringify(body) });

describe("/v1/events", () => {
  it("lists events of the functions that the key is good for, latest first, in pages", async () => {
    const ids = [await enqueue("one"), await enqueue("two"), await enqueue("one")];
    const listed = async (query: string, token?: string) => {
      const { events } = Object((await get(`/v1/events?state=queued&${query}`, token)).json);
      return events.map(({ id }: { id: EventId }) => ids.indexOf(id));
    };
    assert.deepEqual(await listed(""), [2, 1, 0]);
    assert.deepEqual(await listed("function=one"), [2, 0]);
    assert.deepEqual(await listed(`limit=1&after=${ids[2]}`), [1]);
    assert.equal((await get("/v1/events?function=no%20such")).status, 400);
    const token = await control.issue({ scopes: ["read"], functions: "two" });
    assert.deepEqual(await listed("", token), [1]);
    assert.equal((await get("/v1/events?function=one", token)).status, 403);
    assert.equal((await get(`/v1/events/${ids[0]}`, token)).status, 404, "not even that it exists");
  });

  for (const [why, query] of [
    ["a state that is none", "state=lost"],
    ["an id that is none", "after=7"],
    ["too large a page", "limit=501"],
  ]) {
    it(`refuses ${why}`, async () => {
      const answer = await get(`/v1/events?${query}`);
      assert.deepEqual([answer.status, Object(answer.json).error.code], [400, "InvalidRequest"]);
    });
  }

  it("shows an event with its input, and 404 where none is", async () => {
    const id = await enqueue("one", '{"text":"ü"}');
    const event = Object((await get(`/v1/events/${id}`)).json);
    assert.deepEqual(event.input, { kind: "event", contentType: "application/json", text: '{"text":"ü"}' });
    assert.deepEqual([event.function, event.state, event.attempts], ["one", "queued", []]);
    for (const none of ["evt_zzzzzzzzzzz", "nothing", "evt_%00"]) {
      assert.equal(Object((await get(`/v1/events/${none}`)).json).error.code, "EventNotFound");
    }
  });

  it("waits for the end of an event, but not for ever", async () => {
    const id = await enqueue("one");
    const waiting = get(`/v1/events/${id}?wait=30`);
    const claimed = await claim();
    await control.store.events.end(claimed, sampleEnding(claimed));
    assert.equal(Object((await waiting).json).state, "done");
    const other = await enqueue("one");
    assert.equal(Object((await get(`/v1/events/${other}?wait=1`)).json).state, "queued");
    assert.equal((await get(`/v1/events/${other}?wait=61`)).status, 400);
  });

  it("tells each change as a server-sent event until the end", async () => {
    const id = await enqueue("one");
    const telling = control.send({ path: `/v1/events/${id}`, headers: { accept: "text/event-stream" } });
    const claimed = await claim();
    await control.store.events.end(claimed, sampleEnding(claimed));
    const { headers, text } = await telling;
    assert.equal(headers["content-type"], "text/event-stream");
    assert.equal([...text.matchAll(/^event: (\w+)$/gm)].at(-1)?.[1], "done");
  });

  it("gives the result as it is, says so of an error, and 202 while there is none", async () => {
    const waiting = await enqueue("one");
    assert.deepEqual((await get(`/v1/events/${waiting}/result`)).json, { id: waiting, state: "queued" });
    await control.store.events.cancel(waiting, REASON);
    assert.equal((await get(`/v1/events/${waiting}/result`)).status, 404);
    const done = await get(`/v1/events/${await ended("one", "done")}/result`);
    assert.deepEqual(
      [done.status, done.text, done.headers["x-amz-function-error"]],
      [200, '{"a":1}', undefined],
    );
    const failed = await get(`/v1/events/${await ended("one", "failed")}/result`);
    assert.equal(failed.headers["x-amz-function-error"], "Unhandled");
  });

  it("cancels what has not ended, and retries what has not succeeded", async () => {
    const id = await enqueue("one");
    assert.equal(Object((await post(`/v1/events/${id}/retry`)).json).error.code, "ResourceConflict");
    assert.equal(Object((await post(`/v1/events/${id}/cancel`)).json).state, "cancelled");
    assert.equal((await post(`/v1/events/${id}/cancel`)).status, 409);
    assert.equal(Object((await post(`/v1/events/${id}/retry`)).json).state, "queued");
    assert.equal((await post(`/v1/events/${await ended("two", "done")}/retry`)).status, 409);
    const token = await control.issue({ scopes: ["read"] });
    const refused = await control.send({
      method: "POST",
      path: `/v1/events/${id}/cancel`,
      body: "{}",
      token,
    });
    assert.equal(refused.status, 403);
  });
});

describe("/v1/functions/NAME/dlq", () => {
  it("lists, redrives by id and all, to another version, and purges", async () => {
    const ids = [await ended("one", "failed"), await ended("one", "expired"), await ended("one", "failed")];
    const other = await ended("two", "failed");
    const listed = async () =>
      Object((await get("/v1/functions/one/dlq")).json).events.map(({ id }: { id: EventId }) =>
        ids.indexOf(id),
      );
    assert.deepEqual(await listed(), [2, 1, 0]);
    for (const wrong of [other, "x", "evt_zzzzzzzzzzz", await ended("one", "done")]) {
      const refused = await post("/v1/functions/one/dlq/redrive", { ids: [ids[1], wrong] });
      assert.deepEqual([refused.status, Object(refused.json).error.code], [404, "EventNotFound"]);
      assert.match(Object(refused.json).error.message, new RegExp(wrong));
    }
    assert.deepEqual(await listed(), [2, 1, 0]);
    const some = await post("/v1/functions/one/dlq/redrive", { ids: [ids[1]], version: "$LATEST" });
    assert.deepEqual(some.json, { redriven: 1 });
    assert.equal((await claim()).facts.qualifier, "$LATEST");
    assert.deepEqual(await listed(), [2, 0]);
    assert.equal((await post("/v1/functions/one/dlq/redrive", { version: "9" })).status, 404);
    assert.equal((await post("/v1/functions/one/dlq/redrive", { versions: "1" })).status, 400);
    assert.deepEqual((await post("/v1/functions/one/dlq/redrive")).json, { redriven: 2 });
    await ended("one", "failed");
    const purged = await control.send({ method: "DELETE", path: "/v1/functions/one/dlq" });
    assert.ok(Object(purged.json).removed >= 1);
    assert.deepEqual(await listed(), []);
    assert.equal((await control.store.events.find(other))?.state, "failed");
  });
});

describe("events of a function that does not exist", () => {
  it("are said to be none of a function, unless it has left some behind", async () => {
    const asked = async (name: string) => [
      await get(`/v1/events?function=${name}`),
      await get(`/v1/functions/${name}/dlq`),
      await control.send({ method: "DELETE", path: `/v1/functions/${name}/dlq` }),
      await post(`/v1/functions/${name}/dlq/redrive`),
    ];
    for (const { status, json } of await asked("never")) {
      assert.deepEqual([status, Object(json).error.code], [404, "FunctionNotFound"]);
    }
    await makeFunction(control, "left");
    const id = await ended("left", "failed");
    assert.equal((await control.send({ method: "DELETE", path: "/v1/functions/left" })).status, 204);
    const answers = await asked("left");
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200, 404],
    );
    assert.deepEqual(
      answers.slice(0, 2).map(({ json }) => Object(json).events.map((event: { id: string }) => event.id)),
      [[id], [id]],
    );
    assert.deepEqual(answers[2]?.json, { removed: 1 });
  });
});

describe("a function that is deleted", () => {
  it("takes the events with it that wait", async () => {
    await makeFunction(control, "gone");
    const id = await enqueue("gone");
    assert.equal((await control.send({ method: "DELETE", path: "/v1/functions/gone" })).status, 204);
    const event = Object((await get(`/v1/events/${id}`)).json);
    assert.deepEqual([event.state, event.reason.condition], ["cancelled", "FunctionDeleted"]);
  });
});
