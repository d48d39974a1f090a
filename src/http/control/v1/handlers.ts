/** What stands behind the routes of our own API; loaded after the listener is up, like AWS's. */
import { PlatformError } from "../../../core/errors.ts";
import { parseKeyId } from "../../../core/ids.ts";
import type { ProjectBook } from "../../../registry/projects.ts";
import type { CodeLinks } from "../code-links.ts";
import { getMetrics } from "../metrics-text.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, type Handler, jsonReply, type Reply } from "../route.ts";
import { BuildSecrets } from "./build-secrets.ts";
import { abortCanary, getCanary, promoteCanary } from "./canaries.ts";
import { deployFunction } from "./deploy.ts";
import * as events from "./events.ts";
import * as functions from "./functions.ts";
import { hookHandlers } from "./hooks.ts";
import { routeHandlers } from "./http-routes.ts";
import * as images from "./images.ts";
import * as layers from "./layers.ts";
import { readLogs } from "./logs.ts";
import { openApiDocument } from "./openapi.ts";
import { projectHandlers } from "./projects.ts";
import { recordingHandlers } from "./recordings.ts";
import type { V1Name } from "./routes.ts";
import type { ScheduleOperation } from "./schedules.ts";
import { getShadow, stopShadow } from "./shadows.ts";
import { keyShape } from "./shapes.ts";
import type { SourceOperation } from "./sources.ts";
import { getFunctionStats, getStats } from "./stats.ts";
import { parseCreateKey } from "./wire.ts";

/** `getHealth` is answered by the listener itself, before this is loaded. */
export function v1Handlers(
  parts: ControlParts,
  links: CodeLinks,
  schedules: Readonly<Record<ScheduleOperation, Handler>>,
  sources: Readonly<Record<SourceOperation, Handler>>,
  projects: ProjectBook,
): Readonly<Record<V1Name, Handler>> {
  const withParts =
    (act: (parts: ControlParts, request: ControlRequest) => Promise<Reply>): Handler =>
    (request) =>
      act(parts, request);
  const secrets = new BuildSecrets(() => parts.clock.now());
  return {
    getHealth: async () => jsonReply(200, { status: "ok" }),
    getCode: (request) => getCode(parts, links, request),
    getStatus: async () => {
      const { account, region } = parts;
      return jsonReply(200, { ...(await parts.status()), account, region });
    },
    listFunctions: withParts(functions.listFunctions),
    getFunction: withParts(functions.getFunction),
    changeFunction: withParts(functions.changeFunction),
    deleteFunction: withParts(functions.deleteFunction),
    putBuildSecrets: (request) => secrets.put(request),
    deployFunction: (request) => deployFunction(parts, secrets, request),
    rollbackFunction: withParts(functions.rollbackFunction),
    getCanary: withParts(getCanary),
    promoteCanary: withParts(promoteCanary),
    abortCanary: withParts(abortCanary),
    getShadow: withParts(getShadow),
    stopShadow: withParts(stopShadow),
    listVersions: withParts(functions.listVersions),
    deleteVersion: withParts(functions.deleteVersion),
    listAliases: withParts(functions.listAliases),
    putAlias: withParts(functions.putAlias),
    deleteAlias: withParts(functions.deleteAlias),
    readLogs: withParts(readLogs),
    getMetrics: withParts(getMetrics),
    getStats: withParts(getStats),
    getFunctionStats: withParts(getFunctionStats),
    listLayers: withParts(layers.listLayers),
    getLayer: withParts(layers.getLayer),
    publishLayer: withParts(layers.publishLayer),
    deleteLayer: withParts(layers.deleteLayer),
    listEvents: withParts(events.listEvents),
    getEvent: withParts(events.getEvent),
    getEventResult: withParts(events.getEventResult),
    cancelEvent: withParts(events.cancelEvent),
    retryEvent: withParts(events.retryEvent),
    listDeadLetters: withParts(events.listDeadLetters),
    redriveDeadLetters: withParts(events.redriveDeadLetters),
    purgeDeadLetters: withParts(events.purgeDeadLetters),
    ...recordingHandlers(parts),
    ...schedules,
    ...projectHandlers(parts, projects, secrets),
    listImages: withParts(images.listImages),
    refreshImages: withParts(images.refreshImages),
    ...hookHandlers(parts),
    ...routeHandlers(parts),
    ...sources,
    listKeys: async () => jsonReply(200, { keys: (await parts.keys.list()).map(keyShape) }),
    createKey: async (request) => {
      const { key, secret, token } = await parts.keys.create(parseCreateKey(request.json));
      return jsonReply(201, { key: keyShape(key), secret, token });
    },
    revokeKey: async (request) => {
      const id = parseKeyId(request.params.id ?? "");
      if (!id)
        throw new PlatformError("ResourceNotFound", `there is no key ${JSON.stringify(request.params.id)}`);
      await parts.keys.revoke(id);
      return emptyReply(204);
    },
    listRuntimes: async () => jsonReply(200, { runtimes: await parts.runtimes.list() }),
    installRuntime: async ({ params }) =>
      jsonReply(200, { runtime: await parts.runtimes.install(params.runtime ?? "") }),
    getOpenApi: async () => jsonReply(200, openApiDocument()),
  };
}

async function getCode(parts: ControlParts, links: CodeLinks, request: ControlRequest): Promise<Reply> {
  const file = await parts.depot.findArchive(links.resolve(request.params.token ?? ""));
  if (file === undefined) throw new PlatformError("ResourceNotFound", "the archive is no longer kept");
  return { kind: "file", file, contentType: "application/zip" };
}
