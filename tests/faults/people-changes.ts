/**
 * What people change in a daemon, once for each thing that its writer can do for them: how it is asked for, and whether
 * it has happened. Tests let the daemon die at its commit, and let its store say that it failed.
 */
import { makeZip } from "../../src/code/archive-maker.fake.ts";
import type { FakeSqs } from "../../src/events/sqs/sqs-server.fake.ts";
import { type Answer, makeFolder, send, type TestDaemon } from "../e2e/daemon.fake.ts";

export interface PeoplesChange {
  readonly what: string;
  /** Of the writer, as `die:before-commit:OPERATION` names it. */
  readonly operation: string;
  /** Of the store's ports, as `time-out:PORT.METHOD` names it. */
  readonly call: string;
  /** What has to be there before, for `n` in 1 to `times`. */
  prepare(daemon: TestDaemon, times: number, sqs: FakeSqs): Promise<void>;
  /** Undefined if the daemon went away. Asking again for what has happened is refused, or changes nothing. */
  change(daemon: TestDaemon, n: number, sqs: FakeSqs): Promise<Answer | undefined>;
  /** How often it has happened: 0 or 1. */
  count(daemon: TestDaemon, n: number): Promise<number>;
}

const SECRET = "s".repeat(40);
const CODE = { "index.mjs": "export const handler = async () => 1;\n" };

/** Undefined if the connection broke. */
async function ask(
  daemon: TestDaemon,
  method: string,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
): Promise<Answer | undefined> {
  return await daemon.control(method, path, body, headers).catch(() => undefined);
}

/** @throws if it is not done. */
async function must(answer: Promise<Answer | undefined>): Promise<Record<string, unknown>> {
  const { status, text } = (await answer) ?? { status: 0, text: "no answer" };
  if (status < 200 || status > 299) throw new Error(`${status} ${text}`);
  return text === "" ? {} : Object(JSON.parse(text));
}

async function read(daemon: TestDaemon, path: string): Promise<Record<string, unknown>> {
  return await must(daemon.control("GET", path));
}

/** How many of a list have that in one of their members. */
function having(list: unknown, member: string, value: unknown): number {
  return Array.isArray(list) ? list.filter((one) => Object(one)[member] === value).length : 0;
}

async function deploy(daemon: TestDaemon, ...names: string[]): Promise<void> {
  using folder = makeFolder(CODE);
  for (const name of names) await daemon.deploy(folder.path, name);
}

const rule = (daemon: TestDaemon, operation: string, body: unknown) =>
  ask(daemon, "POST", "/", body, {
    "x-amz-target": `AWSEvents.${operation}`,
    "content-type": "application/x-amz-json-1.1",
  });

const key = (n: number) => `KEYOFATEST00000${n}`;
const newKey = (daemon: TestDaemon, n: number) =>
  ask(daemon, "POST", "/v1/keys", { id: key(n), secret: SECRET });
const newLayer = (daemon: TestDaemon, n: number) =>
  send(daemon.controlPort, `/v1/layers/layer-${n}`, {
    method: "POST",
    headers: { authorization: `Bearer ${daemon.key}`, "content-type": "application/zip" },
    body: makeZip([{ name: "a.txt", data: "a" }]),
  }).catch(() => undefined);
const newHook = (daemon: TestDaemon, n: number) =>
  ask(daemon, "POST", "/v1/hooks", {
    name: `hook-${n}`,
    provider: "github",
    function: "greet",
    secret: SECRET,
  });
const newRoute = (daemon: TestDaemon, n: number) =>
  ask(daemon, "POST", "/v1/routes", { route: `GET /r${n}`, host: "api.example.org", function: "greet" });
const newSchedule = (daemon: TestDaemon, n: number) =>
  ask(daemon, "PUT", `/v1/schedules/s${n}`, { function: "greet", expression: "0 3 * * *" });
