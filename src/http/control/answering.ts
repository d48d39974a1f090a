/** Puts the control API together: all routes, the guard before them, and what stands behind them. */
import { PlatformError } from "../../core/errors.ts";
import type { Address, RequestHandler } from "../listener.ts";
import { AWS_ROUTES } from "./aws/routes.ts";
import { CLOUDWATCH_ROUTES } from "./cloudwatch/routes.ts";
import { newCodeLinks } from "./code-links.ts";
import { newGuard } from "./guard.ts";
import type { ControlParts } from "./parts.ts";
import { newRequestRate } from "./request-rate.ts";
import { type Handler, jsonReply, newRouter, type Route } from "./route.ts";
import { V1_ROUTES } from "./v1/routes.ts";

/** Everything that the control listener answers. */
export const CONTROL_ROUTES: readonly Route[] = [...V1_ROUTES, ...AWS_ROUTES, ...CLOUDWATCH_ROUTES];

export interface Answering {
  readonly handler: RequestHandler;
  /** Loads what stands behind the routes; the first request that needs it does so otherwise. */
  preload(): Promise<void>;
}

export function newAnswering(parts: ControlParts, bound: Address, closing: AbortSignal): Answering {
  let handlers: Promise<(route: Route) => Handler> | undefined;
  const loadHandlers = () => {
    handlers ??= load(parts);
    return handlers;
  };
  const handler = newGuard({
    router: newRouter(CONTROL_ROUTES),
    handlerOf: async (route) => (route.name === "getHealth" ? answerHealth : (await loadHandlers())(route)),
    keys: parts.keys,
    functions: parts.functions,
    admitRequest: newRequestRate(parts.quotas.requestsPerSecondMax, parts.clock),
    allowedHosts: { bound, names: parts.hostNames },
    account: parts,
    uploadDir: parts.uploadDir,
    clock: parts.clock,
    log: parts.log,
    closing,
  });
  return {
    handler,
    async preload() {
      await loadHandlers();
    },
  };
}

/** The schema library that these check requests with takes longer to load than all the rest. */
async function load(parts: ControlParts): Promise<(route: Route) => Handler> {
  const [{ awsHandlers }, { v1Handlers }, { cloudWatchHandler }] = await Promise.all([
    import("./aws/handlers.ts"),
    import("./v1/handlers.ts"),
    import("./cloudwatch/handler.ts"),
  ]);
  const links = newCodeLinks(parts.clock);
  const aws = awsHandlers(parts, links);
  const own = new Map<string, Handler>(Object.entries(v1Handlers(parts, links)));
  const cloudWatch = cloudWatchHandler(parts);
  return (route) => {
    if (route.dialect === "cloudwatch") return cloudWatch;
    const handler = route.dialect === "aws" ? aws(route.name) : own.get(route.name);
    if (!handler) throw new PlatformError("Internal", `no handler for the route ${route.name}`);
    return handler;
  };
}

const answerHealth: Handler = async () => jsonReply(200, { status: "ok" });
