import { connect, createServer, type Server } from "node:net";

/**
 * A port that stays the same for a debugger, whichever instance serves now: every instance has an inspector on a port of its
 * own, since the next one is up before the last has gone.
 */
export interface DebugRelay extends Disposable {
  readonly port: number;
  /** New connections go there from now on. */
  aim(port: number): void;
}

const PORTS_TRIED_MAX = 100;

/** Listens on the first port of this machine that is free from `first` on. */
export async function openDebugRelay(first: number): Promise<DebugRelay> {
  let target: number | undefined;
  const server = createServer((client) => {
    client.on("error", () => undefined);
    if (target === undefined) {
      client.destroy();
      return;
    }
    const instance = connect(target, "127.0.0.1");
    instance.on("error", () => client.destroy());
    client.on("close", () => instance.destroy());
    instance.on("close", () => client.destroy());
    client.pipe(instance).pipe(client);
  });
  const port = await listen(server, first);
  server.unref();
  return {
    port,
    aim(to) {
      target = to;
    },
    [Symbol.dispose]() {
      server.close();
    },
  };
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
