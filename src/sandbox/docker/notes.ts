/** What the first process says of the program, in between what that prints (runtimes/container/first.c). */
export interface Note {
  readonly kind: "started" | "failed" | "exited" | "killed";
  /** An error number, a status or a signal. */
  readonly value: number;
}

export interface Taken {
  readonly texts: readonly Buffer[];
  readonly notes: readonly Note[];
}

const KINDS: Readonly<Record<string, Note["kind"]>> = { S: "started", F: "failed", X: "exited", K: "killed" };
const NOTHING = Buffer.alloc(0);

/** Takes notes out of one output. What may be the beginning of one is kept back until more has come. */
export class NoteReader {
  readonly #token: Buffer;
  #kept: Buffer = NOTHING;

  constructor(token: string) {
    this.#token = Buffer.from(token, "latin1");
  }

  take(chunk: Buffer): Taken {
    const texts: Buffer[] = [];
    const notes: Note[] = [];
    let rest = this.#kept.length === 0 ? chunk : Buffer.concat([this.#kept, chunk]);
    const noteBytes = this.#token.length + 2;
    while (true) {
      const at = rest.indexOf(this.#token);
      const end = at < 0 ? rest.length - this.#beginningIn(rest) : at;
      if (end > 0) texts.push(rest.subarray(0, end));
      rest = rest.subarray(end);
      if (at < 0 || rest.length < noteBytes) break;
      const kind = KINDS[String.fromCharCode(rest[noteBytes - 2] ?? 0)];
      if (kind) notes.push({ kind, value: rest[noteBytes - 1] ?? 0 });
      rest = rest.subarray(noteBytes);
    }
    this.#kept = rest;
    return { texts, notes };
  }

  /** What was kept back and turned out to be the program's. */
  last(): Buffer {
    const kept = this.#kept;
    this.#kept = NOTHING;
    return kept;
  }

  /** How many bytes at the end may begin a note. */
  #beginningIn(text: Buffer): number {
    for (let length = Math.min(text.length, this.#token.length - 1); length > 0; length -= 1) {
      if (text.subarray(text.length - length).equals(this.#token.subarray(0, length))) return length;
    }
    return 0;
  }
}
