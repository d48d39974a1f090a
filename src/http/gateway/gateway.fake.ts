import assert from "node:assert/strict";
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { PlatformError } from "../../core/errors.ts";
import {
  type EntryKind,
  type FunctionRecord,
  type FunctionUrl,
  TEXT_LOGGING,
  type Version,
} from "../../core/function.ts";
import { type FunctionSettings, SETTINGS_DEFAULT } from "../../core/function-settings.ts";
import { type FunctionName, parseFunctionName } from "../../core/ids.ts";
import { silentLog } from "../../core/log.ts";
import { type FakeFunction, type FakeInvocations, fakeInvocations } from "../../invoker/invocations.fake.ts";
import type { Tunnel } from "../../invoker/invocations.ts";
import type { Target } from "../../registry/target.ts";
import type { Listener } from "../listener.ts";
import type { GatewayPorts } from "./exchange.ts";
import { type GatewayParts, openGateway } from "./gateway.ts";

export interface FakeFunctionFacts {
  readonly settings?: FunctionSettings;
  readonly kind?: EntryKind;
  readonly aliases?: readonly string[];
  readonly urls?: readonly FunctionUrl[];
}

/** A registry of the functions given, each at version 1. */
export function fakeFunctions(known: Readonly<Record<string, FakeFunctionFacts>>): GatewayPorts["functions"] {
  function find(name: FunctionName, qualifier: string | undefined): Target | undefined {
    const facts = known[name];
    if (!facts) return undefined;
    const isKnown =
      qualifier === undefined ||
      qualifier === "1" ||
      qualifier === "$LATEST" ||
      facts.aliases?.includes(qualifier);
    if (!isKnown) return undefined;
    return fakeTarget(name, facts, qualifier);
  }
  async function resolve(name: FunctionName, qualifier: string | undefined): Promise<Target> {
    const target = find(name, qualifier);
    if (!target) throw new PlatformError("FunctionNotFound", `no function is called "${name}"`);
    return target;
  }
  return {
    resolve,
    resolveCached: find,
    async findByUrlId(urlId) {
      for (const [name, facts] of Object.entries(known)) {
        if (facts.urls?.some((url) => url.urlId === urlId)) return fakeTarget(name, facts, undefined).record;
      }
      return undefined;
    },
  };
}

function fakeTarget(name: string, facts: FakeFunctionFacts, qualifier?: string): Target {
  const functionName = parseFunctionName(name);
  assert.ok(functionName, name);
  const version: Version = {
    functionName,
    label: "$LATEST",
    revisionId: "r1",
    code: { treeId: "t", archiveSha256: "s", archiveBytes: 1, treeBytes: 1 },
    config: {
      runtime: "nodejs24.x",
      entry: entryOf(facts.kind ?? "handler"),
      description: "",
      memoryMib: 128,
      timeoutMs: 3000,
      tmpMib: 512,
      environment: {},
      network: "none",
      slotsPerInstance: 1,
      architecture: "x86_64",
      role: "",
      layers: [],
      optTreeId: undefined,
      logging: TEXT_LOGGING,
    },
    modifiedAt: 0,
  };
  const record: FunctionRecord = {
    name: functionName,
    generation: 1,
    createdAt: 0,
    latest: version,
    liveVersion: 1,
    nextVersion: 2,
    aliases: [],
    urls: facts.urls ?? [],
    eventInvokeConfigs: [],
    concurrencyMax: undefined,
    tags: {},
    settings: facts.settings ?? SETTINGS_DEFAULT,
  };
  return { record, version, qualifier };
}

function entryOf(kind: EntryKind): Version["config"]["entry"] {
  switch (kind) {
    case "handler":
      return { kind, handler: "index.handler" };
    case "lifecycle":
      return { kind, module: "index.js" };
    case "server":
    case "filter":
      return { kind, command: ["./program"] };
  }
}

export interface TestGateway extends AsyncDisposable {
  readonly listener: Listener;
  readonly port: number;
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly invocations: FakeInvocations;
}

export type TestGatewayFacts = Partial<Omit<GatewayParts, "functions" | "invocations">> & {
  readonly functions?: Readonly<Record<string, FakeFunctionFacts>>;
  readonly run?: FakeFunction;
  readonly tunnel?: (tunnel: Tunnel, context: { readonly signal: AbortSignal }) => Promise<void>;
};

/** A gateway on a free port in front of fake functions; `greet` is there if none are given. */
export async function startGateway(facts: TestGatewayFacts = {}): Promise<TestGateway> {
  const { functions = { greet: {} }, run, tunnel, ...parts } = facts;
  const invocations = fakeInvocations(
    run ?? (() => ({ kind: "returned", payload: Buffer.from("{}"), head: undefined, isStreamed: false })),
    tunnel,
  );
  const listener = await openGateway({
    findRelease: async () => undefined,
    host: "127.0.0.1",
    port: 0,
    setting: "LAMBDAD_GATEWAY",
    domains: ["localhost"],
    drainMs: 2_000,
    log: silentLog,
    showFunctionErrors: true,
    events: undefined,
    verifySignature: undefined,
    urlPermissions: "off",
    routes: undefined,
    ...parts,
    functions: fakeFunctions(functions),
    invocations,
  });
  return {
    listener,
    port: listener.address.port,
    url: listener.address.url,
    invocations,
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
}

export interface CallFacts {
  readonly method?: string;
  /** `greet.localhost` if none is given. */
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  readonly body?: string | Uint8Array;
}

/** One request on a connection of its own. Rejects if the response is cut off. */
export async function call(port: number, path: string, facts: CallFacts = {}): Promise<Answer> {
  const { method = "GET", host = "greet.localhost", headers = {}, body } = facts;
  const request = httpRequest({
    port,
    host: "127.0.0.1",
    path,
    method,
    agent: false,
    headers: { Host: host, ...headers },
  });
  request.end(body);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.on("response", resolve).on("error", reject);
  });
  const bytes = await buffer(response);
  return { status: response.statusCode ?? 0, headers: response.headers, body: bytes, text: bytes.toString() };
}

/**
 * Sends bytes as they are (text as Latin-1) and gives all that comes back until the server ends the connection. With
 * `halfClose`, our side ends after the bytes.
 */
export function exchangeRaw(
  port: number,
  bytes: string | Buffer,
  options: { readonly halfClose?: boolean } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(port, "127.0.0.1");
    let received = "";
    const overdue = setTimeout(() => {
      socket.destroy();
      reject(new Error(`the connection was not closed; received ${JSON.stringify(received)}`));
    }, 5_000);
    socket.setEncoding("latin1");
    socket.on("data", (text) => {
      received += String(text);
    });
    // A reset ends the exchange as well as an orderly close.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(overdue);
      resolve(received);
    });
    const data = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
    if (options.halfClose) socket.end(data);
    else socket.write(data);
  });
}

/** Status of a raw response; 0 if there is none. */
export function statusOf(response: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(response)?.[1] ?? 0);
}

/** The body of the first response, without its head. */
export function bodyOf(response: string): string {
  const end = response.indexOf("\r\n\r\n");
  return end === -1 ? "" : response.slice(end + 4);
}
