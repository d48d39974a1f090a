/**
 * Both ends of running a program on another Node. The older Node stays as a wrapper that passes signals on and ends
 * as the program ends. A wrapper killed by SIGKILL can pass nothing on, so the program holds one end of a pipe whose
 * other end is the wrapper's: the kernel closes it with the wrapper, whatever its death.
 */

import { spawn } from "node:child_process";
import { Socket } from "node:net";
import { isatty } from "node:tty";

const PIPE_FD = 3;
const ENDING_SIGNALS = ["SIGTERM", "SIGHUP", "SIGUSR2"];
/** A terminal sends these to wrapper and program alike; passed on as well, the program would see each twice. */
const KEYBOARD_SIGNALS = ["SIGINT", "SIGQUIT"];

/** The wrapper's end. */
export function rerun(node, argv) {
  // Without `--` Node would look for options of its own among ours (--env-file).
  const program = spawn(node, ["--", ...argv], {
    stdio: ["inherit", "inherit", "inherit", "pipe"],
    env: { ...process.env, LAMBDAD_WRAPPER_FD: String(PIPE_FD) },
  });
  const onTerminal = [0, 1, 2].some((fd) => isatty(fd));
  for (const signal of ENDING_SIGNALS) process.on(signal, () => program.kill(signal));
  for (const signal of KEYBOARD_SIGNALS) process.on(signal, () => onTerminal || program.kill(signal));

  program.on("error", (error) => {
    process.stderr.write(`cannot start ${node}: ${error.message}; run npm install again\n`);
    process.exitCode = 69;
  });
  program.on("exit", (code, signal) => {
    if (signal === null) process.exit(code);
    // Whoever waits for the wrapper must see how the program died.
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

/** The program's end. */
export function dieWithWrapper(fd) {
  const wrapper = new Socket({ fd, readable: true, writable: false });
  wrapper.on("error", () => undefined); // Followed by `close`, which acts.
  wrapper.on("close", () => process.kill(process.pid, "SIGKILL"));
  wrapper.resume();
  wrapper.unref();
}
