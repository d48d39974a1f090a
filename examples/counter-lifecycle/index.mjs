import { hostname } from "node:os";

/** Once per instance, before anything else. */
export async function init() {
  console.log("init on", hostname());
}

/** Once per parallel slot: what it returns belongs to one request at a time, so it needs no lock. */
export async function start() {
  return { startedAt: new Date().toISOString(), requests: 0 };
}

/** Once per request. */
export async function run(context, request, response) {
  context.requests += 1;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ path: request.url, ...context }));
}

/** When the slot is not needed any more. */
export async function stop(context) {
  console.log("stopped after", context.requests, "requests");
}
