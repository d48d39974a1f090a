/** An invocation whose START is not written yet, as a link in a list. */
export interface Link {
  readonly startAt: number;
  before: Link | undefined;
  after: Link | undefined;
  /** Takes itself out of the list. */
  writeStart(): void;
}

/**
 * Invocations that have printed nothing so far, oldest first. A list of links, since an invocation a few microseconds
 * long must come and go at the price of setting a few fields.
 */
export class Unstarted {
  #first: Link | undefined;
  #last: Link | undefined;

  get isEmpty(): boolean {
    return this.#first === undefined;
  }

  add(link: Link): void {
    link.before = this.#last;
    if (this.#last) this.#last.after = link;
    else this.#first = link;
    this.#last = link;
  }

  remove(link: Link): void {
    if (link.before) link.before.after = link.after;
    else if (this.#first === link) this.#first = link.after;
    else return;
    if (link.after) link.after.before = link.before;
    else this.#last = link.before;
    link.before = undefined;
    link.after = undefined;
  }

  /** Writes START for what began before then. */
  startUntil(at: number): void {
    while (this.#first && this.#first.startAt <= at) this.#first.writeStart();
  }
}
