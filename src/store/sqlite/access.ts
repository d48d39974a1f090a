import type { Connection } from "./connection.ts";
import type { WriteQueue } from "./write-queue.ts";

/** How the adapter's parts get at the database. */
export interface Access {
  /** Runs on this thread at once; errors come out as PlatformErrors. */
  read<T>(reading: (connection: Connection) => T): T;
  /** A connection that sees one state of the database until it is closed, for what is read in many steps. */
  openSnapshot(): Connection;
  readonly write: WriteQueue["write"];
}
