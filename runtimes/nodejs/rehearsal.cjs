// Before a process that is kept ready waits for its function, it loads and calls one that does nothing. Whatever runs for
// the first time is compiled, and whatever is read for the first time is paged in: several times what a small function costs.
"use strict";

const { loadHandler } = require("./handler.cjs");
const { serve } = require("./serve.cjs");

/**
 * Leaves nothing behind that a function could see.
 *
 * @param {{label: string, body: Buffer}} frame a call that nobody made
 */
async function rehearse(frame) {
  for (const hasCallbacks of [true, false]) {
    const loaded = await loadHandler(__dirname, "rehearsal-function.handler", hasCallbacks);
    await new Promise((resolve) => {
      const connection = {
        onFrame: (/** @type {any} */ _frame) => {},
        ref() {},
        unref() {},
        send() {},
        flush: () => resolve(undefined),
      };
      const failures = { report() {} };
      serve({ connection, loaded, hasCallbacks, failures, responseBytesMax: Number.POSITIVE_INFINITY });
      connection.onFrame({ callId: 1, ...frame });
    });
  }
  process.removeAllListeners("beforeExit");
  // @ts-expect-error It was put there for the function that does nothing.
  delete globalThis.awslambda;
}

module.exports = { rehearse };
