import { Worker } from "node:worker_threads";

/** Starts a module of this folder, as source or compiled, in a thread of its own. */
export function startThread(module: "writer" | "page-checker", databaseFile: string): Worker {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  return new Worker(new URL(`./${module}.${extension}`, import.meta.url), {
    name: `store-${module}`,
    workerData: databaseFile,
    // What the process was started with (--test, --eval, …) is not meant for the thread and can keep it from starting.
    execArgv: [],
  });
}
