/**
 * Frames between the daemon and our own Node, Python and Ruby runtimes, over one Unix socket per sandbox. Big-endian:
 *
 *   u32 length of all that follows │ u8 type │ u32 call id │ u32 label length │ label (UTF-8) │ body
 *
 *   daemon                                    runtime
 *   REHEARSE (label, body: as INVOKE)   ──►         only where it is kept ready: it does once, on what is nobody's, what
 *                                       ◄──   REHEARSED     it will have to do then, so that nothing is done for the first time
 *   SPECIALISE (label: Specialisation,  ──►
 *             body: its pack, if any)
 *   LOAD (body: its pack, if any)       ──►         only where it is kept ready: its code is there by now
 *                                       ◄──   READY (label: import-history.ts), or INIT_ERROR (label: error type, body: JSON) and it exits
 *   INVOKE (label: CallHead, body: event) ─►
 *                                       ◄──   RESPONSE (label: content type or empty), or ERROR (label: error type,
 *                                             body: JSON), or STREAM_HEAD (label: content type), STREAM_CHUNK …,
 *                                             and then STREAM_END or ERROR
 *                                       ◄──   IDLE: it asks for the next call
 *
 * A Node runtime may be sent a call behind LOAD, which it begins when it is READY, and calls ahead: it begins each when the one before has ended (IDLE). RECALL takes one back that
 * has not begun, which RECALLED confirms; for one that has, it means nothing.
 *
 * A STREAM_CHUNK is passed on as it comes: its body is a part of a stream, and may be given in several frames.
 *
 * A pack is what was made of the code beforehand (runtimes/nodejs/pack.cjs, runtimes/python/pack.py).
 * Frames without a call have id 0. Bodies are never looked into here. The far side is the function's own process, so
 * whatever it sends is taken for hostile.
 */
export const FRAME = {
  specialise: 1,
  invoke: 2,
  recall: 3,
  rehearse: 4,
  load: 5,
  ready: 16,
  initError: 17,
  response: 18,
  error: 19,
  streamHead: 20,
  streamChunk: 21,
  streamEnd: 22,
  idle: 23,
  recalled: 24,
  rehearsed: 25,
} as const;

/** Label of SPECIALISE, as JSON: all that makes a generic runtime process one function's. */
export interface Specialisation {
  readonly handler: string;
  /** Where the code is, as seen from inside; becomes the working directory. */
  readonly taskRoot: string;
  /** Where layers are. */
  readonly optDir: string;
  /** `nodejs24.x`, `python3.13`, `ruby3.4`: rules that changed between Lambda's runtimes go by this, not by the interpreter. */
  readonly runtime: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly responseBytesMax: number;
  /** Whether the code may not be there yet: at the latest it is when LOAD comes. */
  readonly awaitsCode: boolean;
  /** Whether LOAD brings something, and so has to be waited for though the code is there. */
  readonly awaitsPack: boolean;
}

/** Label of INVOKE, as JSON. What is undefined is left out. */
export interface CallHead {
  readonly requestId: string;
  /** ms since epoch; undefined for a call that is sent before the runtime is ready. */
  readonly deadlineMs: number | undefined;
  /** What such a call may take (ms), from when the runtime is ready. */
  readonly leftMs?: number;
  readonly functionArn: string;
  readonly traceId: string | undefined;
  readonly clientContext: string | undefined;
  readonly contentType: string;
}

export interface Frame {
  readonly type: number;
  readonly callId: number;
  readonly label: string;
  /** A view of what was received; copy it to keep it for long. */
  readonly body: Buffer;
}

/** The far side broke the format or the order above; the connection is of no use any more. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

const LENGTH_BYTES = 4;
/** Type, call id and label length: the least that a frame's length can be. */
const HEAD_BYTES = 9;
/** Content types and error types; longer ones are nobody's. */
const LABEL_BYTES_MAX = 64 * 1024;

/** Length, type, call id and label length, as they come first. */
export const FRAME_HEAD_BYTES = LENGTH_BYTES + HEAD_BYTES;

/** All of a frame but its body, which may be sent behind it uncopied. */
export function encodeFrameHead(type: number, callId: number, label: string, bodyBytes: number): Buffer {
  const head = Buffer.allocUnsafe(FRAME_HEAD_BYTES + Buffer.byteLength(label));
  writeFrameHead(head, 0, type, callId, label, bodyBytes);
  return head;
}

