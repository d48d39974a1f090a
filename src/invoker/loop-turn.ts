let pending: Promise<void> | undefined;

/**
 * Resolves when all that had arrived from anywhere when this turn of the event loop began has been read. One promise for
 * all who ask in a turn.
 */
export function turnRead(): Promise<void> {
  pending ??= new Promise((resolve) => {
    setImmediate(() => {
      pending = undefined;
      resolve();
    });
  });
  return pending;
}
