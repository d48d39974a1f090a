import { type Duplex, Readable, Writable } from "node:stream";
import { type Note, NoteReader } from "./notes.ts";

/**
 * What goes through an attached connection: stdin as it is, output in frames of one byte stream (1 stdout, 2 stderr),
 * three of zero, four bytes length (big-endian), and that many bytes.
 * https://docs.docker.com/reference/api/engine/version/v1.43/#tag/Container/operation/ContainerAttach
 */
export interface ContainerStreams {
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly stdin: Writable;
  /** Resolves when the engine has sent all there was, the first process has told the end of it, or the connection broke. */
  readonly ended: Promise<void>;
  /** The first process's word of the program: that it runs, or the number of the error. For ever pending without one. */
  readonly started: Promise<Note>;
  /** The first process's word of its exit status, once all that was printed has come. For ever pending if it was killed. */
  readonly exited: Promise<number>;
  /** Ends both outputs now. */
  finish(): void;
}

const HEADER_BYTES = 8;
const STDERR = 2;

/**
 * Bytes are taken only as fast as they are read; the engine stops reading the program's pipes then, too. With the token of a
 * first process its notes are taken out, and each output ends with the one that says that the program has.
 */
export function openContainerStreams(connection: Duplex, token?: string): ContainerStreams {
  const blocked = new Set<Readable>();
  const open = new Set<Readable>();
  const newOutput = (): Readable => {
    const output = new Readable({
      read: () => {
        if (blocked.delete(output) && blocked.size === 0) connection.resume();
      },
      destroy: (error, done) => {
        // Nobody wants the rest of it; the other one goes on.
        if (blocked.delete(output) && blocked.size === 0) connection.resume();
        done(error);
      },
    });
    open.add(output);
    return output;
  };
  const [stdout, stderr] = [newOutput(), newOutput()];
  const ended = Promise.withResolvers<void>();
  const started = Promise.withResolvers<Note>();
  const exited = Promise.withResolvers<number>();
  const end = (output: Readable) => {
    if (!open.delete(output)) return;
    if (!output.destroyed) output.push(null);
    if (open.size === 0) ended.resolve();
  };
  const give = (output: Readable, bytes: Buffer) => {
    if (bytes.length > 0 && open.has(output) && !output.destroyed && !output.push(bytes)) blocked.add(output);
  };
  const noted = (output: Readable, note: Note) => {
    if (note.kind === "started" || note.kind === "failed") return started.resolve(note);
    end(output);
    if (open.size === 0 && note.kind === "exited") exited.resolve(note.value);
  };
  const notes = token === undefined ? undefined : ([new NoteReader(token), new NoteReader(token)] as const);
  const parse = frameParser((stream, bytes) => {
    const output = stream === STDERR ? stderr : stdout;
    if (!notes) return give(output, bytes);
    const taken = notes[stream === STDERR ? 1 : 0].take(bytes);
    for (const text of taken.texts) give(output, text);
    for (const note of taken.notes) noted(output, note);
  });
  const finish = () => {
    for (const [index, output] of [stdout, stderr].entries()) {
      const kept = notes?.[index]?.last();
      if (kept) give(output, kept);
      end(output);
    }
    connection.destroy();
  };
  connection.on("data", (chunk: Buffer) => {
    parse(chunk);
    if (blocked.size > 0) connection.pause();
  });
  connection.once("end", finish);
  connection.once("close", finish);
  // It ends like any other; how the program left is told by the engine.
  connection.on("error", finish);
  return {
    ...{ stdout, stderr, stdin: inputOf(connection), finish },
    ...{ ended: ended.promise, started: started.promise, exited: exited.promise },
  };
}

/** Bytes written once nobody reads any more are lost without a word; the exit tells the story. */
function inputOf(connection: Duplex): Writable {
  const stdin = new Writable({
    write: (chunk, _encoding, done) => {
      if (connection.writable) connection.write(chunk, () => done());
      else done();
    },
    final: (done) => {
      if (connection.writable) connection.end(() => done());
      else done();
    },
  });
  connection.once("close", () => stdin.destroy());
  stdin.on("error", () => undefined);
  return stdin;
}

/** Cuts what comes in pieces of any size into frames; a frame's bytes are passed on as they arrive. */
function frameParser(take: (stream: number, bytes: Buffer) => void): (chunk: Buffer) => void {
  let header = Buffer.alloc(0);
  let stream = 0;
  let missing = 0;
  return (chunk) => {
    let rest = chunk;
    while (rest.length > 0) {
      if (missing === 0) {
        const wanted = HEADER_BYTES - header.length;
        header = Buffer.concat([header, rest.subarray(0, wanted)]);
        rest = rest.subarray(wanted);
        if (header.length < HEADER_BYTES) return;
        stream = header[0] ?? 0;
        missing = header.readUInt32BE(4);
        header = Buffer.alloc(0);
        continue;
      }
      const bytes = rest.subarray(0, missing);
      missing -= bytes.length;
      rest = rest.subarray(bytes.length);
      take(stream, bytes);
    }
  };
}
