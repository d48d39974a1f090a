/** The OpenAPI 3.1 document of our own API, made of its route table and of the schemas that requests are checked with. */
import * as z from "zod";
import { CreateHook, RotateHook } from "./hook-wire.ts";
import { ChangeRoute, CreateRoute, TestRoute } from "./http-route-wire.ts";
import { EndCanary, MakeRelease, SwitchRelease } from "./project-wire.ts";
import { PutRecording, Replay } from "./recording-wire.ts";
import { V1_ROWS, type V1Name } from "./routes.ts";
import { PutSchedule } from "./schedule-wire.ts";
import { ChangeSource, CreateSource } from "./source-wire.ts";
import { V1_SCHEMAS } from "./wire.ts";

const SCHEMAS = {
  ...V1_SCHEMAS,
  PutSchedule,
  MakeRelease,
  SwitchRelease,
  EndCanary,
  CreateHook,
  RotateHook,
  CreateRoute,
  ChangeRoute,
  TestRoute,
  CreateSource,
  ChangeSource,
  PutRecording,
  Replay,
};

const BODIES: Partial<Record<V1Name, keyof typeof SCHEMAS>> = {
  changeFunction: "Change",
  rollbackFunction: "Rollback",
  putAlias: "PutAlias",
  createKey: "CreateKey",
  redriveDeadLetters: "Redrive",
  putSchedule: "PutSchedule",
  makeRelease: "MakeRelease",
  switchRelease: "SwitchRelease",
  promoteReleaseCanary: "EndCanary",
  abortReleaseCanary: "EndCanary",
  stopReleaseShadow: "EndCanary",
  refreshImages: "RefreshImages",
  createHook: "CreateHook",
  rotateHook: "RotateHook",
  createRoute: "CreateRoute",
  changeRoute: "ChangeRoute",
  testRoute: "TestRoute",
  createSource: "CreateSource",
  changeSource: "ChangeSource",
  putRecordingSettings: "PutRecording",
  replayRecording: "Replay",
};

/** Names of query parameters; each is text. */
const QUERIES: Partial<Record<V1Name, readonly string[]>> = {
  listFunctions: ["after", "limit"],
  listVersions: ["after", "limit"],
  getStats: ["last"],
  getFunctionStats: ["last", "step", "version", "qualifier"],
  listLayers: ["after", "limit"],
  publishLayer: ["description", "fileName"],
  listEvents: ["function", "state", "after", "limit"],
  getEvent: ["wait"],
  getEventResult: ["wait"],
  listDeadLetters: ["after", "limit"],
  listSchedules: ["function", "after", "limit"],
  listSources: ["function", "after", "limit"],
  upcomingOfSchedule: ["count"],
  historyOfSchedule: ["before", "limit"],
  listProjects: ["after", "limit"],
  listReleases: ["before", "limit"],
  listImages: ["function"],
  listHooks: ["function", "after", "limit"],
  listHookDeliveries: ["before", "limit"],
  listRoutes: ["function", "host", "after", "limit"],
  listRecordings: ["limit", "before", "since", "version", "outcome"],
  readLogs: ["since", "until", "id", "version", "grep", "last", "follow"],
};

const NO_ANSWER: ReadonlySet<V1Name> = new Set([
  "deleteFunction",
  "deleteVersion",
  "deleteLayer",
  "deleteAlias",
  "revokeKey",
  "deleteSchedule",
  "deleteHook",
  "deleteRoute",
  "deleteSource",
  "deleteRecordings",
  "deleteRecording",
]);
const LINES: ReadonlySet<V1Name> = new Set([
  "deployFunction",
  "readLogs",
  "buildForProject",
  "makeRelease",
  "refreshImages",
]);
const CREATES: ReadonlySet<V1Name> = new Set([
  "publishLayer",
  "createKey",
  "createHook",
  "createRoute",
  "createSource",
]);

export function openApiDocument(): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const row of V1_ROWS) {
    const operations = paths[row.path] ?? {};
    operations[row.method.toLowerCase()] = operation(row);
    paths[row.path] = operations;
  }
  const schemas = Object.fromEntries(
    Object.entries(SCHEMAS).map(([name, schema]) => [name, z.toJSONSchema(schema, { io: "input" })]),
  );
  return {
    openapi: "3.1.0",
    info: {
      title: "lambdad control API",
      version: "1",
      description:
        "Functions, versions, aliases, logs and keys. The AWS Lambda API is served beside it under its dated paths.",
    },
    security: [{ bearer: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "ID.SECRET, as lambda keys create prints it" },
      },
      schemas: { ...schemas, Error: ERROR },
    },
  };
}

const ERROR = {
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["code", "message", "requestId"],
      properties: { code: { type: "string" }, message: { type: "string" }, requestId: { type: "string" } },
    },
  },
};

function operation(row: (typeof V1_ROWS)[number]): Record<string, unknown> {
  const isOpen = row.access === "open" || row.access === "link";
  const body = BODIES[row.name];
  return {
    operationId: row.name,
    summary: row.summary,
    ...(isOpen ? { security: [] } : { "x-scope": row.access }),
    parameters: parameters(row),
    ...(body && { requestBody: { content: { "application/json": { schema: reference(body) } } } }),
    ...(row.body.kind === "file" && {
      requestBody: { required: true, content: { "application/octet-stream": {} } },
    }),
    responses: {
      ...answer(row.name),
      default: { description: "an error", content: { "application/json": { schema: reference("Error") } } },
    },
  };
}

function parameters(row: (typeof V1_ROWS)[number]): Record<string, unknown>[] {
  const inPath = [...row.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const inQuery = (QUERIES[row.name] ?? []).map((name) => ({
    name,
    in: "query",
    schema: { type: "string" },
  }));
  const options = (schema: keyof typeof SCHEMAS) => ({
    name: "options",
    in: "query",
    content: { "application/json": { schema: reference(schema) } },
  });
  return [
    ...inPath,
    ...inQuery,
    ...(row.name === "deployFunction" ? [options("DeployOptions")] : []),
    ...(row.name === "buildForProject" ? [options("BuildOptions")] : []),
  ];
}

function answer(name: V1Name): Record<string, unknown> {
  if (NO_ANSWER.has(name)) return { "204": { description: "done" } };
  const type =
    name === "getMetrics"
      ? "text/plain"
      : name === "getCode"
        ? "application/zip"
        : LINES.has(name)
          ? "application/x-ndjson"
          : "application/json";
  return { [statusOf(name)]: { description: "done", content: { [type]: {} } } };
}

function statusOf(name: V1Name): "200" | "201" | "202" {
  if (name === "redeliverHook") return "202";
  return CREATES.has(name) ? "201" : "200";
}

function reference(schema: string): Record<string, string> {
  return { $ref: `#/components/schemas/${schema}` };
}
