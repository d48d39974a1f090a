/** Upgraded connections (WebSocket) to functions that are servers; the bytes pass through in both directions. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { isPlatformError, PlatformError } from "../../core/errors.ts";
import { newInvocationId } from "../../core/ids.ts";
import type { Target } from "../../registry/target.ts";
import { endWithError, explainError } from "../error-response.ts";
import { sideOf } from "./canary-side.ts";
import {
  type Addressed,
  provenanceOf,
  type ServingParts,
  sourceIpOf,
  targetOf,
  verified,
} from "./exchange.ts";
import { checkOpenUrl, resolveUrl } from "./function-url.ts";
import { resolveRequested } from "./release-of-request.ts";
import { hasBody } from "./request-body.ts";
import { forwardedHeaders, type RequestHead, readRequestHead } from "./request-headers.ts";
import type { Router } from "./routing.ts";

/** Never rejects: what goes wrong is said on the connection, as long as nothing else was. */
export async function serveUpgrade(
  parts: ServingParts,
  router: Router,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const invocationId = newInvocationId();
  const writtenBefore = request.socket.bytesWritten;
  const signal = parts.callers.signalOf(socket);
  try {
    const { requestHead, route, target: drawn } = await admit(parts, router, request);
    const target = sideOf(drawn, requestHead, request);
    const provenance = provenanceOf(request, requestHead, route, invocationId);
    const rawHeaders = forwardedHeaders(requestHead, provenance);
    rawHeaders.push("connection", "upgrade", "upgrade", requestHead.upgrade ?? "websocket");
    const tunnelled = { method: request.method ?? "GET", path: targetOf(route), rawHeaders };
    await parts.invocations.tunnel(target, { request: tunnelled, client: socket, head }, { signal });
  } catch (error) {
    if (request.socket.bytesWritten !== writtenBefore || isPlatformError(error, "CallerGone"))
      socket.destroy();
    else endWithError(socket, explainError(error, { log: parts.log, requestId: invocationId }), invocationId);
  }
}

interface AdmittedUpgrade {
  readonly requestHead: RequestHead;
  readonly route: Addressed;
  readonly target: Target;
}

async function admit(
  parts: ServingParts,
  router: Router,
  request: IncomingMessage,
): Promise<AdmittedUpgrade> {
  const requestHead = readRequestHead(request.rawHeaders);
  if (hasBody(requestHead))
    throw new PlatformError("InvalidRequest", "an upgrade request must not have a body");
  const routed = router.route(request.url ?? "/", requestHead.host);
  const route =
    routed.kind === "routed"
      ? await (await import("./routed.ts")).admitUpgrade(
          parts,
          request.method ?? "GET",
          requestHead,
          sourceIpOf(request),
          routed,
        )
      : routed;
  if (route.kind === "admitted") {
    requireServer(route.target);
    return { requestHead: route.head, route: route.address, target: route.target };
  }
  if (route.kind === "own")
    throw new PlatformError("RouteNotFound", `nothing can be upgraded at ${route.path}`);
  if (route.kind === "function") {
    const target = await resolveRequested(parts, requestHead.release, route.name, route.qualifier);
    requireServer(target);
    return { requestHead, route, target };
  }
  const { target, url } = await resolveUrl(parts.functions, route.urlId);
  requireServer(target);
  if (url.authType === "NONE") {
    checkOpenUrl(parts.urlPermissions, target);
    return { requestHead, route, target };
  }
  const { head } = await verified(parts.verifySignature, request, requestHead, route, undefined, target);
  return { requestHead: head, route, target };
}

function requireServer({ record, version }: Target): void {
  const { kind } = version.config.entry;
  if (kind === "server" || kind === "lifecycle") return;
  throw new PlatformError(
    "InvalidRequest",
    `${record.name} is a ${kind}, which cannot take an upgraded connection; write it as a server to use WebSockets`,
  );
}
