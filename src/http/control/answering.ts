/** Puts the control API together: all routes, the guard before them, and what stands behind them. */
import { PlatformError } from "../../core/errors.ts";
import type { Address, RequestHandler } from "../listener.ts";
import { AWS_ROUTES } from "./aws/routes.ts";
import { CLOUDWATCH_ROUTES } from "./cloudwatch/routes.ts";
import { newCodeLinks } from "./code-links.ts";
import { SCHEDULER_ROUTES } from "./eventbridge/scheduler-routes.ts";
import { newGuard } from "./guard.ts";
import type { ControlParts } from "./parts.ts";
import { newRequestRate } from "./request-rate.ts";
import { type Handler, jsonReply, newRouter, type Route } from "./route.ts";
import { V1_ROUTES } from "./v1/routes.ts";

/** Everything that the control listener answers. */
export const CONTROL_ROUTES: readonly Route[] = [
  ...V1_ROUTES,
  ...AWS_ROUTES,
  ...CLOUDWATCH_ROUTES,
  ...SCHEDULER_ROUTES,
];

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
  const schedules = await loadScheduleHandlers(parts);
  const sources = await loadSourceHandlers(parts);
  const links = newCodeLinks(parts.clock);
  const aws = awsHandlers(parts, links, sources.mappings);
  const projects = await parts.projects.openBook();
  const own = new Map<string, Handler>(
    Object.entries(v1Handlers(parts, links, schedules.own, sources.own, projects)),
  );
  const cloudWatch = cloudWatchHandler(parts);
  return (route) => {
    if (route.dialect === "cloudwatch") return schedules.orRules(cloudWatch);
    const handler =
      route.dialect === "aws"
        ? aws(route.name)
        : route.dialect === "scheduler"
          ? schedules.scheduler(route.name)
          : own.get(route.name);
    if (!handler) throw new PlatformError("Internal", `no handler for the route ${route.name}`);
    return handler;
  };
}

/** What answers about schedules, by whichever API: they share one book, so that changes come one after the other. */
async function loadScheduleHandlers(parts: ControlParts) {
  const [{ openScheduleBook }, { openRuleBook }, own, { schedulerHandlers }, { isForRules, rulesHandler }] =
    await Promise.all([
      import("../../registry/schedule-book.ts"),
      import("../../registry/rule-book.ts"),
      import("./v1/schedules.ts"),
      import("./eventbridge/scheduler.ts"),
      import("./eventbridge/rules.ts"),
    ]);
  const { schedules, rules, functions, clock, account, region } = parts;
  const book = openScheduleBook({ schedules, functions, clock, identity: { account, region } });
  const ruled = rulesHandler(parts, openRuleBook({ rules, schedules, functions, clock }));
  return {
    own: own.scheduleHandlers(parts, book),
    scheduler: schedulerHandlers(parts, book),
    /** Services of JSON 1.1 share an address. */
    orRules:
      (others: Handler): Handler =>
      (request) =>
        isForRules(request) ? ruled(request) : others(request),
  };
}

/** What answers about sources, by whichever API: they share one book, as schedules do. */
async function loadSourceHandlers(parts: ControlParts) {
  const [{ openSourceBook }, { mappingHandlers }, { sourceHandlers }] = await Promise.all([
    import("../../registry/source-book.ts"),
    import("./aws/sources.ts"),
    import("./v1/sources.ts"),
  ]);
  const { sources, functions, clock, sourceWork } = parts;
  const book = openSourceBook({
    sources,
    functions,
    clock,
    inspect: (source) => sourceWork.inspect(source),
    seal: (id, secret) => sourceWork.seal(id, secret),
    changed: (id) => sourceWork.changed(id),
  });
  return { mappings: mappingHandlers(parts, book), own: sourceHandlers(parts, book) };
}

const answerHealth: Handler = async () => jsonReply(200, { status: "ok" });
