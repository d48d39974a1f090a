import { request } from "node:http";
import { ZipFile } from "yazl";
import type { Daemon } from "./processes.ts";

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** One request on a connection of its own. */
export function call(options: {
  readonly port: number;
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: "127.0.0.1",
        port: options.port,
        method: options.method ?? "GET",
        path: options.path,
        headers: options.headers,
        agent: false,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }));
        response.on("error", reject);
      },
    );
    sent.on("error", reject);
    sent.end(options.body);
  });
}

/** The answer of a function, which must be a success. */
export async function callFunction(
  daemon: Pick<Daemon, "gatewayPort">,
  name: string,
  path = "/?name=World",
): Promise<Buffer> {
  const { status, body } = await call({
    port: daemon.gatewayPort,
    path,
    headers: { host: `${name}.localhost` },
  });
  if (status !== 200) throw new Error(`${name} answered ${status}: ${body.toString().slice(0, 500)}`);
  return body;
}

export function zipOf(
  files: Readonly<Record<string, { readonly content: Uint8Array | string; readonly mode?: number }>>,
): Promise<Buffer> {
  const zip = new ZipFile();
  for (const [name, { content, mode }] of Object.entries(files)) {
    zip.addBuffer(Buffer.from(content), name, { mtime: new Date(0), mode: mode ?? 0o100644 });
  }
  zip.end();
  const chunks: Buffer[] = [];
  return new Promise((resolve, reject) => {
    zip.outputStream.on("data", (chunk: Buffer) => chunks.push(chunk));
    zip.outputStream.on("end", () => resolve(Buffer.concat(chunks)));
    zip.outputStream.on("error", reject);
  });
}

/** CreateFunction as AWS's tools call it: nothing is started by it, so that the first call is a cold one. */
export async function createFunction(
  daemon: Daemon,
  options: {
    readonly name: string;
    readonly zip: Uint8Array;
    readonly runtime: string;
    readonly handler: string;
    readonly memory?: number;
  },
): Promise<void> {
  const { status, body } = await call({
    port: Number(new URL(daemon.controlUrl).port),
    method: "POST",
    path: "/2015-03-31/functions",
    headers: { authorization: `Bearer ${daemon.key}`, "content-type": "application/json" },
    body: JSON.stringify({
      FunctionName: options.name,
      Role: "arn:aws:iam::000000000000:role/bench",
      Runtime: options.runtime,
      Handler: options.handler,
      MemorySize: options.memory ?? 256,
      Timeout: 30,
      Code: { ZipFile: Buffer.from(options.zip).toString("base64") },
    }),
  });
  if (status !== 201)
    throw new Error(`CreateFunction ${options.name}: ${status} ${body.toString().slice(0, 500)}`);
}

/** As many calls at once as that, and so as many instances. */
export async function setConcurrency(daemon: Daemon, name: string, calls: number): Promise<void> {
  const { status, body } = await call({
    port: Number(new URL(daemon.controlUrl).port),
    method: "PUT",
    path: `/2017-10-31/functions/${name}/concurrency`,
    headers: { authorization: `Bearer ${daemon.key}`, "content-type": "application/json" },
    body: JSON.stringify({ ReservedConcurrentExecutions: calls }),
  });
  if (status !== 200) throw new Error(`PutFunctionConcurrency: ${status} ${body.toString().slice(0, 500)}`);
}
