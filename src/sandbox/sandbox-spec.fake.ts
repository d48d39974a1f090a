import { newSandboxId } from "../core/ids.ts";
import type { SandboxSpec } from "./driver.ts";

export const PATH = "/usr/local/bin:/usr/bin:/bin";

/** A sandbox that runs a shell script in the folder of its code, with little of everything. */
export function specOf(codeDir: string, script: string, changes: Partial<SandboxSpec> = {}): SandboxSpec {
  return {
    id: newSandboxId(),
    codeDir,
    runtimeDir: undefined,
    toolDirs: [],
    memoryMib: 256,
    cpus: 1,
    pidsMax: 64,
    tmpMib: 8,
    network: "host",
    hasInput: false,
    hasPort: false,
    onRuntimeApiConnection: undefined,
    launch: (places) => ({
      command: ["sh", "-c", script],
      environment: { PATH },
      workingDir: places.codeDir,
    }),
    ...changes,
  };
}
