import { closeSync, openSync } from "node:fs";
import type { Syscalls } from "./syscalls.ts";

/**
 * A network with nothing but its own loopback. A network belongs to a thread, so entering and leaving happen in one
 * synchronous step of this single-threaded program; a socket keeps the network it was made in.
 *
 * It lasts as long as this object, its processes and its sockets.
 */
export class InnerNetwork implements Disposable {
  readonly #syscalls: Syscalls;
  readonly #outer: number;
  readonly #inner: number;
  #isOpen = true;

  constructor(syscalls: Syscalls) {
    this.#syscalls = syscalls;
    this.#outer = openSync(CURRENT_NETWORK, "r");
    try {
      syscalls.unshareNetwork();
      try {
        syscalls.bringLoopbackUp();
        this.#inner = openSync(CURRENT_NETWORK, "r");
      } finally {
        this.#leave();
      }
    } catch (error) {
      closeSync(this.#outer);
      throw error;
    }
  }

  /** Runs `work`, which must not wait for anything, in this network: sockets and processes it makes belong there. */
  inside<T>(work: () => T): T {
    this.#syscalls.enterNetwork(this.#inner);
    try {
      return work();
    } finally {
      this.#leave();
    }
  }

  /** Another descriptor of it, to be closed by whoever asked. */
  openDescriptor(): number {
    return openSync(`/proc/self/fd/${this.#inner}`, "r");
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#inner);
    closeSync(this.#outer);
  }

  #leave(): void {
    try {
      this.#syscalls.enterNetwork(this.#outer);
    } catch (error) {
      // Everything started from here on would be in a stranger's network.
      process.stderr.write(`cannot leave a sandbox's network: ${String(error)}\n`);
      process.abort();
    }
  }
}

const CURRENT_NETWORK = "/proc/thread-self/ns/net";
