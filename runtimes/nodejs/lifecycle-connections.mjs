// Connections to the daemon, on which it then is the HTTP client: a sandbox cannot make sockets that the host reaches. One
// more is kept open than there are in use, so that the next request need not wait.
import { connect } from "node:net";

const RETRY_MS = 1;
const RETRIES_MAX = 10_000;

export class Connections {
  /** @type {import("node:http").Server} */
  #server;
  #path;
  #max;
  /** @type {Set<import("node:net").Socket>} */
  #all = new Set();
  /** Those that have carried no request yet. @type {Set<import("node:net").Socket>} */
  #unused = new Set();
  #isClosed = false;

  /**
   * @param {import("node:http").Server} server one without a listener
   * @param {string} path the daemon's socket
   * @param {number} max
   */
  constructor(server, path, max) {
    this.#server = server;
    this.#path = path;
    this.#max = max;
    server.on("request", ({ socket }) => {
      if (this.#unused.delete(socket)) this.#keepOneReady();
    });
    this.#open(0);
  }

  /** Opens no more, and closes what carries nothing. */
  close() {
    this.#isClosed = true;
    for (const socket of this.#unused) socket.destroy();
  }

  #keepOneReady() {
    if (!this.#isClosed && this.#unused.size === 0 && this.#all.size < this.#max) this.#open(0);
  }

  /** The daemon may make its socket a moment after it has started us. @param {number} retry */
  #open(retry) {
    const socket = connect({ path: this.#path });
    this.#all.add(socket);
    this.#unused.add(socket);
    let isOpen = false;
    socket.once("connect", () => {
      isOpen = true;
      this.#server.emit("connection", socket);
    });
    socket.on("error", (error) => {
      if (!isOpen && retry >= RETRIES_MAX) console.error("the daemon cannot be reached:", error.message);
    });
    socket.once("close", () => {
      this.#all.delete(socket);
      this.#unused.delete(socket);
      if (isOpen) this.#keepOneReady();
      // The daemon has gone: nobody is left to work for.
      else if (retry >= RETRIES_MAX) process.exit(1);
      else if (!this.#isClosed) setTimeout(() => this.#open(retry + 1), RETRY_MS);
    });
  }
}
