import { createServer, type Server } from "node:net";
import type { Duplex } from "node:stream";
import type { ProgramLink } from "./channel.ts";

/**
 * Connections that the program makes to us and on which we then are the client: a sandbox can reach sockets of ours, but
 * must not make any. The program keeps one more open than it needs; whoever asks for one waits until it has.
 */
export class DialledIn implements ProgramLink {
  readonly #server: Server;
  readonly #ready: Duplex[] = [];
  readonly #wanting: PromiseWithResolvers<Duplex>[] = [];
  readonly #all = new Set<Duplex>();
  #isClosed = false;

  constructor(socketPath: string, connectionsMax: number) {
    this.#server = createServer((socket) => {
      if (this.#all.size >= connectionsMax) socket.destroy();
      else this.#take(socket);
    });
    // Without a listener the program never gets ready, which its owner sees.
    this.#server.on("error", () => undefined);
    // The program runs as another user; who can reach the folder is the driver's matter.
    this.#server.listen({ path: socketPath, readableAll: true, writableAll: true });
  }

  connect(): Promise<Duplex> {
    const wanted = Promise.withResolvers<Duplex>();
    const socket = this.#ready.shift();
    if (socket) wanted.resolve(socket);
    else if (this.#isClosed) wanted.reject(new Error("the channel is closed"));
    else this.#wanting.push(wanted);
    return wanted.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#server.close();
    for (const socket of this.#all) socket.destroy();
    for (const wanted of this.#wanting.splice(0)) wanted.reject(new Error("the channel is closed"));
  }

  #take(socket: Duplex): void {
    this.#all.add(socket);
    // An error ends a connection; nobody else need know.
    socket.on("error", () => undefined);
    socket.once("close", () => {
      this.#all.delete(socket);
      const index = this.#ready.indexOf(socket);
      if (index >= 0) this.#ready.splice(index, 1);
    });
    const wanted = this.#wanting.shift();
    if (wanted) wanted.resolve(socket);
    else this.#ready.push(socket);
  }
}
