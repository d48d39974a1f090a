import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { basename, resolve } from "node:path";
import { CliError } from "../cli-error.ts";
import type { ApiClient } from "../client.ts";
import type { Command } from "../command.ts";
import type { DeployOptions } from "../deploy-options.ts";
import { functionPath, nameFromPath } from "../names.ts";
import { isCode, messageOf } from "../settings.ts";
import { countOption } from "../units.ts";
import { visible } from "../visible.ts";
import { readLogLine } from "../wire.ts";
import { runDeploy } from "./deploy.ts";

export interface RunOptions extends DeployOptions {
  readonly port?: string;
}

/** What people know from AWS's emulator. */
const PORT_DEFAULT = 9_000;
const PORT_MAX = 65_535;
const NAME_LENGTH_MAX = 48;

/**
 * Deploys a folder under a name of its own, passes one port of this machine on to it, shows its log, and deletes it when it
 * is interrupted. Nothing is left then.
 */
export async function runFunction(
  command: Command,
  folder: string | undefined,
  options: RunOptions,
): Promise<void> {
  const { host, output } = command;
  const port = portOf(options.port);
  const given = options.image ?? basename(resolve(host.workingDir, folder ?? "."));
  const base = nameFromPath(given).slice(0, NAME_LENGTH_MAX);
  const name = `${base}-run-${process.pid.toString(36)}`;
  const api = await command.client();
  // Before anything is built for a port that somebody has.
  const running: { target?: URL } = {};
  const server = await listen(port, running);
  try {
    const { event } = await runDeploy(command, folder, { ...options, name });
    if (event.readyError !== undefined) {
      throw CliError.local(
        "FunctionFailed",
        `it does not start: ${event.readyError}`,
        `mend it and run it again`,
      );
    }
    running.target = new URL(event.url);
    await output.write(`running at http://127.0.0.1:${port}/ until Ctrl-C\n`);
    await showLog(command, api, name);
  } finally {
    await new Promise<void>((done) => {
      server.close(() => done());
      server.closeAllConnections();
    });
    await remove(command, name);
  }
}

/** Before anything is built for a port that cannot be. */
function portOf(text: string | undefined): number {
  if (text === undefined) return PORT_DEFAULT;
  const port = countOption("--port", text);
  if (port >= 1 && port <= PORT_MAX) return port;
  throw CliError.local("Usage", `--port: expected a port from 1 to ${PORT_MAX}, got "${text}"`, undefined);
}

/** Until it is interrupted. */
async function showLog({ host, output }: Command, api: ApiClient, name: string): Promise<void> {
  try {
    const lines = api.lines("GET", functionPath(name, "/logs"), { query: { follow: 1 }, silenceMsMax: 0 });
    for await (const line of lines) {
      const { stream, text } = readLogLine(line);
      output.note(visible(text), stream === "stderr" ? "yellow" : "dim");
    }
  } catch (error) {
    if (!host.signal.aborted) throw error;
  }
}

/** With a client of its own: the command's own one is interrupted with it. */
async function remove(command: Command, name: string): Promise<void> {
  const { newClient } = await import("../client.ts");
  const api = newClient({
    settings: await command.settings(),
    signal: AbortSignal.timeout(REMOVE_MS_MAX),
    onTraffic: undefined,
  });
  await api.json("DELETE", functionPath(name)).catch((error: unknown) => {
    if (error instanceof CliError && error.code === "FunctionNotFound") return;
    command.output.note(
      `${name} could not be deleted: ${messageOf(error)}; lambda delete ${name} does it`,
      "yellow",
    );
  });
}

const REMOVE_MS_MAX = 30_000;

/** Everything that comes to the port goes to the function, whatever host it was called by. */
async function listen(port: number, running: { readonly target?: URL }): Promise<Server> {
  const { createServer, request } = process.getBuiltinModule("node:http");
  const pass = (incoming: IncomingMessage, response: ServerResponse) => {
    const { target } = running;
    if (!target) {
      response.writeHead(503, { "content-type": "text/plain" }).end("the function is not up yet\n");
      return;
    }
    const outgoing = request(
      {
        host: "127.0.0.1",
        port: target.port || 80,
        method: incoming.method,
        path: incoming.url,
        headers: { ...incoming.headers, host: target.host },
      },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    outgoing.on("error", (error) => {
      if (response.headersSent) response.destroy();
      else response.writeHead(502, { "content-type": "text/plain" }).end(`${error.message}\n`);
    });
    response.on("close", () => outgoing.destroy());
    incoming.pipe(outgoing);
  };
  const server = createServer(pass);
  await new Promise<void>((done, reject) => {
    server.once("error", (error) => {
      const remedy = "choose another with --port";
      if (isCode(error, "EADDRINUSE")) reject(CliError.local("Usage", `port ${port} is in use`, remedy));
      else reject(CliError.local("Usage", `cannot listen on port ${port}: ${messageOf(error)}`, remedy));
    });
    server.listen(port, "127.0.0.1", done);
  });
  return server;
}
