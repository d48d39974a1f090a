/** A running control listener over a real store, registry and depot, in a folder of its own; calls are answered here. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CreateFunctionCommandInput, LambdaClient } from "@aws-sdk/client-lambda";
import { makeZip } from "../../code/archive-maker.fake.ts";
import { openDepot } from "../../code/depot.ts";
import { systemClock } from "../../core/clock.ts";
import { PlatformError } from "../../core/errors.ts";
import { parseFunctionName } from "../../core/ids.ts";
import { silentLog } from "../../core/log.ts";
import { Scope } from "../../core/scope.ts";
import type { InvocationRequest, InvocationResult } from "../../invoker/invocations.ts";
import { replay } from "../../invoker/replay.ts";
import { newHostLoad } from "../../records/host-load.ts";
import { openMetrics } from "../../records/metrics/file-metrics.ts";
import type { Metrics } from "../../records/metrics/metrics.ts";
import { openRecordings } from "../../records/recordings/file-recordings.ts";
import type { Recordings } from "../../records/recordings/recordings.ts";
import type { LogLine, LogQuery } from "../../records/records.ts";
import { openFunctions } from "../../registry/function-registry.ts";
import type { Functions } from "../../registry/functions.ts";
import { hooksOfReleases } from "../../registry/hook-releases.ts";
import { HOOK_SECRETS } from "../../registry/hook-secrets.ts";
import { openProjectBook } from "../../registry/project-book.ts";
import { openRouteBook } from "../../registry/route-book.ts";
import { sourcesOfReleases } from "../../registry/source-releases.ts";
import type { Target } from "../../registry/target.ts";
import { Turns } from "../../registry/turns.ts";
import { openSqliteStore } from "../../store/sqlite/sqlite-store.ts";
import type { Store } from "../../store/store.ts";
import type { Account } from "./aws/names.ts";
import { openControl } from "./control.ts";
import { type KeyRing, type NewKey, openKeyRing } from "./keys.ts";
import type { ControlParts } from "./parts.ts";

export const ACCOUNT: Account = { account: "123456789012", region: "eu-central-1" };

export const ROLE = "arn:aws:iam::123456789012:role/service";

export function zipOf(content = "exports.handler = async () => 1;"): Buffer {
  return makeZip([{ name: "index.js", data: content }]);
}

export interface TestRequest {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** `null` sends none. */
  readonly token?: string | null;
  readonly body?: string | Buffer;
}

export interface TestAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: unknown;
}

export interface TestControl extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly dir: string;
  readonly functions: Functions;
  readonly store: Store;
  readonly metrics: Metrics;
  readonly recordings: Recordings;
  readonly keys: KeyRing;
  /** `ID.SECRET` of the admin key. */
  readonly token: string;
  /** Decides what a call comes to; echoes the payload until it is replaced. */
  answer: (target: Target, request: InvocationRequest, signal: AbortSignal) => Promise<InvocationResult>;
  logs: (query: LogQuery, signal: AbortSignal) => AsyncIterable<LogLine>;
  warm: ControlParts["warm"];
  prepare: ControlParts["prepare"];
  provisioned: ControlParts["provisioned"];
  readonly forgotten: string[];
  send(request: TestRequest): Promise<TestAnswer>;
  /** An SDK client of a key; of the admin key if none is given. It does not retry. */
  sdk(token?: string): LambdaClient;
  issue(key: Partial<NewKey>): Promise<string>;
}

