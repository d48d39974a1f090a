/**
 * The thread that writes: the only connection that ever changes the database, so that neither a sync of the disk nor
 * another writer is ever in the way of the loop that serves traffic. Started by write-queue.ts.
 */
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "../../core/assert.ts";
import { newFailpoint } from "../../core/fault.ts";
import { Connection } from "./connection.ts";
import { runGroup } from "./group-transaction.ts";
import type { ThreadData } from "./thread.ts";
import type { WriteRequest, WriterMessage } from "./writer-messages.ts";

const port = parentPort;
assert(port, "writer.ts runs as a worker thread");
const { file, fault } = workerData as ThreadData;
const connection = Connection.open(file);
const failpoint = newFailpoint(fault, () => process.kill(process.pid, "SIGKILL"));

port.on("message", (message: WriterMessage) => {
  switch (message.kind) {
    case "write":
      if (fault?.kind === "acknowledge-early" && areEnqueues(message.requests)) {
        acknowledgeEarly(message.requests);
      } else port.postMessage(runGroup(connection, message.requests, failpoint));
      break;
    case "close":
      connection.close();
      port.close();
      break;
  }
});

/** How long an event that was acknowledged early is not on disk. */
const EARLY_MS = 30;

function areEnqueues(requests: readonly WriteRequest[]): boolean {
  return requests.every(({ name }) => name === "enqueueEvent");
}

/** What a store without durability does: tests of durability have to notice. */
function acknowledgeEarly(requests: readonly WriteRequest[]): void {
  port?.postMessage(requests.map(() => ({ isDone: true, value: undefined })));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, EARLY_MS);
  runGroup(connection, requests, failpoint);
}