const newRule = (daemon: TestDaemon, n: number) =>
  rule(daemon, "PutRule", { Name: `rule-${n}`, ScheduleExpression: "rate(1 hour)" });
const newSource = (daemon: TestDaemon, n: number, sqs: FakeSqs) =>
  ask(daemon, "POST", "/v1/sources", {
    function: "greet",
    from: `arn:aws:sqs:us-east-1:000000000000:q${n}`,
    endpoint: sqs.url,
    accessKeyId: sqs.login.accessKeyId,
    secret: sqs.login.secret,
  });

/** Removes what `made` makes, by the id that a list gives it. */
async function remove(
  daemon: TestDaemon,
  list: string,
  member: string,
  value: string,
): Promise<Answer | undefined> {
  const found = await read(daemon, `/v1/${list}?limit=500`).catch(() => undefined);
  const items = found?.[list];
  const one = Array.isArray(items) ? items.find((item) => Object(item)[member] === value) : undefined;
  return await ask(daemon, "DELETE", `/v1/${list}/${Object(one).id ?? "none"}`);
}

const isThere = (list: string, member: string, value: (n: number) => string) => ({
  count: async (daemon: TestDaemon, n: number) =>
    having((await read(daemon, `/v1/${list}?limit=500`))[list], member, value(n)),
});
const isGone = (list: string, member: string, value: (n: number) => string) => ({
  count: async (daemon: TestDaemon, n: number) =>
    1 - having((await read(daemon, `/v1/${list}?limit=500`))[list], member, value(n)),
});

/** Does it for each `n`, one after the other. */
const forEach =
  (make: (daemon: TestDaemon, n: number, sqs: FakeSqs) => Promise<Answer | undefined>) =>
  async (daemon: TestDaemon, times: number, sqs: FakeSqs) => {
    await deploy(daemon, "greet");
    for (let n = 1; n <= times; n += 1) await must(make(daemon, n, sqs));
  };
const greet = (daemon: TestDaemon) => deploy(daemon, "greet");
const queues = (sqs: FakeSqs, times: number) => {
  for (let n = 1; n <= times; n += 1) sqs.create(`q${n}`);
};

const projectFile = (name: string) => ({
  "lambda.yaml": `project: ${name}\nfunctions:\n  ${name}-orders: {}\n`,
  [`${name}-orders/index.mjs`]: CODE["index.mjs"],
});
async function makeProject(daemon: TestDaemon, name: string): Promise<void> {
  using folder = makeFolder(projectFile(name));
  const made = await daemon.lambda("deploy", folder.path);
  if (made.code !== 0) throw new Error(made.stderr);
}

