import { connect as connectTo, createServer, type Server } from "node:net";
import type { Duplex } from "node:stream";

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/**
 * The side of the engine's bridges on which this daemon can be met: this host's network for an engine that runs as root
 * here, a network namespace of its user for a rootless one.
 */
export interface BridgeSide extends AsyncDisposable {
  /** Whether it is this process's own network. */
  readonly isHere: boolean;
  /** A listener at an address on that side. Rejects with the system's error where the address is not. */
  listen(at: Endpoint): Promise<Server>;
  /** A connection from that side; rejects while nothing listens. */
  connect(to: Endpoint): Promise<Duplex>;
  /** The command by which a program works on that side's network, with all rights there that this daemon can have. */
  command(program: string, args: readonly string[]): readonly [string, readonly string[]];
  /** Resolves if the side has gone: what listened there is lost, and another has to be found. */
  readonly lost: Promise<void>;
}

const CONNECT_MS_MAX = 1_000;

/** Bridges that are on this host. */
export const HERE: BridgeSide = {
  isHere: true,
  lost: new Promise(() => undefined),
  listen: ({ address, port }) => {
    const server = createServer();
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: address, port }, () => {
        server.off("error", reject);
        resolve(server);
      });
    });
  },
  connect: ({ address, port }) => {
    const socket = connectTo({ host: address, port, noDelay: true });
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        socket.destroy(new Error(`no connection to ${address}:${port} within ${CONNECT_MS_MAX} ms`));
      }, CONNECT_MS_MAX);
      const settle = (done: () => void) => {
        clearTimeout(late);
        done();
      };
      socket.once("connect", () => settle(() => resolve(socket)));
      socket.once("error", (error) => settle(() => reject(error)));
    });
  },
  command: (program, args) => [program, args],
  [Symbol.asyncDispose]: async () => undefined,
};
