// A syntax error's file and line. CommonJS has them in its stack; for ES modules Node keeps them to itself, so the files
// are parsed once more, in another process, without running any of them.
"use strict";

const { spawnSync } = require("node:child_process");
const { join } = require("node:path");
const { RuntimeError } = require("./errors.cjs");

const LOCATION = /^(?:file:\/\/)?\/.*:\d+\n/;

/**
 * @param {SyntaxError} error
 * @param {string | undefined} file where loading began
 */
function syntaxErrorOf(error, file) {
  const hasLocation = LOCATION.test(error.stack ?? "") || file === undefined;
  const found = hasLocation ? "" : locate(file);
  if (LOCATION.test(found)) Object.defineProperty(error, "stack", { value: found, configurable: true });
  return new RuntimeError("UserCodeSyntaxError", String(error), error);
}

/** @param {string} file */
function locate(file) {
  const checker = join(__dirname, "check-syntax.mjs");
  const { stderr } = spawnSync(
    process.execPath,
    ["--experimental-vm-modules", "--no-warnings", checker, file],
    {
      encoding: "utf8",
      timeout: 5_000,
      env: {},
    },
  );
  // The checker's own frames say nothing of the function.
  return stderr?.split("\n    at ")[0] ?? "";
}

module.exports = { syntaxErrorOf };
