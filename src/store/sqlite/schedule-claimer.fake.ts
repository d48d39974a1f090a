/** A process that claims what it is told to, with a connection of its own. Arguments: database, instants, schedule. */
import { Connection } from "./connection.ts";
import { runGroup } from "./group-transaction.ts";
import type { Reply } from "./writer-messages.ts";

const [file = "", count = "0", id = ""] = process.argv.slice(2);
const connection = Connection.open(file);
let claimed = 0;
for (let instant = 1; instant <= Number(count); instant += 1) {
  const instantAt = instant * 60_000;
  const instants = [{ instantAt, kind: 0, event: undefined }];
  const args = { id, firedAt: instantAt, instants, moves: undefined };
  let reply: Reply | undefined;
  do [reply] = runGroup(connection, [{ name: "fireSchedule", args }]);
  while (reply && !reply.isDone);
  if (Array.isArray(reply?.value) && reply.value[0] === true) claimed += 1;
}
connection.close();
process.stdout.write(`${claimed}\n`);
