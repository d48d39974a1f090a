/** Our own API as one table; docs/api.md says the same for readers, and the OpenAPI document is made of it. */
import { ARCHIVE_BYTES_MAX } from "../../../core/limits.ts";
import type { Scope } from "../../../store/store.ts";
import type { BodyRule, Route } from "../route.ts";

const JSON_BODY: BodyRule = { kind: "json", bytesMax: 1024 * 1024 };
const ARCHIVE: BodyRule = { kind: "file", bytesMax: ARCHIVE_BYTES_MAX };
const NO_BODY: BodyRule = { kind: "none" };

interface Row<Name extends string> {
  readonly name: Name;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly access: Scope | "open" | "link";
  readonly body: BodyRule;
  /** One sentence for the OpenAPI document. */
  readonly summary: string;
}

function row<Name extends string>(
  name: Name,
  request: `${"GET" | "POST" | "PUT" | "PATCH" | "DELETE"} /${string}`,
  access: Row<Name>["access"],
  summary: string,
  body: BodyRule = NO_BODY,
): Row<Name> {
  const [method, path = ""] = request.split(" ");
  switch (method) {
    case "POST":
    case "PUT":
    case "PATCH":
    case "DELETE":
      return { name, method, path, access, body, summary };
    default:
      return { name, method: "GET", path, access, body, summary };
  }
}

const F = "/v1/functions/{name}";
const S = "/v1/schedules/{schedule}";
const P = "/v1/projects/{project}";
const H = "/v1/hooks/{hook}";
const R = "/v1/routes/{route}";
const Q = "/v1/sources/{source}";

