import { createReadStream } from "node:fs";

/** What a compiled program says of itself, found by reading it, never by running it. */
export interface ProgramFacts {
  /** It serves HTTP. */
  readonly listens: boolean;
  /** Its port is likely to be given by a flag, as `-port N`. */
  readonly takesPortFlag: boolean;
}

/**
 * Go keeps the names of the functions that a program can reach, stripped or not; what it cannot reach is not linked, so a
 * client has no server in it. Executables of `lambda bundle` say who made them.
 */
const MARKS = {
  goServer: Buffer.from("net/http.(*Server).Serve\0"),
  goNumberFlag: Buffer.from("flag.(*intValue).Set\0"),
  ours: Buffer.from(String.raw`\"madeBy\":\"lambda bundle`),
} as const;

const CHUNK_BYTES = 1024 * 1024;
const OVERLAP_BYTES = Math.max(...Object.values(MARKS).map((mark) => mark.length)) - 1;

/** Reads all of a program, at the speed of the disk and without keeping it. */
export async function readProgram(path: string): Promise<ProgramFacts> {
  const found = new Set<keyof typeof MARKS>();
  let before = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    const text = Buffer.concat([before, chunk]);
    for (const mark of ["goServer", "goNumberFlag", "ours"] as const)
      if (!found.has(mark) && text.includes(MARKS[mark])) found.add(mark);
    before = text.subarray(Math.max(0, text.length - OVERLAP_BYTES));
  }
  return {
    listens: found.has("goServer") || found.has("ours"),
    takesPortFlag: found.has("goServer") && found.has("goNumberFlag"),
  };
}
