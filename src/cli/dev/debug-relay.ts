import { connect, createServer, type Server, type Socket } from "node:net";

/**
 * A port that stays the same for a debugger, whichever instance serves now: every instance has an inspector on a port of its
 * own, since the next one is up before the last has gone.
 */
export interface DebugRelay extends Disposable {
  readonly port: number;
  /** New connections go there from now on, and when nothing listens there any more to where they went before. */
  aim(port: number): void;
}

const PORTS_TRIED_MAX = 100;
const TARGETS_KEPT_MAX = 16;

/** Listens on the first port of this machine that is free from `first` on. */
export async function openDebugRelay(first: number): Promise<DebugRelay> {
  // Latest first. One that does not start leaves the one before serving.
  let targets: readonly number[] = [];
  const server = createServer((client) => {
    client.on("error", () => undefined);
    void connectAny(targets).then((instance) => {
      if (!instance || client.destroyed) {
        instance?.destroy();
        client.destroy();
        return;
      }
      instance.on("error", () => client.destroy());
      client.on("close", () => instance.destroy());
      instance.on("close", () => client.destroy());
      client.pipe(instance).pipe(client);
    });
  });
  const port = await listen(server, first);
  server.unref();
  return {
    port,
    aim(to) {
      targets = [to, ...targets.filter((port) => port !== to)].slice(0, TARGETS_KEPT_MAX);
    },
    [Symbol.dispose]() {
      server.close();
    },
  };
}

/** The first that something listens on; undefined if nothing does on any. */
async function connectAny(ports: readonly number[]): Promise<Socket | undefined> {
  for (const port of ports) {
    const socket = connect(port, "127.0.0.1");
    const isConnected = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    });
    if (isConnected) return socket;
  }
  return undefined;
}

async function listen(server: Server, first: number): Promise<number> {
  for (let port = first; port < first + PORTS_TRIED_MAX; port += 1) {
    const isListening = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    server.removeAllListeners("error");
    if (isListening) return port;
  }
  throw new Error(`no port from ${first} on is free for a debugger`);
}
