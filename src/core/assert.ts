/**
 * Throws where something is not as the code around it makes sure: a fault of ours, never of who calls. Ours, since
 * loading node:assert takes 2 ms of every start.
 */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}
