import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/core/log.ts";
import { openDockerDriver } from "../../src/sandbox/docker/driver.ts";
import { type DriverUnderTest, describeDriver } from "../../src/sandbox/driver.contract.ts";
import type { Driver, SandboxImage } from "../../src/sandbox/driver.ts";
import { addProgram, busyboxRoot, type TestEngine } from "./engine.ts";

let instances = 0;

/** The promises of every driver, kept by containers. `getEngine` is called once tests run. */
export function describeDockerDriver(
  getEngine: () => TestEngine,
  other: {
    readonly name?: string;
    /** In place of the suite's folder, which other users may not enter. */
    readonly runDir?: () => string;
    readonly exceptions?: DriverUnderTest["exceptions"];
  } = {},
): void {
  let image: SandboxImage | undefined;
  describeDriver(other.name ?? "docker", {
    open: async (runDir) => {
      image ??= await importTestImage(getEngine());
      instances += 1;
      const name = `contract-${process.pid}-${instances}`;
      return withImage(openTestDriver(getEngine(), other.runDir?.() ?? runDir, name), image);
    },
    goneMsMax: 30_000,
    exceptions: {
      ...other.exceptions,
      "exact environment": "the engine adds HOSTNAME, and HOME where it is not set",
      "memory trace": "a container's control group is gone with it",
      "signals from inside":
        "a program is the first process of its container, which its own signals do not reach",
      telemetry: "containers have no third output",
    },
  });
}

export function openTestDriver(
  engine: TestEngine,
  runDir: string,
  instanceName: string,
  programDir = join(runDir, "programs"),
) {
  return openDockerDriver({
    findSocket: () => engine.socketPath,
    runDir,
    programDir,
    instanceName,
    log: silentLog,
  });
}

/** Puts the image into every spec: the suite knows only of code folders, and the image has the same file. */
function withImage(driver: Driver, image: SandboxImage): Driver {
  return {
    name: driver.name,
    isolation: () => driver.isolation(),
    start: (spec, options) => driver.start({ ...spec, image }, options),
    [Symbol.asyncDispose]: () => driver[Symbol.asyncDispose](),
  };
}

/** Busybox, and perl for the sockets that shells lack. */
export async function importTestImage(engine: TestEngine): Promise<SandboxImage> {
  const folder = await mkdtemp(join(tmpdir(), "img-"));
  try {
    const root = await busyboxRoot(folder);
    await mkdir(join(root, "var/task"), { recursive: true });
    await writeFile(join(root, "var/task/hello"), "from the code folder\n");
    await addProgram(root, "/usr/bin/perl");
    await cp("/usr/lib/x86_64-linux-gnu/perl-base", join(root, "usr/lib/x86_64-linux-gnu/perl-base"), {
      recursive: true,
    });
    await engine.importFolder(root, "test/shell:1");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const id = (await engine.docker("image", "inspect", "-f", "{{.Id}}", "test/shell:1")).trim();
  return { id, workingDir: "/var/task", user: "", port: undefined };
}
