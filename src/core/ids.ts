import { randomBytes, randomUUID } from "node:crypto";

/** The name of a function: 1 to 64 of `A-Z a-z 0-9 - _`, never beginning with `_` (those paths are the gateway's own). */
export type FunctionName = string & { readonly __brand: "FunctionName" };

/** A UUID; the same on the wire, in logs and in the function's context. */
export type InvocationId = string & { readonly __brand: "InvocationId" };

/** Names one sandbox on this host: `sb-` and 16 characters of `0-9 a-f`; also a folder and a cgroup name. */
export type SandboxId = string & { readonly __brand: "SandboxId" };

/** Names a key: 20 characters of `A-Z 0-9`, as AWS access key ids look, so that AWS tools accept it. */
export type KeyId = string & { readonly __brand: "KeyId" };

/** Names an event: `evt_` and 11 characters of `0-9 a-z`. Later ones sort behind earlier ones. */
export type EventId = string & { readonly __brand: "EventId" };

/** Names a source: a UUID in lower case. */
export type SourceId = string & { readonly __brand: "SourceId" };

/** Names a hook, and is the secretless part of its address: `hk_` and 26 characters of `0-9 a-z`. */
export type HookId = string & { readonly __brand: "HookId" };

/** Names a delivery to a hook: `dlv_` and 11 characters of `0-9 a-z`. Later ones sort behind earlier ones. */
export type DeliveryId = string & { readonly __brand: "DeliveryId" };
/** Names a route: `rt_` and 12 characters of `0-9 a-z`. */
export type RouteId = string & { readonly __brand: "RouteId" };

const FUNCTION_NAME = /^[A-Za-z0-9-][A-Za-z0-9-_]{0,63}$/;
const KEY_ID = /^[A-Z0-9]{16,32}$/;
const EVENT_ID = /^evt_[0-9a-z]{11}$/;
const HOOK_ID = /^hk_[0-9a-z]{26}$/;
const DELIVERY_ID = /^dlv_[0-9a-z]{11}$/;
const ROUTE_ID = /^rt_[0-9a-z]{12}$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The grammar in words, for error messages. */
export const FUNCTION_NAME_RULE = "1 to 64 characters of A-Z, a-z, 0-9, - and _, not beginning with _";

export function parseFunctionName(text: string): FunctionName | undefined {
  return FUNCTION_NAME.test(text) ? (text as FunctionName) : undefined;
}

export function parseKeyId(text: string): KeyId | undefined {
  return KEY_ID.test(text) ? (text as KeyId) : undefined;
}

export function parseInvocationId(text: string): InvocationId | undefined {
  return UUID.test(text) ? (text as InvocationId) : undefined;
}

export function parseEventId(text: string): EventId | undefined {
  return EVENT_ID.test(text) ? (text as EventId) : undefined;
}

export function parseSourceId(text: string): SourceId | undefined {
  return UUID.test(text) ? (text.toLowerCase() as SourceId) : undefined;
}

export function newSourceId(): SourceId {
  return randomUUID() as SourceId;
}

export function parseHookId(text: string): HookId | undefined {
  return HOOK_ID.test(text) ? (text as HookId) : undefined;
}

export function parseDeliveryId(text: string): DeliveryId | undefined {
  return DELIVERY_ID.test(text) ? (text as DeliveryId) : undefined;
}

export function newHookId(): HookId {
  let id = "hk_";
  for (const byte of randomBytes(26)) id += LETTERS[byte % LETTERS.length];
  return id as HookId;
}

export function parseRouteId(text: string): RouteId | undefined {
  return ROUTE_ID.test(text) ? (text as RouteId) : undefined;
}

export function newInvocationId(): InvocationId {
  return randomUUID() as InvocationId;
}

export function newSandboxId(): SandboxId {
  return `sb-${randomBytes(8).toString("hex")}` as SandboxId;
}

const LETTERS = "0123456789abcdefghjkmnpqrstvwxyz";

const KEY_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/** `LK` (`LT`: temporary) and 18 letters that cannot be mistaken for one another. */
export function newKeyId(prefix: "LK" | "LT" = "LK"): KeyId {
  let id: string = prefix;
  for (const byte of randomBytes(18)) id += KEY_LETTERS[byte % KEY_LETTERS.length];
  return id as KeyId;
}

export function newRouteId(): RouteId {
  let id = "rt_";
  for (const byte of randomBytes(12)) id += LETTERS[byte % LETTERS.length];
  return id as RouteId;
}
