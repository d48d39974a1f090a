/**
 * Lets so many through at once and so many more in each turn of the event loop, in the order in which they came.
 * Between two turns the loop looks at what else has come, so whoever does not pass here is not kept waiting by a crowd.
 */
export class Turnstile {
  readonly #perTurn: number;
  readonly #waiting: (() => void)[] = [];
  #passed = 0;
  #hasTurn = false;

  constructor(perTurn: number) {
    this.#perTurn = perTurn;
  }

  /** Undefined if there is nothing to wait for. */
  pass(): Promise<void> | undefined {
    if (!this.#hasTurn) {
      this.#hasTurn = true;
      setImmediate(this.#nextTurn);
    }
    if (this.#waiting.length === 0 && this.#passed < this.#perTurn) {
      this.#passed += 1;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  readonly #nextTurn = (): void => {
    const through = this.#waiting.splice(0, this.#perTurn);
    this.#passed = through.length;
    // One that nobody passes in ends it.
    this.#hasTurn = through.length > 0;
    if (this.#hasTurn) setImmediate(this.#nextTurn);
    for (const pass of through) pass();
  };
}
