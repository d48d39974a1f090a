import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A control API that answers what a test tells it to, and remembers what it was asked. */
export interface FakeControl extends AsyncDisposable {
  readonly url: string;
  readonly requests: FakeRequest[];
  /** Answers `METHOD /path` (without query) from now on. */
  on(route: string, answer: FakeAnswer): void;
}

export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export type FakeAnswer =
  | { readonly status?: number; readonly json: unknown; readonly headers?: Readonly<Record<string, string>> }
  | { readonly status?: number; readonly text: string; readonly headers?: Readonly<Record<string, string>> }
  | { readonly lines: readonly unknown[]; readonly staysOpen?: boolean }
  | { readonly respond: (response: ServerResponse, request: FakeRequest) => void };

export async function startFakeControl(): Promise<FakeControl> {
  const answers = new Map<string, FakeAnswer>();
  const requests: FakeRequest[] = [];
  const server = createServer(async (incoming, response) => {
    const url = new URL(incoming.url ?? "/", "http://fake");
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const request = {
      method: incoming.method ?? "",
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: incoming.headers,
      body: Buffer.concat(chunks),
    };
    requests.push(request);
    const answer = answers.get(`${request.method} ${request.path}`) ?? {
      status: 404,
      json: { error: { code: "FunctionNotFound", message: `no function is named "${url.pathname}"` } },
    };
    send(response, answer, request);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    on: (route, answer) => void answers.set(route, answer),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function send(response: ServerResponse, answer: FakeAnswer, request: FakeRequest): void {
  if ("respond" in answer) {
    answer.respond(response, request);
  } else if ("lines" in answer) {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    for (const line of answer.lines) response.write(`${JSON.stringify(line)}\n`);
    if (!answer.staysOpen) response.end();
  } else {
    response.writeHead(answer.status ?? 200, answer.headers ?? {});
    response.end("text" in answer ? answer.text : JSON.stringify(answer.json));
  }
}

/** A function as docs/api.md shows one. */
export function fakeFunction(
  name: string,
  change: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  return {
    name,
    url: `http://${name}.localhost:8080`,
    liveVersion: 1,
    latest: {
      revisionId: "6a0e0f7e-0000-4000-8000-000000000000",
      modifiedAt: 1_790_000_000_000,
      code: { archiveSha256: "q83v", archiveBytes: 1_100, treeBytes: 1_126 },
      config: {
        runtime: "nodejs24.x",
        entry: { kind: "handler", handler: "index.handler" },
        description: "",
        memoryMib: 128,
        timeoutMs: 3_000,
        tmpMib: 512,
        environment: { TOKEN: "s3cret" },
        network: "host",
        slotsPerInstance: 1,
        architecture: "x86_64",
        role: "",
      },
    },
    versions: 1,
    aliases: [],
    tags: {},
    createdAt: 1_790_000_000_000,
    instances: { idle: 1, busy: 0, starting: 0 },
    ...change,
  };
}