export const V1_ROWS = [
  row("getHealth", "GET /health", "open", "Whether the daemon serves; needs no key."),
  row("getMetrics", "GET /metrics", "read", "Counters and gauges for Prometheus."),
  row("getCode", "GET /_code/{token}", "link", "The archive of a version, under a link of GetFunction."),
  row("getStatus", "GET /v1/status", "read", "Facts of the running daemon."),
  row("listFunctions", "GET /v1/functions", "read", "Functions by name."),
  row("getFunction", `GET ${F}`, "read", "One function."),
  row(
    "changeFunction",
    `PATCH ${F}`,
    "deploy",
    "Changes settings as a new version, live at once.",
    JSON_BODY,
  ),
  row("deleteFunction", `DELETE ${F}`, "deploy", "Removes a function with all that belongs to it."),
  row(
    "putBuildSecrets",
    "POST /v1/build-secrets",
    "deploy",
    "Keeps secrets for one build that is asked for next.",
    JSON_BODY,
  ),
  row("deployFunction", `POST ${F}/deploy`, "deploy", "Takes code in, builds, publishes, starts.", ARCHIVE),
  row("rollbackFunction", `POST ${F}/rollback`, "deploy", "Makes an earlier version live.", JSON_BODY),
  row("getCanary", `GET ${F}/canary`, "read", "The latest canary, its figures and what was decided."),
  row("promoteCanary", `POST ${F}/canary/promote`, "deploy", "Makes the canary live at once.", JSON_BODY),
  row("abortCanary", `POST ${F}/canary/abort`, "deploy", "Ends the canary; what is live stays.", JSON_BODY),
  row("getShadow", `GET ${F}/shadow`, "read", "The latest shadow, and how its answers differ."),
  row("stopShadow", `POST ${F}/shadow/stop`, "deploy", "Copies no more calls.", JSON_BODY),
  row("listVersions", `GET ${F}/versions`, "read", "Published versions, ascending."),
  row(
    "deleteVersion",
    `DELETE ${F}/versions/{number}`,
    "deploy",
    "Removes a version that no alias points at.",
  ),
  row("listAliases", `GET ${F}/aliases`, "read", "Aliases by name."),
  row("putAlias", `PUT ${F}/aliases/{alias}`, "deploy", "Creates or moves an alias.", JSON_BODY),
  row("deleteAlias", `DELETE ${F}/aliases/{alias}`, "deploy", "Removes an alias."),
  row("readLogs", `GET ${F}/logs`, "read", "Log lines in order of time, then new ones if asked to follow."),
  row("getRecordingSettings", `GET ${F}/recording`, "read", "Whether it is recorded, and what is kept."),
  row(
    "putRecordingSettings",
    `PUT ${F}/recording`,
    "deploy",
    "Records invocations from now on; what is left out stays as it was.",
    JSON_BODY,
  ),
  row("deleteRecordingSettings", `DELETE ${F}/recording`, "deploy", "Records no more; recordings stay."),
  row("listRecordings", `GET ${F}/recordings`, "read", "Recordings without their payloads, latest first."),
  row("deleteRecordings", `DELETE ${F}/recordings`, "deploy", "Removes all recordings of the function."),
  row("getRecording", `GET ${F}/recordings/{id}`, "replay", "One recording, with input and outcome."),
  row("deleteRecording", `DELETE ${F}/recordings/{id}`, "deploy", "Removes the recording of an invocation."),
  row(
    "replayRecording",
    `POST ${F}/recordings/{id}/replay`,
    "replay",
    "Runs a recording again and tells how the outcomes differ.",
    JSON_BODY,
  ),
  row("findRecording", "GET /v1/recordings/{id}", "replay", "The same, whichever function it is of."),
  row("getStats", "GET /v1/stats", "read", "What each function did in a span of time."),
  row("getFunctionStats", `GET ${F}/stats`, "read", "The same of one, by version and in steps of time."),
  row("listLayers", "GET /v1/layers", "read", "Layers by name, the newest version of each."),
  row("getLayer", "GET /v1/layers/{layer}", "read", "The versions of a layer, newest first."),
  row(
    "publishLayer",
    "POST /v1/layers/{layer}",
    "deploy",
    "Takes an archive in as its next version.",
    ARCHIVE,
  ),
  row("deleteLayer", "DELETE /v1/layers/{layer}/{number}", "deploy", "Removes a version; functions keep it."),
  row("listEvents", "GET /v1/events", "read", "Events, latest first."),
  row("getEvent", "GET /v1/events/{id}", "read", "One event; waits for its end, or tells each change."),
  row("getEventResult", "GET /v1/events/{id}/result", "read", "What the call of an event gave."),
  row("cancelEvent", "POST /v1/events/{id}/cancel", "deploy", "Ends an event that has not ended.", JSON_BODY),
  row(
    "retryEvent",
    "POST /v1/events/{id}/retry",
    "deploy",
    "Sends a failed event on its way again.",
    JSON_BODY,
  ),
  row("listDeadLetters", `GET ${F}/dlq`, "read", "Events that failed or expired, latest first."),
  row("redriveDeadLetters", `POST ${F}/dlq/redrive`, "deploy", "Sends them on their way again.", JSON_BODY),
  row("purgeDeadLetters", `DELETE ${F}/dlq`, "deploy", "Removes them for good."),
  row("listSchedules", "GET /v1/schedules", "read", "Schedules by name."),
  row("getSchedule", `GET ${S}`, "read", "One schedule."),
  row("putSchedule", `PUT ${S}`, "deploy", "Creates or replaces a schedule.", JSON_BODY),
  row("deleteSchedule", `DELETE ${S}`, "deploy", "Removes a schedule with its history."),
  row("pauseSchedule", `POST ${S}/pause`, "deploy", "Lets it fire no more until it is resumed.", JSON_BODY),
  row("resumeSchedule", `POST ${S}/resume`, "deploy", "Lets it fire again, from now on.", JSON_BODY),
  row("runSchedule", `POST ${S}/run`, "deploy", "Enqueues its event now.", JSON_BODY),
  row("upcomingOfSchedule", `GET ${S}/next`, "read", "The instants at which it fires next."),
  row("historyOfSchedule", `GET ${S}/history`, "read", "What became of its instants, latest first."),
  row("listProjects", "GET /v1/projects", "read", "Projects by name."),
  row("getProject", `GET ${P}`, "read", "One project, with its live and its latest release."),
  row("deleteProject", `DELETE ${P}`, "deploy", "Removes a project with all of its functions."),
  row(
    "buildForProject",
    `POST ${P}/builds/{function}`,
    "deploy",
    "Takes code in and builds it, for a release that is made later.",
    ARCHIVE,
  ),
  row("listReleases", `GET ${P}/releases`, "read", "Releases, latest first."),
  row(
    "makeRelease",
    `POST ${P}/releases`,
    "deploy",
    "Makes a release, starts it, switches to it.",
    JSON_BODY,
  ),
  row("getRelease", `GET ${P}/releases/{number}`, "read", "One release, and what it changed."),
  row(
    "compareReleases",
    `GET ${P}/releases/{number}/compare/{other}`,
    "read",
    "How the second release differs from the first.",
  ),
  row(
    "switchRelease",
    `POST ${P}/switch`,
    "deploy",
    "Makes an earlier release live, or a preview.",
    JSON_BODY,
  ),
  row("getReleaseCanary", `GET ${P}/canary`, "read", "The release that is tried, or was, and its figures."),
  row(
    "promoteReleaseCanary",
    `POST ${P}/canary/promote`,
    "deploy",
    "Makes the release that is tried live at once.",
    JSON_BODY,
  ),
  row(
    "abortReleaseCanary",
    `POST ${P}/canary/abort`,
    "deploy",
    "Ends the canary; the live release stays.",
    JSON_BODY,
  ),
  row("getReleaseShadow", `GET ${P}/shadow`, "read", "The release that is given copies, and what differs."),
  row("stopReleaseShadow", `POST ${P}/shadow/stop`, "deploy", "Copies no more calls to it.", JSON_BODY),
  row("listImages", "GET /v1/images", "read", "Images that versions run, with what they were built on."),
  row(
    "refreshImages",
    "POST /v1/images/refresh",
    "deploy",
    "Pulls newer base images, and builds again what was built on older ones.",
    JSON_BODY,
  ),
  row("listHooks", "GET /v1/hooks", "read", "Hooks by name."),
  row("createHook", "POST /v1/hooks", "deploy", "A new hook, with its address and secret.", JSON_BODY),
  row("getHook", `GET ${H}`, "read", "One hook, by name or id."),
  row("deleteHook", `DELETE ${H}`, "deploy", "Removes a hook with its deliveries."),
  row("pauseHook", `POST ${H}/pause`, "deploy", "Lets it take nothing until it is resumed.", JSON_BODY),
  row("resumeHook", `POST ${H}/resume`, "deploy", "Lets it take deliveries again.", JSON_BODY),
  row("rotateHook", `POST ${H}/rotate`, "deploy", "Gives it another secret beside the old one.", JSON_BODY),
  row("listHookDeliveries", `GET ${H}/deliveries`, "read", "What came to a hook, latest first."),
  row("getHookDelivery", `GET ${H}/deliveries/{delivery}`, "read", "One delivery, with its build log."),
  row(
    "redeliverHook",
    `POST ${H}/deliveries/{delivery}/redeliver`,
    "deploy",
    "Does again what followed from a delivery.",
    JSON_BODY,
  ),
  row("listRoutes", "GET /v1/routes", "read", "Routes by id."),
  row("createRoute", "POST /v1/routes", "deploy", "A new route.", JSON_BODY),
  row("testRoute", "POST /v1/routes/test", "read", "What a request would reach, and why.", JSON_BODY),
  row("getRoute", `GET ${R}`, "read", "One route."),
  row("changeRoute", `PATCH ${R}`, "deploy", "Changes what is given of a route.", JSON_BODY),
  row("deleteRoute", `DELETE ${R}`, "deploy", "Removes a route."),
  row("listSources", "GET /v1/sources", "read", "Queues that functions are called for, by id."),
  row("getSource", `GET ${Q}`, "read", "One of them, and how it is doing."),
  row("createSource", "POST /v1/sources", "deploy", "Calls a function for a queue.", JSON_BODY),
  row("changeSource", `PATCH ${Q}`, "deploy", "Changes how it is called.", JSON_BODY),
  row("deleteSource", `DELETE ${Q}`, "deploy", "Calls it no more; what is in the queue stays there."),
  row("pauseSource", `POST ${Q}/pause`, "deploy", "Calls it no more until it is resumed.", JSON_BODY),
  row("resumeSource", `POST ${Q}/resume`, "deploy", "Calls it again.", JSON_BODY),
  row("listKeys", "GET /v1/keys", "admin", "Keys, without their secrets."),
  row("createKey", "POST /v1/keys", "admin", "A new key, or one that exists elsewhere.", JSON_BODY),
  row("revokeKey", "DELETE /v1/keys/{id}", "admin", "Revokes a key at once."),
  row("listRuntimes", "GET /v1/runtimes", "read", "Runtimes, and whether this host has them."),
  row("installRuntime", "POST /v1/runtimes/{runtime}", "admin", "Installs a Node from the npm registry."),
  row("getOpenApi", "GET /v1/openapi.json", "read", "This API for machines."),
] as const;

export type V1Name = (typeof V1_ROWS)[number]["name"];

export const V1_ROUTES: readonly Route[] = V1_ROWS.map(({ name, method, path, access, body }) => ({
  name,
  dialect: "own",
  method,
  path,
  access,
  subject: path.startsWith(F) ? "path" : "none",
  body,
}));
