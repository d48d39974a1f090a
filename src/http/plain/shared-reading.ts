import { Socket } from "node:net";

/** As much as node:net reads at once by itself. */
const READ_BYTES_MAX = 64 * 1024;

/** For all connections: who is told of bytes takes what it needs of them before the next are read. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES_MAX);

/** Gets the first `count` of `bytes`, which are others' once it returns. */
export type Receiver = (bytes: Buffer, count: number) => void;

/**
 * An accepted connection that is read into memory which all of them share. Memory, a view and an event for each piece that
 * comes cost more than to read a small request.
 *
 * node:net offers that (`onread`) for connections that are made, not for those that are accepted; so a second socket is made
 * for the connection, and takes the first one's place.
 */
export class SharedReading {
  readonly socket: Socket;
  /** Without one the socket is read as any other: by its events, and by node:http. */
  receiver: Receiver | undefined;

  /** Nothing of `accepted` may be used afterwards. */
  constructor(accepted: Socket) {
    const inner: Inner = accepted;
    const { _handle: handle, _server: server } = inner;
    inner._handle = undefined;
    inner._server = undefined;
    this.socket = new Socket({
      handle,
      allowHalfOpen: accepted.allowHalfOpen,
      onread: { buffer: shared, callback: (count) => this.#take(count) },
    });
    // By these a server counts its connections.
    Object.assign(this.socket, { server, _server: server });
  }

  /** False: nothing more is to be read for now. */
  #take(count: number): boolean {
    if (!this.receiver) return this.socket.push(Buffer.from(shared.subarray(0, count)));
    this.receiver(shared, count);
    return true;
  }
}

type SocketOptions = NonNullable<ConstructorParameters<typeof Socket>[0]>;
/** What node:net's sockets have beside what their types say. */
type Inner = Socket & { _handle?: SocketOptions["handle"] | undefined; _server?: object | undefined };
