/**
 * A process that holds a driver and a sandbox as the daemon does, to be killed by tests. Arguments: run folder, instance
 * name, code folder, script, and `plain` for plain processes. Says `up` when the script has said something.
 */
import { silentLog } from "../../core/log.ts";
import { specOf } from "../sandbox-spec.fake.ts";
import { openLocalDriver } from "./driver.ts";
import { NEVER, untilItSpeaks } from "./test-driver.fake.ts";

const [runDir = "", instanceName = "", codeDir = "", script = "", kind] = process.argv.slice(2);
const isPlain = kind === "plain";
const driver = await openLocalDriver({
  runDir,
  instanceName,
  allowUnsandboxed: isPlain,
  log: silentLog,
  ...(isPlain && { bubblewrap: "/nonexistent/bwrap" }),
});
const sandbox = await driver.start(specOf(codeDir, script), { signal: NEVER });
await untilItSpeaks(sandbox);
process.stdout.write("up\n");
await sandbox.exited;
