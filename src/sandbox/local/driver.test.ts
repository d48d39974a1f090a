import { silentLog } from "../../core/log.ts";
import { describeDriver } from "../driver.contract.ts";
import { openLocalDriver } from "./driver.ts";
import { forking, withoutPython } from "./forking-driver.fake.ts";
import { findTool } from "./host-world.ts";

const isRoot = process.getuid?.() === 0;
let instances = 0;

function instanceName(): string {
  instances += 1;
  return `test-${process.pid}-${instances}`;
}

const withoutBubblewrap = findTool("bwrap") ? undefined : "bubblewrap is not installed";

describeDriver("local, in bubblewrap", {
  open: (runDir) =>
    openLocalDriver({ runDir, instanceName: instanceName(), allowUnsandboxed: false, log: silentLog }),
  ...(withoutBubblewrap && process.env.REQUIRE_ALL !== "1" && { skip: withoutBubblewrap }),
  exceptions: isRoot
    ? {}
    : {
        "memory limit": "needs control groups, which only root always has",
        "memory trace": "needs control groups, which only root always has",
        "process limit": "needs control groups, which only root always has",
        "sockets in network none": "needs the right to enter networks",
      },
});

describeDriver("local, as plain processes", {
  open: (runDir) =>
    openLocalDriver({
      runDir,
      instanceName: instanceName(),
      allowUnsandboxed: true,
      log: silentLog,
      bubblewrap: "/nonexistent/bwrap",
    }),
  exceptions: {
    "exact environment": "a variable marks the process, so that its children can be found",
    "read-only code": "plain processes have the rights of their user",
    "tmp quota": "a folder on the host has no quota",
    "memory limit": "enters its group after it has begun, and only where groups can be made",
    "memory trace": "enters its group after it has begun, and only where groups can be made",
    "process limit": "enters its group after it has begun, and only where groups can be made",
    "network none": "plain processes share the host's network",
    "sockets in network none": "plain processes share the host's network",
  },
});

const withoutForks = withoutBubblewrap ?? (isRoot ? undefined : "needs root") ?? withoutPython();

describeDriver("local, as forks", {
  open: async (runDir) =>
    forking(
      await openLocalDriver({
        runDir,
        instanceName: instanceName(),
        allowUnsandboxed: false,
        log: silentLog,
      }),
    ),
  ...(withoutForks && process.env.REQUIRE_ALL !== "1" && { skip: withoutForks }),
});
