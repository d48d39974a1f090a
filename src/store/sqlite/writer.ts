/**
 * The thread that writes: the only connection that ever changes the database, so that neither a sync of the disk nor
 * another writer is ever in the way of the loop that serves traffic. Started by write-queue.ts.
 */
import assert from "node:assert/strict";
import { parentPort, workerData } from "node:worker_threads";
import { Connection } from "./connection.ts";
import { runGroup } from "./group-transaction.ts";
import type { WriterMessage } from "./writer-messages.ts";

const port = parentPort;
assert.ok(port, "writer.ts runs as a worker thread");
const connection = Connection.open(String(workerData));

port.on("message", (message: WriterMessage) => {
  switch (message.kind) {
    case "write":
      port.postMessage(runGroup(connection, message.requests));
      break;
    case "close":
      connection.close();
      port.close();
      break;
  }
});
