/** A thread that reads a whole large database once, beside the traffic, and dies with an error if it is damaged. */
import { workerData } from "node:worker_threads";
import { Connection } from "./connection.ts";
import { checkPages } from "./database-file.ts";

const file = String(workerData);
const connection = Connection.open(file);
connection.becomeReader();
try {
  checkPages(connection, file);
} finally {
  connection.close();
}
