/** A thread that reads a whole large database once, beside the traffic, and dies with an error if it is damaged. */
import { workerData } from "node:worker_threads";
import { Connection } from "./connection.ts";
import { checkPages } from "./database-file.ts";
import type { ThreadData } from "./thread.ts";

const { file } = workerData as ThreadData;
const connection = Connection.open(file);
connection.becomeReader();
try {
  checkPages(connection, file);
} finally {
  connection.close();
}
