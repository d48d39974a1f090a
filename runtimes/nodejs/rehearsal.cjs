// Before a process that is kept ready waits for its function, it becomes, loads and calls one that does nothing. Whatever runs
// for the first time is compiled, and whatever is read for the first time is paged in: several times what a small function costs.
"use strict";

const { setFlagsFromString } = require("node:v8");
const { runInNewContext } = require("node:vm");
const { encode, FRAME } = require("./connection.cjs");
const { specialise } = require("./specialise.cjs");

const TYPE_AT = 4;

/**
 * Leaves nothing behind that a function could see.
 *
 * @param {import("./specialise.cjs").Parts} parts
 * @param {import("./connection.cjs").Frame} call one that nobody made
 */
async function rehearse(parts, call) {
  const folder = process.cwd();
  for (const runtime of ["nodejs22.x", "nodejs24.x"]) await rehearseAs(runtime, parts, call);
  for (const event of ["beforeExit", "uncaughtException", "unhandledRejection"]) {
    process.removeAllListeners(event);
  }
  process.chdir(folder);
  collectGarbage();
  // @ts-expect-error It was put there for the function that does nothing.
  delete globalThis.awslambda;
}

/**
 * There is room then for what a first call leaves behind: to collect in its midst costs it milliseconds. All of the heap, and
 * as one that is short of memory would: a megabyte of what the rehearsal has left would stay with each idle instance.
 */
function collectGarbage() {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")({ type: "major", flavor: "last-resort" });
  setFlagsFromString("--no-expose-gc");
}

/**
 * @param {string} runtime
 * @param {import("./specialise.cjs").Parts} parts
 * @param {import("./connection.cjs").Frame} call
 */
function rehearseAs(runtime, parts, { label, body }) {
  const specialisation = {
    handler: "rehearsal-function.handler",
    taskRoot: __dirname,
    runtime,
    environment: { ...parts.environment },
    responseBytesMax: Number.POSITIVE_INFINITY,
    awaitsCode: true,
    awaitsPack: false,
  };
  return new Promise((resolve) => {
    const { connection, receive } = parts.connection.rehearsal((/** @type {Buffer} */ written) => {
      if (written[TYPE_AT] === FRAME.ready) setImmediate(receive, encode(FRAME.invoke, 1, label, body));
      else resolve(undefined);
    });
    void connection
      .nextFrame()
      .then((/** @type {import("./connection.cjs").Frame} */ frame) =>
        specialise({ ...parts, connection }, frame),
      );
    receive(
      Buffer.concat([
        encode(FRAME.specialise, 0, JSON.stringify(specialisation), ""),
        encode(FRAME.load, 0, "", ""),
      ]),
    );
  });
}

module.exports = { rehearse };
