import { placeOf, type StickyKey } from "../../core/canary.ts";
import type { Target } from "../../registry/target.ts";
import type { HttpRequest } from "../message.ts";
import { sourceIpOf } from "./exchange.ts";
import { headerOf, type RequestHead } from "./request-headers.ts";

/** The side of a canary that the request's key is on; what was drawn, where it has no key or nobody asked for one. */
export function sideOf(target: Target, head: RequestHead, request: HttpRequest): Target {
  const { canary } = target;
  if (!canary) return target;
  const key = keyOf(canary.sticky, head, request);
  if (key === undefined || key === "") return target;
  return placeOf(key, canary.startedAt) < canary.share ? canary.tried : canary.live;
}

function keyOf(sticky: StickyKey, head: RequestHead, request: HttpRequest): string | undefined {
  switch (sticky.kind) {
    case "ip":
      return sourceIpOf(request);
    case "header":
      return headerOf(head, sticky.name);
    case "cookie":
      return cookieOf(head.cookie, sticky.name);
  }
}

function cookieOf(cookies: string | undefined, name: string): string | undefined {
  const pair = cookies?.split(";").find((candidate) => candidate.trimStart().startsWith(`${name}=`));
  return pair?.trim().slice(name.length + 1);
}
