import type { OutcomeKind } from "../../core/invocation.ts";
import { Distribution } from "./distribution.ts";

/** What was counted in a span of time. Two tallies of any spans can be added. */
export class Tally {
  /** Calls by how they ended. */
  returned = 0;
  threw = 0;
  timedOut = 0;
  crashed = 0;
  /** Calls that were refused because too many ran. */
  throttled = 0;
  /** Events that came to their first attempt. */
  received = 0;
  /** Events that ended without success, and are dead letters now. */
  dropped = 0;
  /** Results that their destination did not take. */
  undelivered = 0;
  /** The most calls at once, and the most instances and memory seen. */
  concurrencyMax = 0;
  instancesMax = 0;
  memoryMibMax = 0;
  /** Of calls; a start is not part of it, unless it took longer than it may beside the call. */
  readonly duration = new Distribution();
  /** Of calls that had to start their instance, that start. */
  readonly init = new Distribution();
  /** How old events were when they were tried. */
  readonly eventAge = new Distribution();

  get invocations(): number {
    return this.returned + this.threw + this.timedOut + this.crashed;
  }

  /** Calls that the function failed: it threw, took too long or went away. */
  get errors(): number {
    return this.threw + this.timedOut + this.crashed;
  }

  ended(outcome: OutcomeKind): void {
    switch (outcome) {
      case "returned":
        this.returned += 1;
        return;
      case "threw":
        this.threw += 1;
        return;
      case "timed-out":
        this.timedOut += 1;
        return;
      case "crashed":
        this.crashed += 1;
    }
  }

  add(other: Tally): void {
    for (const name of COUNTS) this[name] += other[name];
    for (const name of HIGHEST) this[name] = Math.max(this[name], other[name]);
    for (const name of SPANS) this[name].add(other[name]);
  }

  clear(): void {
    for (const name of COUNTS) this[name] = 0;
    for (const name of HIGHEST) this[name] = 0;
    for (const name of SPANS) this[name].clear();
  }

  /** All that is not zero, for `addEncoded`. */
  encode(): Record<string, number | number[]> {
    const encoded: Record<string, number | number[]> = {};
    for (const name of [...COUNTS, ...HIGHEST]) if (this[name] > 0) encoded[name] = this[name];
    for (const name of SPANS) if (this[name].count > 0) encoded[name] = this[name].encode();
    return encoded;
  }

  /** Adds what `encode` has given, of which a part may be missing. */
  addEncoded(encoded: Readonly<Record<string, unknown>>): void {
    for (const name of COUNTS) this[name] += numberIn(encoded, name);
    for (const name of HIGHEST) this[name] = Math.max(this[name], numberIn(encoded, name));
    for (const name of SPANS) this[name].addEncoded(encoded[name]);
  }
}

const COUNTS = [
  "returned",
  "threw",
  "timedOut",
  "crashed",
  "throttled",
  "received",
  "dropped",
  "undelivered",
] as const;
const HIGHEST = ["concurrencyMax", "instancesMax", "memoryMibMax"] as const;
const SPANS = ["duration", "init", "eventAge"] as const;

function numberIn(encoded: Readonly<Record<string, unknown>>, name: string): number {
  const value = encoded[name];
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}
