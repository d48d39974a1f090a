import { hostname } from "node:os";
import type { Context, Init, Run, Stop } from "lambdad";

type Counter = Context<typeof start>;

/** Once per instance, before anything else. */
export const init: Init = ({ functionName, slots }) => {
  console.log(`${functionName} on ${hostname()}: up to ${slots} requests at a time`);
};

/** Once per parallel slot: what it returns belongs to one request at a time, so it needs no lock. */
export async function start() {
  return { startedAt: new Date().toISOString(), requests: 0 };
}

/** Once per request. */
export const run: Run<Counter> = (context, request, response) => {
  context.requests += 1;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ path: request.url, ...context }));
};

/** When the slot is not needed any more. */
export const stop: Stop<Counter> = (context) => {
  console.log("stopped after", context.requests, "requests");
};
