/** The calls that every application in this folder answers in the same way, as payload format 2.0 (function URL, HTTP API). */
export interface RealCall {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly query: string;
  readonly body: string | undefined;
  readonly status: number;
  readonly answer: unknown;
  /** Begins one of the answer's cookies. */
  readonly cookie: string | undefined;
}

export const REAL_CALLS: readonly RealCall[] = [
  {
    method: "GET",
    path: "/hello/World",
    query: "mood=good",
    body: undefined,
    status: 200,
    answer: { message: "Hello, World!", query: { mood: "good" } },
    cookie: "seen=yes",
  },
  {
    method: "POST",
    path: "/sum",
    query: "",
    body: '{"numbers":[1,2,39]}',
    status: 201,
    answer: { sum: 42 },
    cookie: undefined,
  },
];

/** The applications: folders beside this file, each with what installs its packages. */
export const REAL_APPS = [
  { folder: "express", tool: "npm" },
  { folder: "hono", tool: "npm" },
  { folder: "middy", tool: "npm" },
  { folder: "fastapi", tool: "python3" },
] as const;

export function toEvent(call: RealCall): unknown {
  const headers = {
    host: "app.localhost",
    "content-type": "application/json",
    ...(call.body && { "content-length": String(call.body.length) }),
  };
  return {
    version: "2.0",
    routeKey: "$default",
    rawPath: call.path,
    rawQueryString: call.query,
    headers,
    ...(call.query && { queryStringParameters: Object.fromEntries(new URLSearchParams(call.query)) }),
    requestContext: {
      accountId: "000000000000",
      apiId: "app",
      domainName: "app.localhost",
      domainPrefix: "app",
      http: {
        method: call.method,
        path: call.path,
        protocol: "HTTP/1.1",
        sourceIp: "127.0.0.1",
        userAgent: "test",
      },
      requestId: "8c6ba3f6-2d3b-4e0e-9a52-2a2b8a3d6f10",
      routeKey: "$default",
      stage: "$default",
      time: "12/Mar/2026:19:03:58 +0000",
      timeEpoch: 1_773_342_238_000,
    },
    ...(call.body && { body: call.body }),
    isBase64Encoded: false,
  };
}