export async function startControl(changed: Partial<ControlParts> = {}): Promise<TestControl> {
  const scope = new Scope();
  const dir = await mkdtemp(join(tmpdir(), "control-test-"));
  scope.defer(() => rm(dir, { recursive: true, force: true }));
  const store = scope.own(
    await openSqliteStore({ dir: join(dir, "data"), log: silentLog, clock: systemClock }),
  );
  const functions = openFunctions({
    releases: store.projects,
    registry: store.registry,
    clock: systemClock,
    changed: () => undefined,
    removed: (name) => routeBook.functionRemoved(name),
  });
  const domains = ["localhost"];
  const { routes } = store;
  const routeBook = await openRouteBook({ routes, functions, domains, clock: systemClock });
  const depot = await openDepot({ dir: join(dir, "depot"), log: silentLog, clock: systemClock });
  const keys = await openKeyRing({ dir, keys: store.keys, clock: systemClock });
  const token = (await readFile(join(dir, "admin.key"), "utf8")).trim();
  const forgotten: string[] = [];
  const metrics = scope.own(
    openMetrics({
      dir: join(dir, "metrics"),
      usageOf: () => ({ instances: 1, memoryMib: 40 }),
      clock: systemClock,
      log: silentLog,
    }),
  );

  const hookTurns = new Turns();
  const recordings = scope.own(
    openRecordings({ dir: join(dir, "recordings"), clock: systemClock, log: silentLog }),
  );

  const projects = openProjectBook({
    projects: store.projects,
    registry: store.registry,
    schedules: store.schedules,
    functions,
    routes: routeBook,
    hooks: hooksOfReleases({
      hooks: store.hooks,
      box: keys.sealerFor(HOOK_SECRETS),
      turns: hookTurns,
      clock: systemClock,
    }),
    sources: sourcesOfReleases({
      sources: store.sources,
      inspect: (source) => parts.sourceWork.inspect(source),
      seal: (id, secret) => parts.sourceWork.seal(id, secret),
      unseal: (id, sealed) => parts.sourceWork.unseal(id, sealed),
      changed: (id) => parts.sourceWork.changed(id),
      clock: systemClock,
    }),
    listener: {
      releaseStarting: () => undefined,
      releaseMade: () => undefined,
      releaseLive: () => undefined,
      releaseLetGo: () => undefined,
    },
    clock: systemClock,
  });

  const parts: ControlParts = {
    ...ACCOUNT,
    host: "127.0.0.1",
    port: 0,
    hostNames: ["lambda.example.org"],
    uploadDir: join(dir, "uploads"),
    drainMs: 5_000,
    functions,
    invocations: { invoke: (target, request, { signal }) => control.answer(target, request, signal) },
    depot,
    records: {
      read: (query, { signal }) => control.logs(query, signal),
      forget: async (name) => {
        forgotten.push(name);
      },
    },
    recordings,
    replay: (recording, target, options) => {
      const invocations = {
        invoke: (called: Target, request: InvocationRequest, { signal }: { signal: AbortSignal }) =>
          control.answer(called, request, signal),
      };
      return replay({ invocations, records: { line: () => undefined } }, recording, target, options);
    },
    metrics,
    canaries: {
      figuresOf: async () => ({ calls: 0, errors: 0 }),
      figuresOfRelease: async () => ({ calls: 0, errors: 0, functions: [] }),
    },
    shadows: { find: async () => undefined, forget: async () => undefined },
    hostLoad: newHostLoad(),
    layers: store.layers,
    schedules: store.schedules,
    rules: store.rules,
    hooks: store.hooks,
    hookTurns,
    deploymentWaits: () => undefined,
    routeBook,
    sealTokenSecret: async (issuer, secret) => keys.sealerFor("tokens").seal(issuer, secret),
    domains,
    sources: store.sources,
    sourceWork: {
      inspect: async ({ origin }) =>
        origin.kind === "sqs"
          ? { kind: "sqs", visibilityMs: 30_000, isFifo: false }
          : { kind: "nats", ackWaitMs: 30_000 },
      seal: async (id, secret) => keys.sealerFor("tests").seal(id, secret),
      unseal: async (id, sealed) => keys.sealerFor("tests").unseal(id, sealed),
      status: () => undefined,
      changed: () => undefined,
    },
    keys,
    runtimes: {
      resolve(runtime) {
        if (runtime.startsWith("java")) {
          throw new PlatformError(
            "RuntimeUnavailable",
            `${runtime} is not on this host: install a Java runtime`,
          );
        }
      },
      install: async (name) => ({ name, isHere: true, path: "/n", version: "1", remedy: undefined }),
      list: async () => [
        { name: "nodejs24.x", isHere: true, path: "/usr/bin/node", version: "24.0.0", remedy: undefined },
      ],
    },
    prepare: (upload, settings, options) => control.prepare(upload, settings, options),
    warm: (target, options) => control.warm(target, options),
    projects: { openBook: async () => projects, registry: store.registry },
    events: undefined,
    ledger: store.events,
    architecture: "x86_64",
    status: async () => ({
      version: "0.1.0",
      nodeVersion: process.version,
      startedAt: 1,
      gateway: "http://127.0.0.1:8080",
      control: "http://127.0.0.1:8081",
      dataDir: dir,
      functions: 0,
      instances: { idle: 0, busy: 0, starting: 0 },
      isolation: { isIsolated: true, gaps: [] },
    }),
    instances: () => ({ idle: 1, busy: 0, starting: 0 }),
    provisioned: (name, qualifier) => control.provisioned(name, qualifier),
    quotas: { concurrencyMax: undefined, unreservedMin: 0, requestsPerSecondMax: undefined },
    urls: {
      ofHost: (host) => `http://${host ?? "localhost"}:8080`,
      ofFunction: (name) => `http://${name}.localhost:8080`,
      ofRelease: ({ project, number }) => `http://r${number}--${project}.localhost:8080`,
      ofUrlId: (id) => `http://${id}.lambda-url.eu-central-1.localhost:8080/`,
      ofHook: (id) => `http://localhost:8080/_hooks/${id}`,
    },
    clock: systemClock,
    log: silentLog,
    ...changed,
  };

  const listener = scope.own(await openControl(parts));
  const { port, url } = listener.address;
  const control: TestControl = {
    url,
    port,
    dir,
    functions,
    store,
    metrics,
    recordings,
    keys,
    token,
    forgotten,
    answer: async (_target, request) => returned(payloadOf(request)),
    logs: async function* () {},
    warm: async () => 12.4,
    provisioned: () => ({ available: 0, problem: undefined }),
    async prepare(upload, settings, { signal }) {
      const code = await depot.takeIn(upload, { signal });
      return {
        code,
        entry: { kind: "handler", handler: settings.handler ?? "index.handler" },
        runtime: settings.runtime ?? "nodejs24.x",
        files: 1,
      };
    },
    send: (request) => send(port, token, request),
    sdk(other = token) {
      const [accessKeyId = "", secretAccessKey = ""] = splitToken(other);
      const client = new LambdaClient({
        endpoint: url,
        region: ACCOUNT.region,
        credentials: { accessKeyId, secretAccessKey },
        maxAttempts: 1,
      });
      scope.defer(() => client.destroy());
      return client;
    },
    async issue(key) {
      const issued = await keys.create({
        imported: undefined,
        description: "",
        scopes: ["invoke"],
        functions: "*",
        expiresAt: undefined,
        ...key,
      });
      return issued.token;
    },
    [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
  };
  return control;
}

export function splitToken(token: string): [id: string, secret: string] {
  const dot = token.indexOf(".");
  return [token.slice(0, dot), token.slice(dot + 1)];
}

export function returned(payload: Uint8Array): InvocationResult {
  return {
    outcome: { kind: "returned", payload, head: undefined, isStreamed: false },
    durationMs: 1,
    initMs: undefined,
    logTail: "START\nEND\n",
  };
}

export function payloadOf(request: InvocationRequest): Uint8Array {
  return request.input.kind === "event" ? request.input.payload : new Uint8Array(0);
}

/** What a client asks for when it makes a function from an archive. */
export function creation(
  name: string,
  more: Partial<CreateFunctionCommandInput> = {},
): CreateFunctionCommandInput {
  return {
    FunctionName: name,
    Role: ROLE,
    Runtime: "nodejs24.x",
    Handler: "index.handler",
    Code: { ZipFile: zipOf() },
    ...more,
  };
}

/** A function as a client would have made it. */
export async function makeFunction(control: TestControl, name: string, content?: string): Promise<void> {
  const answer = await control.send({
    method: "POST",
    path: "/2015-03-31/functions",
    body: JSON.stringify({
      FunctionName: name,
      Role: ROLE,
      Runtime: "nodejs24.x",
      Handler: "index.handler",
      Code: { ZipFile: zipOf(content).toString("base64") },
    }),
  });
  if (answer.status !== 201) throw new Error(`cannot make ${name}: ${answer.text}`);
}

export function named(name: string) {
  const parsed = parseFunctionName(name);
  if (!parsed) throw new Error(`${name} is no function name`);
  return parsed;
}

/** One request over a connection of its own, with exactly these headers and a Host that fits unless one is given. */
async function send(port: number, token: string, request: TestRequest): Promise<TestAnswer> {
  const { method = "GET", path, headers = {}, body } = request;
  const key = request.token === undefined ? token : request.token;
  const isOwnJson = path.startsWith("/v1") && typeof body === "string";
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      host: "127.0.0.1",
      port,
      method,
      path,
      agent: false,
      setHost: !("host" in headers),
      headers: {
        ...(key !== null && { authorization: `Bearer ${key}` }),
        ...(isOwnJson && { "content-type": "application/json" }),
        ...(body !== undefined && { "content-length": String(Buffer.byteLength(body)) }),
        ...headers,
      },
    });
    outgoing.on("error", reject);
    outgoing.on("response", async (response) => {
      try {
        const text = Buffer.concat(await response.toArray()).toString();
        const isJson = response.headers["content-type"] === "application/json";
        const json: unknown = isJson && text !== "" ? JSON.parse(text) : undefined;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json });
      } catch (error) {
        reject(error);
      }
    });
    outgoing.end(body);
  });
}
