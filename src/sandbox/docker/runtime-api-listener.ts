import type { Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { PlatformError } from "../../core/errors.ts";
import type { BridgeSide } from "./bridge-side.ts";

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
  readonly side: BridgeSide;

  constructor(side: BridgeSide) {
    this.side = side;
  }

  /** @throws PlatformError `EngineUnavailable` where the engine's networks are nowhere on this host. */
  async listen(address: string): Promise<void> {
    try {
      const server = await this.side.listen({ address, port: RUNTIME_API_PORT });
      server.maxConnections = CONNECTIONS_MAX;
      server.on("connection", (socket) => this.#admit(socket));
      this.#servers.push(server);
    } catch (cause) {
      throw cannotListen(address, cause);
    }
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

function cannotListen(address: string, cause: unknown): PlatformError {
  const isElsewhere = cause instanceof Error && "code" in cause && cause.code === "EADDRNOTAVAIL";
  const why = cause instanceof Error ? cause.message : String(cause);
  const message = isElsewhere
    ? `the container engine's network ${address} cannot be found on this host: an engine in a virtual machine cannot be used, a rootless one by lambdad as the same user`
    : `cannot offer the Runtime API to containers at ${address}:${RUNTIME_API_PORT}: ${why}`;
  return new PlatformError("EngineUnavailable", message, { cause });
}