/** Writes the same into `to`, which must have room, and gives where the body begins. */
export function writeFrameHead(
  to: Buffer,
  at: number,
  type: number,
  callId: number,
  label: string,
  bodyBytes: number,
): number {
  const labelBytes = label === "" ? 0 : to.write(label, at + FRAME_HEAD_BYTES);
  to.writeUInt32BE(HEAD_BYTES + labelBytes + bodyBytes, at);
  to.writeUInt8(type, at + 4);
  to.writeUInt32BE(callId, at + 5);
  to.writeUInt32BE(labelBytes, at + 9);
  return at + FRAME_HEAD_BYTES + labelBytes;
}

/**
 * Takes bytes as they come and gives whole frames, but of a stream's chunk what is there; keeps at most one unfinished
 * frame of `bodyBytesMax`.
 */
export class FrameReader {
  readonly #frameBytesMax: number;
  #parts: Buffer[] = [];
  #bytes = 0;
  /** How many bytes there must be before anything more can be said. */
  #wanted = LENGTH_BYTES;
  /** A chunk of a stream of which a part was given, and how much of it is still to come. */
  #open: { readonly callId: number; bytesLeft: number } | undefined;

  constructor(bodyBytesMax: number) {
    this.#frameBytesMax = HEAD_BYTES + LABEL_BYTES_MAX + bodyBytesMax;
  }

  /** @throws FrameError if what was received cannot be a frame; what `onFrame` throws comes out too. */
  read(chunk: Buffer, onFrame: (frame: Frame) => void): void {
    const rest = this.#open ? this.#goOn(this.#open, chunk, onFrame) : chunk;
    if (rest.length === 0) return;
    this.#parts.push(rest);
    this.#bytes += rest.length;
    if (this.#bytes < this.#wanted) return;
    const buffer = this.#parts.length === 1 ? rest : Buffer.concat(this.#parts, this.#bytes);
    let at = 0;
    this.#wanted = LENGTH_BYTES;
    while (buffer.length - at >= LENGTH_BYTES) {
      const end = at + LENGTH_BYTES + this.#lengthAt(buffer, at);
      if (end > buffer.length) {
        if (this.#begin(buffer, at, end, onFrame)) at = buffer.length;
        else this.#wanted = end - at;
        break;
      }
      onFrame(frameBetween(buffer, at + LENGTH_BYTES, end));
      at = end;
    }
    this.#bytes = buffer.length - at;
    this.#parts = this.#bytes === 0 ? [] : [buffer.subarray(at)];
  }

  /** Gives what is there of a stream's chunk; false for what has to be whole, or whose head is not there yet. */
  #begin(buffer: Buffer, at: number, end: number, onFrame: (frame: Frame) => void): boolean {
    const headEnd = at + FRAME_HEAD_BYTES;
    if (buffer.length < headEnd || buffer.readUInt8(at + LENGTH_BYTES) !== FRAME.streamChunk) return false;
    const hasLabel = buffer.readUInt32BE(headEnd - LENGTH_BYTES) > 0;
    if (hasLabel) return false;
    const frame = frameBetween(buffer, at + LENGTH_BYTES, buffer.length);
    this.#open = { callId: frame.callId, bytesLeft: end - buffer.length };
    if (frame.body.length > 0) onFrame(frame);
    return true;
  }

  /** Gives the next part of a stream's chunk, and what is behind it. */
  #goOn(
    open: { readonly callId: number; bytesLeft: number },
    chunk: Buffer,
    onFrame: (frame: Frame) => void,
  ): Buffer {
    const body = chunk.subarray(0, open.bytesLeft);
    open.bytesLeft -= body.length;
    if (open.bytesLeft === 0) this.#open = undefined;
    onFrame({ type: FRAME.streamChunk, callId: open.callId, label: "", body });
    return chunk.subarray(body.length);
  }

  #lengthAt(buffer: Buffer, at: number): number {
    const length = buffer.readUInt32BE(at);
    if (length < HEAD_BYTES || length > this.#frameBytesMax) {
      throw new FrameError(`frame length ${length} is not from ${HEAD_BYTES} to ${this.#frameBytesMax}`);
    }
    return length;
  }
}

function frameBetween(buffer: Buffer, at: number, end: number): Frame {
  const labelBytes = buffer.readUInt32BE(at + 5);
  const bodyAt = at + HEAD_BYTES + labelBytes;
  if (labelBytes > LABEL_BYTES_MAX || bodyAt > end) {
    throw new FrameError(`frame label of ${labelBytes} bytes does not fit`);
  }
  return {
    type: buffer.readUInt8(at),
    callId: buffer.readUInt32BE(at + 1),
    label: labelBytes === 0 ? "" : buffer.toString("utf8", at + HEAD_BYTES, bodyAt),
    body: buffer.subarray(bodyAt, end),
  };
}
