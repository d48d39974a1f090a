import type { Socket } from "node:net";
import { encodeFrameHead, FRAME_HEAD_BYTES, writeFrameHead } from "./frames.ts";

/** Up to here one copy and one write cost less than two writes. */
const COPIED_BYTES_MAX = 16 * 1024;
/** In one piece. */
const WRITTEN_BYTES_MAX = 256 * 1024;
/** UTF-8 takes no more for one unit of a JavaScript string. */
const BYTES_PER_UNIT_MAX = 3;

interface Unsent {
  readonly type: number;
  readonly callId: number;
  readonly label: string;
  readonly body: Uint8Array;
}

/**
 * Frames of one turn of the event loop go out together, as one write where they are small. Requests that arrive together are
 * each a callback of their own; a write for each would wake the runtime as often.
 */
export class FrameOutbox {
  readonly #socket: () => Socket | undefined;
  #unsent: Unsent[] = [];

  constructor(socket: () => Socket | undefined) {
    this.#socket = socket;
  }

  send(type: number, callId: number, label: string, body: Uint8Array): void {
    if (this.#unsent.length === 0) setImmediate(() => this.flush());
    this.#unsent.push({ type, callId, label, body });
  }

  /** At once. */
  flush(): void {
    const frames = this.#unsent;
    if (frames.length === 0) return;
    this.#unsent = [];
    const socket = this.#socket();
    if (!socket) return;
    let bytesMax = 0;
    let largest = 0;
    for (const { label, body } of frames) {
      bytesMax += FRAME_HEAD_BYTES + label.length * BYTES_PER_UNIT_MAX + body.length;
      largest = Math.max(largest, body.length);
    }
    if (largest <= COPIED_BYTES_MAX && bytesMax <= WRITTEN_BYTES_MAX) sendTogether(socket, frames, bytesMax);
    else sendPieces(socket, frames);
  }
}

/** One for all channels: it is free again as soon as the kernel has taken what was written. */
let shared = Buffer.allocUnsafeSlow(COPIED_BYTES_MAX);

function sendTogether(socket: Socket, frames: readonly Unsent[], bytesMax: number): void {
  if (shared.length < bytesMax) shared = Buffer.allocUnsafeSlow(Math.min(WRITTEN_BYTES_MAX, bytesMax * 2));
  let end = 0;
  for (const { type, callId, label, body } of frames) {
    end = writeFrameHead(shared, end, type, callId, label, body.length);
    shared.set(body, end);
    end += body.length;
  }
  socket.write(shared.subarray(0, end));
  // What it has not taken is still to be read from there.
  if (socket.writableLength > 0) shared = Buffer.allocUnsafeSlow(COPIED_BYTES_MAX);
}

function sendPieces(socket: Socket, frames: readonly Unsent[]): void {
  socket.cork();
  for (const { type, callId, label, body } of frames) {
    socket.write(encodeFrameHead(type, callId, label, body.length));
    if (body.length > 0) socket.write(body);
  }
  socket.uncork();
}
