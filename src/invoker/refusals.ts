import type { FunctionName } from "../core/ids.ts";

/** Refusals of one function that go out at once when there were none for a while. */
export const REFUSED_AT_ONCE_MAX = 16;
/** Behind those, so many go out in each tick. */
export const REFUSED_PER_TICK = 2;
const TICK_MS = 2;
/** At that pace the last one is held for as long as `Retry-After` tells its caller to wait; whoever comes then is not held. */
export const REFUSALS_HELD_MAX = 1_000;

interface Line {
  atOnce: number;
  readonly held: (() => void)[];
  readonly timer: NodeJS.Timeout;
}

/**
 * Refuses at a steady pace. Callers who ask again as soon as they were refused would otherwise get a refusal as often as
 * this process can make one, and every other function's calls would wait behind those.
 */
export class Refusals implements Disposable {
  /** Of functions that refused something lately. */
  readonly #lines = new Map<FunctionName, Line>();

  /** Calls `refuse` now, or when its turn has come. */
  pace(name: FunctionName, refuse: () => void): void {
    const line = this.#lines.get(name) ?? this.#newLine(name);
    if (line.atOnce > 0) {
      line.atOnce -= 1;
      refuse();
    } else if (line.held.length >= REFUSALS_HELD_MAX) refuse();
    else line.held.push(refuse);
  }

  /** Holds nobody any longer. */
  [Symbol.dispose](): void {
    for (const { held, timer } of this.#lines.values()) {
      clearInterval(timer);
      for (const refuse of held) refuse();
    }
    this.#lines.clear();
  }

  #newLine(name: FunctionName): Line {
    const timer = setInterval(() => this.#tick(name), TICK_MS);
    const line = { atOnce: REFUSED_AT_ONCE_MAX, held: [], timer };
    this.#lines.set(name, line);
    return line;
  }

  #tick(name: FunctionName): void {
    const line = this.#lines.get(name);
    if (!line) return;
    const through = line.held.splice(0, REFUSED_PER_TICK);
    // What nobody waited for is there for the next ones.
    line.atOnce += REFUSED_PER_TICK - through.length;
    if (line.atOnce >= REFUSED_AT_ONCE_MAX) {
      clearInterval(line.timer);
      this.#lines.delete(name);
    }
    for (const refuse of through) refuse();
  }
}