export const CHANGES: readonly PeoplesChange[] = [
  {
    what: "a key is made",
    operation: "saveKey",
    call: "keys.saveKey",
    prepare: async () => {},
    change: newKey,
    ...isThere("keys", "id", key),
  },
  {
    what: "a key is revoked",
    operation: "saveKey",
    call: "keys.saveKey",
    prepare: forEach(newKey),
    change: (daemon, n) => ask(daemon, "DELETE", `/v1/keys/${key(n)}`),
    async count(daemon, n) {
      const authorization = `Bearer ${key(n)}.${SECRET}`;
      const { status } = await daemon.control("GET", "/v1/status", undefined, { authorization });
      return status === 401 ? 1 : 0;
    },
  },
  {
    what: "a layer is published",
    operation: "publishLayer",
    call: "layers.publish",
    prepare: async () => {},
    // The same again would be its next version, as it is with Lambda.
    async change(daemon, n) {
      const { status } = await daemon.control("GET", `/v1/layers/layer-${n}`);
      return status === 200 ? undefined : await newLayer(daemon, n);
    },
    async count(daemon, n) {
      const { text } = await daemon.control("GET", `/v1/layers/layer-${n}`);
      return (JSON.parse(text).versions ?? []).length;
    },
  },
  {
    what: "a version of a layer is deleted",
    operation: "deleteLayerVersion",
    call: "layers.deleteVersion",
    prepare: forEach(newLayer),
    change: (daemon, n) => ask(daemon, "DELETE", `/v1/layers/layer-${n}/1`),
    ...isGone("layers", "name", (n) => `layer-${n}`),
  },
  {
    what: "a function is made",
    operation: "saveFunction",
    call: "registry.saveFunction",
    prepare: async () => {},
    change: (daemon, n) =>
      ask(daemon, "POST", "/2015-03-31/functions", {
        FunctionName: `made-${n}`,
        Role: "arn:aws:iam::123456789012:role/any",
        Runtime: "nodejs22.x",
        Handler: "index.handler",
        Code: {
          ZipFile: makeZip([{ name: "index.mjs", data: CODE["index.mjs"] }]).toString("base64"),
        },
        Publish: true,
      }),
    async count(daemon, n) {
      const { status, text } = await daemon.control("GET", `/v1/functions/made-${n}/versions`);
      if (status !== 200) return 0;
      const answer = await daemon.control("POST", `/2015-03-31/functions/made-${n}/invocations`, {});
      return answer.text === "1" ? JSON.parse(text).versions.length : 0;
    },
  },
  {
    what: "a function is given variables",
    operation: "saveFunction",
    call: "registry.saveFunction",
    prepare: (daemon, times) =>
      deploy(daemon, ...Array.from({ length: times }, (_, index) => `of-${index + 1}`)),
    // The same again is a version of its own.
    async change(daemon, n) {
      const { text } = await daemon.control("GET", `/v1/functions/of-${n}`);
      if (JSON.parse(text).liveVersion === 2) return undefined;
      return await ask(daemon, "PATCH", `/v1/functions/of-${n}`, { environment: { set: { A: "1" } } });
    },
    async count(daemon, n) {
      const { versions } = await read(daemon, `/v1/functions/of-${n}/versions`);
      return Array.isArray(versions) ? versions.length - 1 : 0;
    },
  },
  {
    what: "an alias is made",
    operation: "saveFunction",
    call: "registry.saveFunction",
    prepare: greet,
    change: (daemon, n) => ask(daemon, "PUT", `/v1/functions/greet/aliases/a${n}`, { version: "1" }),
    count: async (daemon, n) =>
      having((await read(daemon, "/v1/functions/greet/aliases")).aliases, "name", `a${n}`),
  },
  {
    what: "a version is deleted",
    operation: "deleteVersion",
    call: "registry.deleteVersion",
    async prepare(daemon, times) {
      await greet(daemon);
      for (let n = 1; n <= times; n += 1) {
        const environment = { set: { N: `${n}` } };
        await must(ask(daemon, "PATCH", "/v1/functions/greet", { environment }));
      }
    },
    change: (daemon, n) => ask(daemon, "DELETE", `/v1/functions/greet/versions/${n}`),
    count: async (daemon, n) =>
      1 - having((await read(daemon, "/v1/functions/greet/versions")).versions, "number", n),
  },
  {
    what: "a function is deleted",
    operation: "deleteFunction",
    call: "registry.deleteFunction",
    prepare: (daemon, times) =>
      deploy(daemon, ...Array.from({ length: times }, (_, index) => `f${index + 1}`)),
    change: (daemon, n) => ask(daemon, "DELETE", `/v1/functions/f${n}`),
    count: async (daemon, n) => ((await daemon.call(`f${n}`)).status === 404 ? 1 : 0),
  },
  {
    what: "a hook is made",
    operation: "saveHook",
    call: "hooks.save",
    prepare: greet,
    change: newHook,
    ...isThere("hooks", "name", (n) => `hook-${n}`),
  },
  {
    what: "a hook is deleted",
    operation: "deleteHook",
    call: "hooks.remove",
    prepare: forEach(newHook),
    change: (daemon, n) => ask(daemon, "DELETE", `/v1/hooks/hook-${n}`),
    ...isGone("hooks", "name", (n) => `hook-${n}`),
  },
  {
    what: "a route is made",
    operation: "saveRoute",
    call: "routes.save",
    prepare: greet,
    change: newRoute,
    async count(daemon, n) {
      const { status } = await daemon.call("greet", `/r${n}`, { headers: { host: "api.example.org" } });
      const { routes } = await read(daemon, "/v1/routes?limit=500");
      return status === 200 ? having(routes, "route", `GET /r${n}`) : 0;
    },
  },
  {
    what: "a route is removed",
    operation: "deleteRoute",
    call: "routes.remove",
    prepare: forEach(newRoute),
    change: (daemon, n) => remove(daemon, "routes", "route", `GET /r${n}`),
    async count(daemon, n) {
      const { status } = await daemon.call("greet", `/r${n}`, { headers: { host: "api.example.org" } });
      return status === 404 ? 1 : 0;
    },
  },
  {
    what: "a source is made",
    operation: "saveSource",
    call: "sources.save",
    async prepare(daemon, times, sqs) {
      await greet(daemon);
      queues(sqs, times);
    },
    change: newSource,
    ...isThere("sources", "from", (n) => `arn:aws:sqs:us-east-1:000000000000:q${n}`),
  },
  {
    what: "a source is removed",
    operation: "deleteSource",
    call: "sources.remove",
    async prepare(daemon, times, sqs) {
      queues(sqs, times);
      await forEach(newSource)(daemon, times, sqs);
    },
    change: (daemon, n) => remove(daemon, "sources", "from", `arn:aws:sqs:us-east-1:000000000000:q${n}`),
    ...isGone("sources", "from", (n) => `arn:aws:sqs:us-east-1:000000000000:q${n}`),
  },
  {
    what: "a schedule is made",
    operation: "saveSchedule",
    call: "schedules.save",
    prepare: greet,
    change: newSchedule,
    ...isThere("schedules", "name", (n) => `s${n}`),
  },
  {
    what: "a schedule is deleted",
    operation: "deleteSchedule",
    call: "schedules.remove",
    prepare: forEach(newSchedule),
    change: (daemon, n) => ask(daemon, "DELETE", `/v1/schedules/s${n}`),
    ...isGone("schedules", "name", (n) => `s${n}`),
  },
  {
    what: "a rule of EventBridge is put",
    operation: "saveRule",
    call: "rules.save",
    prepare: greet,
    change: newRule,
    count: async (daemon, n) =>
      having((await must(rule(daemon, "ListRules", {}))).Rules, "Name", `rule-${n}`),
  },
  {
    what: "a rule of EventBridge is deleted",
    operation: "deleteRule",
    call: "rules.remove",
    prepare: forEach(newRule),
    change: (daemon, n) => rule(daemon, "DeleteRule", { Name: `rule-${n}` }),
    count: async (daemon, n) =>
      1 - having((await must(rule(daemon, "ListRules", {}))).Rules, "Name", `rule-${n}`),
  },
  {
    what: "a project is deployed",
    operation: "applyProject",
    call: "projects.apply",
    prepare: async () => {},
    async change(daemon, n) {
      await makeProject(daemon, `shop-${n}`).catch(() => undefined);
      return undefined;
    },
    async count(daemon, n) {
      const { status, text } = await daemon.control("GET", `/v1/projects/shop-${n}/releases`);
      return status === 200 ? JSON.parse(text).releases.length : 0;
    },
  },
  {
    what: "a project is deleted",
    operation: "deleteProject",
    call: "projects.remove",
    async prepare(daemon, times) {
      for (let n = 1; n <= times; n += 1) await makeProject(daemon, `shop-${n}`);
    },
    change: (daemon, n) => ask(daemon, "DELETE", `/v1/projects/shop-${n}`),
    ...isGone("projects", "name", (n) => `shop-${n}`),
  },
];
