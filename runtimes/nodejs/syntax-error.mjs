// A syntax error's file and line. CommonJS has them in its stack; for ES modules Node keeps them to itself, so the files
// are parsed once more, in another process, without running any of them.
import { spawnSync } from "node:child_process";
import { RuntimeError } from "./errors.mjs";

const LOCATION = /^(?:file:\/\/)?\/.*:\d+\n/;

/**
 * @param {SyntaxError} error
 * @param {string | undefined} file where loading began
 */
export function syntaxErrorOf(error, file) {
  const hasLocation = LOCATION.test(error.stack ?? "") || file === undefined;
  const found = hasLocation ? "" : locate(file);
  if (LOCATION.test(found)) Object.defineProperty(error, "stack", { value: found, configurable: true });
  return new RuntimeError("UserCodeSyntaxError", String(error), error);
}

/** @param {string} file */
function locate(file) {
  const checker = new URL("./check-syntax.mjs", import.meta.url).pathname;
  const { stdout } = spawnSync(
    process.execPath,
    ["--experimental-vm-modules", "--no-warnings", checker, file],
    {
      encoding: "utf8",
      timeout: 5_000,
      env: {},
    },
  );
  return stdout?.trimEnd() ?? "";
}
