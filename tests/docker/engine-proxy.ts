/**
 * A proxy in front of an engine's socket that makes calls go wrong: `fail` answers 500 and does nothing, `lose` lets the engine do
 * it and closes the connection without a word, `hang` lets the engine do it and never answers. Which call it is, a seed decides.
 */

import { once } from "node:events";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { seededRandom } from "../../src/core/seeded-random.fake.ts";

export type EngineFault = "fail" | "lose" | "hang";

export interface FaultRule {
  /** `POST /containers/create`, without the API's version. */
  readonly call: RegExp;
  readonly fault: EngineFault;
  /** Of those calls, from 0 to 1. */
  readonly share: number;
}

export interface EngineProxy extends AsyncDisposable {
  readonly socketPath: string;
  /** What goes wrong from now on. */
  rules: readonly FaultRule[];
  /** What has gone wrong: `lose POST /containers/create` → how often. */
  readonly happened: Map<string, number>;
}

export async function startEngineProxy(engineSocket: string, at: string, seed: number): Promise<EngineProxy> {
  const random = seededRandom(seed);
  const sockets = new Set<Duplex>();
  const happened = new Map<string, number>();
  const proxy: EngineProxy = {
    socketPath: at,
    rules: [],
    happened,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
  const faultOf = (incoming: IncomingMessage): EngineFault | undefined => {
    const call = nameOf(incoming);
    const rule = proxy.rules.find((each) => each.call.test(call) && random() < each.share);
    if (!rule) return undefined;
    const what = `${rule.fault} ${call}`;
    happened.set(what, (happened.get(what) ?? 0) + 1);
    return rule.fault;
  };
  const server: Server = createServer((incoming, answer) => pass(engineSocket, incoming, answer, faultOf));
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("upgrade", (incoming: IncomingMessage, socket: Duplex, head: Buffer) =>
    upgrade(engineSocket, incoming, socket, head, faultOf(incoming)),
  );
  server.listen(at);
  await once(server, "listening");
  return proxy;
}

/** Ids and names replaced, so that what is the same is counted as the same. */
function nameOf({ method, url = "" }: IncomingMessage): string {
  const path = (url.split("?")[0] ?? "").replace(/^\/v1\.\d+/, "");
  const plain = path
    .replace(/^\/(containers|networks)\/(?!create$|json$)[^/]+/, "/$1/ID")
    .replace(/^\/images\/(?!create$|json$)(.*?)(\/(?:json|tag|push))?$/, "/images/ID$2");
  return `${method} ${plain}`;
}

function pass(
  engineSocket: string,
  incoming: IncomingMessage,
  answer: ServerResponse,
  faultOf: (incoming: IncomingMessage) => EngineFault | undefined,
): void {
  const fault = faultOf(incoming);
  if (fault === "fail") {
    incoming.resume();
    answer.writeHead(500, { "Content-Type": "application/json" }).end('{"message":"injected: it failed"}');
    return;
  }
  const { method, url: path, headers } = incoming;
  const outgoing = request({ socketPath: engineSocket, path, method, headers, agent: false });
  outgoing.on("response", (reply) => {
    if (fault === undefined) {
      answer.writeHead(reply.statusCode ?? 502, reply.headers);
      reply.pipe(answer);
      return;
    }
    reply.resume();
    // It is done, and nobody is told.
    reply.on("end", () => {
      if (fault === "lose") answer.destroy();
    });
  });
  outgoing.on("error", () => answer.destroy());
  answer.on("close", () => outgoing.destroy());
  incoming.pipe(outgoing);
}

function upgrade(
  engineSocket: string,
  { method, url, rawHeaders }: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  fault: EngineFault | undefined,
): void {
  socket.on("error", () => undefined);
  if (fault === "fail") {
    socket.end("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    return;
  }
  const engine = connect({ path: engineSocket, allowHalfOpen: true });
  engine.on("error", () => socket.destroy());
  const lines = [`${method} ${url} HTTP/1.1`];
  for (let at = 0; at < rawHeaders.length; at += 2) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  engine.write(`${lines.join("\r\n")}\r\n\r\n`);
  engine.write(head);
  if (fault === undefined) {
    engine.pipe(socket);
    socket.pipe(engine);
  } else if (fault === "lose") engine.once("data", () => socket.destroy());
  socket.on("close", () => engine.destroy());
  engine.on("close", () => socket.destroy());
}
