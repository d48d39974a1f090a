/**
 * How many connections one address has open. Loopback is not counted: there a proxy on this machine speaks for
 * everybody.
 */
export class PerIpLimit {
  readonly #max: number;
  readonly #open = new Map<string, number>();

  constructor(max: number) {
    this.#max = max;
  }

  /** False, and nothing is counted, if that address has as many as it may. Otherwise `leave` must follow. */
  enter(ip: string): boolean {
    if (isLoopbackAddress(ip)) return true;
    const count = this.#open.get(ip) ?? 0;
    if (count >= this.#max) return false;
    this.#open.set(ip, count + 1);
    return true;
  }

  leave(ip: string): void {
    const count = this.#open.get(ip);
    if (count === undefined) return;
    if (count === 1) this.#open.delete(ip);
    else this.#open.set(ip, count - 1);
  }

  /** Addresses with a connection; nothing is kept of others. */
  get size(): number {
    return this.#open.size;
  }
}

/** Whether an address, as a socket gives it, is this machine's own. */
function isLoopbackAddress(address: string): boolean {
  return address.startsWith("127.") || address === "::1" || address.startsWith("::ffff:127.");
}
