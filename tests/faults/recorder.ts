/**
 * The effects recorder: a process of its own that functions call with what they are about to do and have done. Each
 * call is synced before it is answered. Arguments: the file. Prints its port.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { openLedger } from "./ledger.ts";

const ledger = openLedger(process.argv[2] ?? "");
const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? "/", "http://recorder");
  await ledger.note({ ...Object.fromEntries(url.searchParams), at: Date.now() });
  response.end();
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
process.on("SIGTERM", () => process.exit(0));
