// One context per request at a time: made when a request finds none free, kept for the next, stopped when idle.

/**
 * @typedef {object} Lifecycle
 * @property {() => unknown} start makes a context; may be async
 * @property {(context: unknown) => unknown} stop
 * @property {(error: unknown) => void} stopFailed
 */

/** A context of the user's, which may be any value, undefined too. @typedef {{value: unknown, idle?: NodeJS.Timeout}} Held */

export class ContextPool {
  /** @type {Lifecycle} */
  #lifecycle;
  #max;
  #idleMs;
  /** Started, starting or being stopped: all that exist. */
  #count = 0;
  /** The last used is taken first, so that the others become idle. @type {Held[]} */
  #free = [];
  /** @type {(() => void)[]} */
  #waiting = [];
  #isClosing = false;
  /** @type {(() => void) | undefined} */
  #whenEmpty;

  /**
   * @param {Lifecycle} lifecycle
   * @param {{max: number, idleMs: number}} limits
   */
  constructor(lifecycle, { max, idleMs }) {
    this.#lifecycle = lifecycle;
    this.#max = max;
    this.#idleMs = idleMs;
  }

  /**
   * A context for one request; waits while as many as there may be are in use. Rejects with what `start` throws.
   *
   * @returns {Promise<Held>}
   */
  async acquire() {
    for (;;) {
      const held = this.#free.pop();
      if (held) {
        clearTimeout(held.idle);
        return held;
      }
      if (this.#count < this.#max) return this.#start();
      await new Promise((resolve) => this.#waiting.push(() => resolve(undefined)));
    }
  }

  /** @param {Held} held */
  release(held) {
    if (this.#isClosing && this.#waiting.length === 0) {
      void this.#stop(held);
      return;
    }
    held.idle = setTimeout(() => {
      this.#free.splice(this.#free.indexOf(held), 1);
      void this.#stop(held);
    }, this.#idleMs);
    held.idle.unref();
    this.#free.push(held);
    this.#waiting.shift()?.();
  }

  /** Stops what is free now and what is in use when it is given back; resolves when none is left. */
  async close() {
    this.#isClosing = true;
    for (const held of this.#free.splice(0)) {
      clearTimeout(held.idle);
      void this.#stop(held);
    }
    if (this.#count > 0) await new Promise((resolve) => (this.#whenEmpty = () => resolve(undefined)));
  }

  async #start() {
    this.#count += 1;
    try {
      return { value: await this.#lifecycle.start() };
    } catch (error) {
      this.#left();
      throw error;
    }
  }

  /** @param {Held} held */
  async #stop(held) {
    try {
      await this.#lifecycle.stop(held.value);
    } catch (error) {
      this.#lifecycle.stopFailed(error);
    }
    this.#left();
  }

  #left() {
    this.#count -= 1;
    this.#waiting.shift()?.();
    if (this.#count === 0) this.#whenEmpty?.();
  }
}
