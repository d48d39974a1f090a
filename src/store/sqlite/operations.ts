import type { Connection } from "./connection.ts";
import { type KeyOperations, keyOperations } from "./key-operations.ts";
import { type LayerOperations, layerOperations } from "./layer-operations.ts";
import type { Performers } from "./performers.ts";
import { type RegistryOperations, registryOperations } from "./registry-operations.ts";

/**
 * Everything that the writer can do, by name. Arguments and results cross a thread, so they are plain values. Each
 * runs inside a transaction that it shares with others, in a savepoint of its own: it happens as a whole or throws.
 */
export interface Operations extends RegistryOperations, KeyOperations, LayerOperations {}

export type OperationName = keyof Operations;

const PERFORMERS: Performers<Operations> = {
  ...registryOperations,
  ...keyOperations,
  ...layerOperations,
};

export function perform<N extends OperationName>(
  connection: Connection,
  name: N,
  args: Operations[N]["args"],
): Operations[N]["result"] {
  return PERFORMERS[name](connection, args);
}
