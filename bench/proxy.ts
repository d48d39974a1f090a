/**
 * The yardstick of the gateway: the same handler on node:http in one process, and a plain reverse proxy with undici in
 * front of it in another. `node bench/proxy.ts upstream` or `node bench/proxy.ts proxy UPSTREAM_PORT` prints its port.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Pool } from "undici";

const [role, of = ""] = process.argv.slice(2);

const server = role === "upstream" ? upstream() : /^\d+$/.test(of) ? proxy(Number(of)) : proxyOf(of);
// On a machine that stood still, connections would be closed under those who are about to use them.
server.keepAliveTimeout = 0;
server.listen(0, "127.0.0.1", () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));

function upstream() {
  return createServer((request, response) => {
    const name = new URL(request.url ?? "/", "http://localhost").searchParams.get("name") ?? "World";
    const body = JSON.stringify({ message: `Hello, ${name}!` });
    response.writeHead(200, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    });
    response.end(body);
  });
}

function proxy(port: number) {
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: 64 });
  return createServer((request, response) => {
    pool
      .request({ path: request.url ?? "/", method: "GET", headers: request.headers })
      .then(({ statusCode, headers, body }) => {
        response.writeHead(statusCode, headers as Record<string, string>);
        body.pipe(response);
      })
      .catch(() => response.writeHead(502).end());
  });
}

/** The same for a server that is not Node's: what it says of its own connections is not passed on. */
function proxyOf(origin: string) {
  const pool = new Pool(origin);
  return createServer((request, response) => {
    pool
      .request({ path: request.url ?? "/", method: "GET" })
      .then(({ statusCode, headers: { connection: _, ...headers }, body }) => {
        response.writeHead(statusCode, headers as Record<string, string>);
        body.pipe(response);
      })
      .catch(() => response.writeHead(502).end());
  });
}
