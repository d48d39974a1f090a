import type { Duplex } from "node:stream";
import { callerGone } from "./request-body.ts";

/**
 * Tells calls that their client has gone. One signal and one listener per connection, however many requests it carries: to
 * make them for each would cost a call as much as its routing.
 */
export class Callers {
  readonly #known = new WeakMap<Duplex, AbortSignal>();

  /** Aborts with `CallerGone` when the connection ends, whether calls of it still run or not. */
  signalOf(connection: Duplex): AbortSignal {
    const known = this.#known.get(connection);
    if (known) return known;
    const controller = new AbortController();
    if (connection.destroyed) controller.abort(callerGone());
    else connection.once("close", () => controller.abort(callerGone()));
    this.#known.set(connection, controller.signal);
    return controller.signal;
  }
}
