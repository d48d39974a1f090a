import { PlatformError } from "../../core/errors.ts";
import { type Listener, listen } from "../listener.ts";
import { AWS_ROUTES } from "./aws/routes.ts";
import { newCodeLinks } from "./code-links.ts";
import { newGuard } from "./guard.ts";
import type { AllowedHosts } from "./hosts.ts";
import type { ControlParts } from "./parts.ts";
import { type Handler, jsonReply, newRouter, type Route } from "./route.ts";
import { V1_ROUTES } from "./v1/routes.ts";

/** Everything that the control listener answers. */
export const CONTROL_ROUTES: readonly Route[] = [...V1_ROUTES, ...AWS_ROUTES];

/** For a whole request to arrive: an archive over a slow line. */
const REQUEST_MS_MAX = 15 * 60_000;
/** When nobody has asked yet, what stands behind the routes is loaded so long after the start. */
const PRELOAD_AFTER_MS = 250;

/**
 * Starts the control listener: the AWS Lambda API and our own.
 *
 * What stands behind the routes is loaded once the listener is up, in a quiet moment or by the first request, since
 * the schema library takes longer to load than all the rest.
 *
 * @throws PlatformError as `listen` does.
 */
export async function openControl(parts: ControlParts): Promise<Listener> {
  const links = newCodeLinks(parts.clock);
  const closing = new AbortController();
  let handlers: Promise<(route: Route) => Handler> | undefined;
  const loadHandlers = () => {
    handlers ??= load(parts, links);
    return handlers;
  };

  let allowedHosts: AllowedHosts | undefined;
  const guard = newGuard({
    router: newRouter(CONTROL_ROUTES),
    handlerOf: async (route) => (route.name === "getHealth" ? answerHealth : (await loadHandlers())(route)),
    keys: parts.keys,
    allowedHosts: () =>
      allowedHosts ?? { bound: { host: parts.host, port: parts.port }, names: parts.hostNames },
    account: parts,
    uploadDir: parts.uploadDir,
    clock: parts.clock,
    log: parts.log,
    closing: closing.signal,
  });
  const listener = await listen({
    host: parts.host,
    port: parts.port,
    setting: "--control or LAMBDAD_CONTROL",
    log: parts.log,
    requestMsMax: REQUEST_MS_MAX,
    drainMs: parts.drainMs,
    handler: guard,
    handlesContinue: true,
  });
  allowedHosts = { bound: listener.address, names: parts.hostNames };
  const preload = setTimeout(() => {
    // A failure here comes again with the first request, which can be told.
    loadHandlers().catch((error: unknown) => parts.log.error("cannot load the control API", { error }));
  }, PRELOAD_AFTER_MS);
  preload.unref();

  return {
    address: listener.address,
    async [Symbol.asyncDispose]() {
      clearTimeout(preload);
      closing.abort(new PlatformError("ShuttingDown", "the daemon is stopping"));
      await listener[Symbol.asyncDispose]();
    },
  };
}

async function load(
  parts: ControlParts,
  links: ReturnType<typeof newCodeLinks>,
): Promise<(route: Route) => Handler> {
  const [{ awsHandlers }, { v1Handlers }] = await Promise.all([
    import("./aws/handlers.ts"),
    import("./v1/handlers.ts"),
  ]);
  const aws = awsHandlers(parts, links);
  const own = new Map<string, Handler>(Object.entries(v1Handlers(parts, links)));
  return (route) => {
    const handler = route.dialect === "aws" ? aws(route.name) : own.get(route.name);
    if (!handler) throw new PlatformError("Internal", `no handler for the route ${route.name}`);
    return handler;
  };
}

const answerHealth: Handler = async () => jsonReply(200, { status: "ok" });
