import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";

/**
 * Lines that survive whatever happens to the program under test: each is synced before `note` returns, unless others
 * are noted in the same turn of the loop, whose sync then counts for all.
 */
export interface Ledger extends Disposable {
  /** Resolves when the line is on disk. */
  note(line: Readonly<Record<string, unknown>>): Promise<void>;
}

export function openLedger(file: string): Ledger {
  const opened = openSync(file, "a");
  let syncing: Promise<void> | undefined;
  const sync = () => {
    syncing ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        syncing = undefined;
        try {
          fsyncSync(opened);
          resolve();
        } catch (error) {
          reject(error);
        }
      });
    });
    return syncing;
  };
  return {
    note(line) {
      writeSync(opened, `${JSON.stringify(line)}\n`);
      return sync();
    },
    [Symbol.dispose]: () => closeSync(opened),
  };
}

export function readLedger(file: string): Record<string, unknown>[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}
