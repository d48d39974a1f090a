import type { Connection } from "./connection.ts";

/** How each member of a table of operations is done. */
export type Performers<T extends Record<keyof T, OperationShape>> = {
  readonly [N in keyof T]: (connection: Connection, args: T[N]["args"]) => T[N]["result"];
};

interface OperationShape {
  readonly args: unknown;
  readonly result: unknown;
}
