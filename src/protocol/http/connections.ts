import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Client } from "undici";
import { HEADER_BYTES_MAX } from "../../core/limits.ts";

/**
 * How long an idle connection is trusted to take a request that must not be sent twice. Programs close idle connections
 * after seconds; a request that crosses such a close in flight is lost, and nobody can tell whether it was seen.
 */
const TRUSTED_IDLE_MS = 1_000;
/** Our own end of it; programs that announce a shorter time are heeded (`Keep-Alive: timeout=5`). */
const IDLE_MS_MAX = 60_000;
/** undici asks for an origin; where the connection really goes, `open` decides. */
const ORIGIN = "http://sandbox";

/** One keep-alive connection to the program; connects when it is used, and again after it was closed. */
export class Connection {
  readonly client: Client;
  #socket: Duplex | undefined;
  #idleSince = 0;

  constructor(open: () => Promise<Duplex>) {
    this.client = new Client(ORIGIN, {
      pipelining: 1,
      maxHeaderSize: HEADER_BYTES_MAX,
      // The deadline of a call is its owner's.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: IDLE_MS_MAX,
      connect: (_options, callback) => {
        open().then(
          (socket) => {
            if (!isSocket(socket)) throw new TypeError("a connection to a program must be a stream of bytes");
            this.#socket = socket;
            callback(null, socket);
          },
          (error) => callback(error, null),
        );
      },
    });
  }

  /** Whether a request sent now would go out on a socket that was open before. */
  isReused(): boolean {
    return this.#socket !== undefined && !this.#socket.destroyed;
  }

  becomesIdle(): void {
    this.#idleSince = performance.now();
  }

  /** Whether the program can be relied on not to be closing it at this moment. */
  isTrusted(): boolean {
    return !this.isReused() || performance.now() - this.#idleSince < TRUSTED_IDLE_MS;
  }

  /** Closes it at once, whatever is under way on it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.destroy().catch(() => undefined);
  }
}

/** The connections to one program: as many as there are requests at a time, the last used taken first. */
export class Connections implements AsyncDisposable {
  readonly #open: () => Promise<Duplex>;
  readonly #closesIdle: boolean;
  readonly #all = new Set<Connection>();
  readonly #idle: Connection[] = [];
  #spare: { readonly socket: Duplex; readonly since: number } | undefined;

  constructor(open: () => Promise<Duplex>, program: { readonly closesIdleConnections: boolean }) {
    this.#open = open;
    this.#closesIdle = program.closesIdleConnections;
  }

  /** Keeps a socket that is open already for the next connection that is made, if that is soon. */
  adopt(socket: Duplex): void {
    this.#spare = { socket, since: performance.now() };
    // An error of an idle socket means no more than that it is closed; only one that is read notices that it was.
    socket.once("error", () => undefined);
    socket.resume();
  }

  /** A connection for one request; unless that may be sent twice, one that can be relied on. */
  take(options: { readonly isRepeatable: boolean }): Connection {
    for (let connection = this.#idle.pop(); connection; connection = this.#idle.pop()) {
      if (options.isRepeatable || !this.#closesIdle || connection.isTrusted()) return connection;
      this.discard(connection);
    }
    return this.takeFresh();
  }

  /** A connection that has carried nothing yet. */
  takeFresh(): Connection {
    const connection = new Connection(() => this.#connect());
    this.#all.add(connection);
    return connection;
  }

  giveBack(connection: Connection): void {
    connection.becomesIdle();
    this.#idle.push(connection);
  }

  discard(connection: Connection): void {
    this.#all.delete(connection);
    void connection[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#spare?.socket.destroy();
    this.#idle.length = 0;
    await Promise.all([...this.#all].map((connection) => connection[Symbol.asyncDispose]()));
    this.#all.clear();
  }

  async #connect(): Promise<Duplex> {
    const spare = this.#spare;
    this.#spare = undefined;
    if (!spare) return this.#open();
    const isGood = !spare.socket.destroyed && performance.now() - spare.since < TRUSTED_IDLE_MS;
    if (isGood) return spare.socket;
    spare.socket.destroy();
    return this.#open();
  }
}

/** undici's types ask for a socket; of it, its HTTP/1.1 client uses what every stream of bytes has. */
function isSocket(stream: Duplex): stream is Socket {
  return !stream.readableObjectMode && !stream.writableObjectMode;
}
