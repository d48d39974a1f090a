// One request of a lifecycle module: a context for it, `run`, and what becomes of either's failure.

/**
 * @typedef {object} RequestParts
 * @property {import("./lifecycle-contexts.mjs").ContextPool} contexts
 * @property {import("./lifecycle-module.mjs").LifecycleModule} module
 * @property {(what: string, error: unknown) => void} failed `what` is "Start Error" or "Run Error"
 */

/**
 * Resolves when the response is over and its context free again. Never rejects.
 *
 * @param {RequestParts} parts
 * @param {import("node:http").IncomingMessage} request
 * @param {import("node:http").ServerResponse} response
 */
export async function serveRequest({ contexts, module, failed }, request, response) {
  const closed = new Promise((resolve) => response.once("close", resolve));
  let held;
  try {
    held = await contexts.acquire();
  } catch (error) {
    failed("Start Error", error);
    fail(response);
    return;
  }
  // Whoever asked may have gone while it waited.
  if (!response.destroyed) {
    try {
      await module.run(held.value, request, response);
    } catch (error) {
      failed("Run Error", error);
      fail(response);
    }
    // The response may outlive `run`: the context is its own until both are over.
    await closed;
  }
  contexts.release(held);
}

/**
 * What the client gets of an error: that there was one. The error itself is for the log.
 *
 * @param {import("node:http").ServerResponse} response
 */
function fail(response) {
  if (response.writableEnded) return;
  if (response.headersSent) {
    // The client must not take for whole what is not.
    response.destroy();
    return;
  }
  for (const name of response.getHeaderNames()) response.removeHeader(name);
  response.writeHead(500, { "content-type": "application/json" });
  response.end('{"message":"Internal Server Error"}');
}
