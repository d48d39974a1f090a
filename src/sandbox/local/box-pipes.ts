import { execFileSync } from "node:child_process";
import { chownSync, closeSync, constants, openSync, readSync } from "node:fs";
import { join } from "node:path";
import type { Syscalls } from "./syscalls.ts";

/**
 * A sandbox's pipes as the spawner makes them: FIFOs, since those are real pipes. What Node itself calls a pipe is a
 * socket, and then programs cannot open /dev/stdout.
 */
export interface BoxPipes {
  /** The program's descriptors 0 to 3, to be closed here once it has them. */
  readonly given: readonly number[];
  /** Kept open until the driver has its own, so that nothing that is written gets lost. */
  readonly kept: readonly number[];
}

/** Makes the four in `folder`; they belong to `uid` if given. @throws if descriptors run out; none is left open then. */
export function openPipes(
  folder: string,
  options: { readonly syscalls: Syscalls | undefined; readonly uid: number | undefined },
): BoxPipes {
  const kept: number[] = [];
  const given: number[] = [];
  try {
    for (const name of ["stdin", "stdout", "stderr", "telemetry"]) {
      const path = join(folder, name);
      makeFifo(options.syscalls, path);
      // Opening /dev/stdout inside asks for the right to.
      if (options.uid !== undefined) chownSync(path, options.uid, options.uid);
      kept.push(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
      // The other side is open, so this does not wait; programs expect pipes that block.
      given.push(openSync(path, name === "stdin" ? constants.O_RDONLY : constants.O_WRONLY));
    }
    return { given, kept };
  } catch (error) {
    closeAll([...kept, ...given]);
    throw error;
  }
}

export function closeAll(fds: readonly number[]): void {
  for (const fd of fds) closeSync(fd);
}

/** What is in a pipe that does not block, up to a page. */
export function readAvailable(fd: number): string {
  const bytes = Buffer.alloc(4096);
  try {
    return bytes.toString("utf8", 0, readSync(fd, bytes));
  } catch {
    // EAGAIN: it said nothing.
    return "";
  }
}

function makeFifo(syscalls: Syscalls | undefined, path: string): void {
  if (syscalls) syscalls.mkfifo(path, 0o600);
  else execFileSync("mkfifo", ["-m", "600", path], { env: { PATH: "/usr/bin:/bin" } });
}
