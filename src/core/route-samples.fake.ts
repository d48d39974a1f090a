import assert from "node:assert/strict";
import { newRouteId, parseFunctionName } from "./ids.ts";
import { type CallAction, type HttpRoute, ROUTE_METHODS } from "./route.ts";

/** `GET /stock/{symbol}`, or with its host: `GET api.localhost/stock/{symbol}`. */
export function sampleRoute(key: string, change: Partial<HttpRoute> = {}): HttpRoute {
  const [, method, host, path] = /^([A-Z]+) ([^/]*)(\/.*)$/.exec(key) ?? [];
  const named = ROUTE_METHODS.find((one) => one === method);
  assert.ok(named && path !== undefined, key);
  return {
    id: newRouteId(),
    host: host === "" ? undefined : host,
    method: named,
    path,
    action: sampleAction("greet"),
    authorizer: { kind: "none" },
    cors: undefined,
    limit: undefined,
    description: "",
    createdAt: 1,
    modifiedAt: 2,
    ...change,
  };
}

export function sampleAction(functionName: string, change: Partial<CallAction> = {}): CallAction {
  const name = parseFunctionName(functionName);
  assert.ok(name, functionName);
  return {
    kind: "function",
    functionName: name,
    qualifier: undefined,
    payload: "2.0",
    isAsync: false,
    stripPrefix: undefined,
    stageVariables: {},
    event: undefined,
    ...change,
  };
}
