import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { callerGone } from "./request-body.ts";

/**
 * Tells calls that their client has gone. One listener per connection, however many requests it carries: pipelined
 * ones wait without a response of their own that could report it.
 */
export class Callers {
  readonly #waiting = new WeakMap<Duplex, Set<AbortController>>();

  /** A signal that aborts with `CallerGone` when the connection ends before `leave`. */
  enter(socket: Socket | Duplex): AbortController {
    const controller = new AbortController();
    if (socket.destroyed) {
      controller.abort(callerGone());
      return controller;
    }
    const known = this.#waiting.get(socket);
    if (known) {
      known.add(controller);
      return controller;
    }
    const waiting = new Set([controller]);
    this.#waiting.set(socket, waiting);
    socket.once("close", () => {
      for (const one of waiting) one.abort(callerGone());
    });
    return controller;
  }

  leave(socket: Socket | Duplex, controller: AbortController): void {
    this.#waiting.get(socket)?.delete(controller);
  }
}
