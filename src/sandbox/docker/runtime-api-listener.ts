import { createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { PlatformError } from "../../core/errors.ts";

/** The same in every container, at the gateway of its network. */
export const RUNTIME_API_PORT = 9001;

const CONNECTIONS_MAX = 4_096;

/**
 * Where containers find the Runtime API: one listener on each of our networks, at the host's own address there. Whose a
 * connection is shows in where it comes from: containers have addresses that we gave them, and no right to forge another
 * (no capabilities, so neither raw sockets nor a change of address).
 */
export class RuntimeApiListener implements AsyncDisposable {
  readonly #owners = new Map<string, (socket: Duplex) => void>();
  readonly #sockets = new Set<Socket>();
  readonly #servers: Server[] = [];

  /** @throws PlatformError `EngineUnavailable` where the engine's networks are not this host's: rootless, or in a machine of its own. */
  async listen(address: string): Promise<void> {
    const server = createServer((socket) => this.#admit(socket));
    server.maxConnections = CONNECTIONS_MAX;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) => reject(cannotListen(address, cause)));
      server.listen({ host: address, port: RUNTIME_API_PORT }, resolve);
    });
    this.#servers.push(server);
  }

  register(address: string, onConnection: (socket: Duplex) => void): void {
    this.#owners.set(address, onConnection);
  }

  unregister(address: string): void {
    this.#owners.delete(address);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(
      this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
  }

  #admit(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", () => undefined);
    const owner = this.#owners.get(socket.remoteAddress ?? "");
    if (owner) owner(socket);
    else socket.destroy();
  }
}

function cannotListen(address: string, cause: Error): PlatformError {
  const message =
    "code" in cause && cause.code === "EADDRNOTAVAIL"
      ? `the container engine's network ${address} is not on this host (a rootless engine, or one in a virtual machine): use an engine that runs as root on this host`
      : `cannot offer the Runtime API to containers at ${address}:${RUNTIME_API_PORT}: ${cause.message}`;
  return new PlatformError("EngineUnavailable", message, { cause });
}
