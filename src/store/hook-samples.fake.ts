import type { Hook } from "../core/hook.ts";
import { newHookId } from "../core/ids.ts";
import type { NewDelivery } from "./hooks.ts";
import { sampleName } from "./samples.fake.ts";

export function sampleHook(name: string, change: Partial<Hook> = {}): Hook {
  return {
    id: newHookId(),
    name,
    description: "",
    functionName: sampleName("greet"),
    qualifier: undefined,
    provider: "github",
    hmac: undefined,
    secrets: [],
    isPaused: false,
    deploy: undefined,
    owner: undefined,
    createdAt: 1,
    modifiedAt: 1,
    ...change,
  };
}

export function sampleDelivery(hook: Hook, change: Partial<NewDelivery> = {}): NewDelivery {
  return {
    hookId: hook.id,
    functionName: hook.functionName,
    at: 1_000,
    outcome: "answered",
    note: undefined,
    senderId: "42",
    eventType: "push",
    sourceIp: "127.0.0.1",
    bodyBytes: 2,
    repeats: undefined,
    event: undefined,
    deployment: undefined,
    ...change,
  };
}
