/** The daemon's ends of a sandbox's FIFOs. */
import { constants, openSync, readSync } from "node:fs";
import { Socket } from "node:net";
import { Readable, type Writable } from "node:stream";

export interface OutputPipe {
  readonly stream: Readable;
  /** Ends the stream with what is left in the pipe. For when nobody writes any more. */
  finish(): void;
}

const CHUNK_BYTES = 65_536;

/**
 * Opened for both directions, so that it has no end of its own accord while there is no writer yet or between two of
 * them; its end is said by `finish`. Bytes are taken only as fast as they are read: a program that floods has to wait.
 */
export function openOutput(path: string): OutputPipe {
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const source = new Socket({ fd, readable: true, writable: false });
  const stream = new Readable({
    read: () => {
      source.resume();
    },
    destroy: (error, done) => {
      source.destroy();
      done(error);
    },
  });
  source.on("data", (chunk: Buffer) => {
    if (!stream.push(chunk)) source.pause();
  });
  source.on("error", (error) => stream.destroy(error));
  return {
    stream,
    finish: () => {
      if (stream.destroyed || stream.readableEnded) return;
      source.pause();
      for (let chunk: unknown = source.read(); chunk !== null; chunk = source.read()) stream.push(chunk);
      for (const chunk of readAvailable(fd)) stream.push(chunk);
      stream.push(null);
      source.destroy();
    },
  };
}

/** Bytes that are written once nobody reads any more are lost without a word; the exit tells the story. */
export function openInput(path: string): Writable {
  const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  const stream = new Socket({ fd, readable: false, writable: true });
  stream.on("error", () => undefined);
  return stream;
}

function* readAvailable(fd: number): Generator<Buffer> {
  for (;;) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    let size: number;
    try {
      size = readSync(fd, chunk);
    } catch {
      // EAGAIN: the pipe is empty.
      return;
    }
    if (size === 0) return;
    yield chunk.subarray(0, size);
  }
}
