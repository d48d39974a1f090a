/** Lets a round begin when changes have come to rest: editors and tools write several files, or one in several steps. */

/** Without a change for this long, what was written is taken for whole. */
const QUIET_MS = 15;
/** Something that never rests is looked at all the same. */
const UNREST_MS_MAX = 250;

/** Newer changes make what is being built useless. */
export class Overtaken extends Error {
  override readonly name = "Overtaken";
}

export interface Change {
  /** Of `performance.now()`, when the first of these changes was seen. */
  readonly startedAt: number;
  /** Everything is to be built again, changed or not. */
  readonly isForced: boolean;
  /** Aborts with `Overtaken` when more changes are seen. */
  readonly signal: AbortSignal;
}

export class ChangeGate {
  #firstAt: number | undefined;
  #isForced = false;
  #quiet: NodeJS.Timeout | undefined;
  #later: NodeJS.Timeout | undefined;
  #running = new AbortController();
  #open: (() => void) | undefined;
  #isOpen = false;

  /** Something has changed. */
  note(): void {
    const now = performance.now();
    this.#firstAt ??= now;
    clearTimeout(this.#quiet);
    const waitMs = Math.max(0, Math.min(QUIET_MS, this.#firstAt + UNREST_MS_MAX - now));
    this.#quiet = setTimeout(() => this.#let(), waitMs);
  }

  /** Now, changed or not. */
  force(): void {
    this.#isForced = true;
    this.note();
  }

  /** Something is to be looked at again. */
  noteLater(ms: number): void {
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.note(), ms);
  }

  /** Resolves with what has changed since the last time; undefined once `signal` has aborted. */
  async next({ signal }: { readonly signal: AbortSignal }): Promise<Change | undefined> {
    if (!this.#isOpen && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#open = resolve;
      signal.addEventListener("abort", () => resolve());
      await promise;
    }
    if (signal.aborted) {
      clearTimeout(this.#quiet);
      clearTimeout(this.#later);
      return undefined;
    }
    this.#isOpen = false;
    this.#running = new AbortController();
    const change = {
      startedAt: this.#firstAt ?? performance.now(),
      isForced: this.#isForced,
      signal: AbortSignal.any([signal, this.#running.signal]),
    };
    this.#firstAt = undefined;
    this.#isForced = false;
    return change;
  }

  #let(): void {
    this.#isOpen = true;
    this.#running.abort(new Overtaken("newer changes have come"));
    this.#open?.();
  }
}
