import type { Connection } from "./connection.ts";
import { type EventOperations, eventOperations } from "./event-operations.ts";
import { type EventUpkeepOperations, eventUpkeepOperations } from "./event-upkeep-operations.ts";
import { type HookOperations, hookOperations } from "./hook-operations.ts";
import { type KeyOperations, keyOperations } from "./key-operations.ts";
import { type LayerOperations, layerOperations } from "./layer-operations.ts";
import type { Performers } from "./performers.ts";
import { type ProjectOperations, projectOperations } from "./project-operations.ts";
import { type RegistryOperations, registryOperations } from "./registry-operations.ts";
import { type RouteOperations, routeOperations } from "./route-operations.ts";
import { type ScheduleOperations, scheduleOperations } from "./schedule-operations.ts";
import { type SourceOperations, sourceOperations } from "./source-operations.ts";

/**
 * Everything that the writer can do, by name. Arguments and results cross a thread, so they are plain values. Each
 * runs inside a transaction that it shares with others, in a savepoint of its own: it happens as a whole or throws.
 */
export interface Operations
  extends RegistryOperations,
    KeyOperations,
    LayerOperations,
    EventOperations,
    EventUpkeepOperations,
    ScheduleOperations,
    SourceOperations,
    ProjectOperations,
    HookOperations,
    RouteOperations {}

export type OperationName = keyof Operations;

const PERFORMERS: Performers<Operations> = {
  ...registryOperations,
  ...keyOperations,
  ...layerOperations,
  ...eventOperations,
  ...eventUpkeepOperations,
  ...scheduleOperations,
  ...sourceOperations,
  ...projectOperations,
  ...hookOperations,
  ...routeOperations,
};

export const OPERATION_NAMES: readonly string[] = Object.keys(PERFORMERS);

export function perform<N extends OperationName>(
  connection: Connection,
  name: N,
  args: Operations[N]["args"],
): Operations[N]["result"] {
  return PERFORMERS[name](connection, args);
}
