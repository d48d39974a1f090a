import { Worker } from "node:worker_threads";
import type { Fault } from "../../core/fault.ts";
import { moduleFile } from "../../core/source-url.ts";

/** What a thread is given at its start. */
export interface ThreadData {
  /** The database. */
  readonly file: string;
  readonly fault: Fault | undefined;
}

/** Starts a module of this folder, as source or compiled, in a thread of its own. */
export function startThread(module: "writer" | "page-checker", data: ThreadData): Worker {
  return new Worker(moduleFile(`store/sqlite/${module}`), {
    name: `store-${module}`,
    workerData: data,
    // What the process was started with (--test, --eval, …) is not meant for the thread and can keep it from starting.
    execArgv: [],
  });
}
