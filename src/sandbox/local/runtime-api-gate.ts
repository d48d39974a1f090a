import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";

/** A Runtime API address on the loopback that sandboxes share with this host. Others can connect, and get nothing. */
export interface RuntimeApiGate extends AsyncDisposable {
  /** `HOST:PORT`. */
  readonly address: string;
}

/** Connections of one client that wait to be looked at; more are refused. */
const CONNECTIONS_MAX = 256;

/** Opens an address whose connections go to `onConnection` if `isOurs` says so; both ports are given to it. */
export async function openRuntimeApiGate(parts: {
  readonly isOurs: (clientPort: number, serverPort: number) => Promise<boolean>;
  readonly onConnection: (socket: Duplex) => void;
}): Promise<RuntimeApiGate> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    // Until somebody else handles them: a client may reset the connection while it is looked at.
    socket.on("error", () => undefined);
    void admit(parts, socket);
  });
  server.maxConnections = CONNECTIONS_MAX;
  await listenOnLoopback(server, 0);
  return {
    address: `127.0.0.1:${portOf(server)}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await closed(server);
    },
  };
}

async function admit(parts: Parameters<typeof openRuntimeApiGate>[0], socket: Socket): Promise<void> {
  const { remotePort, localPort } = socket;
  const isOurs =
    remotePort !== undefined &&
    localPort !== undefined &&
    (await parts.isOurs(remotePort, localPort).catch(() => false));
  if (socket.destroyed) return;
  if (isOurs) parts.onConnection(socket);
  else socket.destroy();
}

/** A port of the loopback that nobody listens on, and that this function has not given out lately. */
export async function claimFreePort(recent: Set<number>): Promise<number> {
  for (;;) {
    const server = createServer();
    await listenOnLoopback(server, 0);
    const port = portOf(server);
    await closed(server);
    if (recent.has(port)) continue;
    recent.add(port);
    const [oldest] = recent;
    if (recent.size > RECENT_PORTS_MAX && oldest !== undefined) recent.delete(oldest);
    return port;
  }
}

const RECENT_PORTS_MAX = 1_000;

async function listenOnLoopback(server: Server, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

async function closed(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server does not listen");
  return address.port;
}
