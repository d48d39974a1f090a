/** Where programs of a function are looked for, and the libraries they load, as Lambda sets it. */
import type { SandboxPlaces } from "../../sandbox/driver.ts";

/** Of the value of LD_LIBRARY_PATH, what there is here: no `/var/lang`. */
export function libraryPath({ runtimeDir, codeDir, optDir = "/opt" }: SandboxPlaces): string {
  // An empty folder would mean the current one.
  const runtime = runtimeDir === "" ? [] : [runtimeDir, `${runtimeDir}/lib`];
  return ["/lib64", "/usr/lib64", ...runtime, codeDir, `${codeDir}/lib`, `${optDir}/lib`].join(":");
}

/** PATH, with the programs of layers where they are not at `/opt`. */
export function programPath(path: string, { optDir }: SandboxPlaces): string {
  return optDir === undefined ? path : `${path}:${optDir}/bin`;
}
