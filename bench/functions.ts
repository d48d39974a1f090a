import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zipOf } from "./client.ts";

export interface BenchFunction {
  readonly zip: Uint8Array;
  readonly runtime: string;
  readonly handler: string;
}

export const NODE_SOURCE = `export const handler = async (event) => ({ message: \`Hello, \${event.queryStringParameters?.name ?? "World"}!\` });\n`;

export async function nodeFunction(): Promise<BenchFunction> {
  return {
    zip: await zipOf({ "index.mjs": { content: NODE_SOURCE } }),
    runtime: "nodejs24.x",
    handler: "index.handler",
  };
}

export async function pythonFunction(): Promise<BenchFunction> {
  const content = `def handler(event, context):\n    return {"message": "Hello, World!"}\n`;
  return { zip: await zipOf({ "index.py": { content } }), runtime: "python3.12", handler: "index.handler" };
}

/** Takes a second, and does nothing in it. */
export async function slowFunction(runtime: "nodejs24.x" | "python3.12"): Promise<BenchFunction> {
  const files: Record<string, { content: string }> =
    runtime === "python3.12"
      ? { "index.py": { content: "import time\n\ndef handler(event, context):\n    time.sleep(1)\n" } }
      : {
          "index.mjs": {
            content: "export const handler = () => new Promise((resolve) => setTimeout(resolve, 1_000));\n",
          },
        };
  return { zip: await zipOf(files), runtime, handler: "index.handler" };
}

/** A handler behind express, which npm installs; undefined where that is not to be had. */
export async function frameworkFunction(): Promise<
  (BenchFunction & { readonly startPlainly: string }) | undefined
> {
  const dir = join(tmpdir(), `lambdad-bench-express-${process.getuid?.() ?? 0}`);
  mkdirSync(dir, { recursive: true });
  if (!existsSync(join(dir, "node_modules/express"))) {
    writeFileSync(join(dir, "package.json"), '{"private":true}');
    const installed = spawnSync("npm", ["install", "--no-audit", "--no-fund", "express@5.1.0"], { cwd: dir });
    if (installed.status !== 0) return undefined;
  }
  const content = `
const express = require("express");
const app = express();
app.get("/", (request, response) => response.json({ message: "Hello" }));
exports.handler = async () => ({ statusCode: 200, body: JSON.stringify({ routes: typeof app.handle }) });
`;
  const files: Record<string, { content: Uint8Array | string }> = { "index.js": { content } };
  for (const file of readdirSync(join(dir, "node_modules"), { recursive: true, encoding: "utf8" })) {
    const path = join(dir, "node_modules", file);
    if (statSync(path).isFile()) files[`node_modules/${file}`] = { content: readFileSync(path) };
  }
  return {
    zip: await zipOf(files),
    runtime: "nodejs24.x",
    handler: "index.handler",
    startPlainly: `process.chdir(${JSON.stringify(dir)}); require(${JSON.stringify(join(dir, "node_modules/express"))})()`,
  };
}

const STATIC_SOURCE = `
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <sys/socket.h>

static char buffer[65536];

static int talk(const char *request) {
  const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(strchr(api, ':') + 1)) };
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) exit(1);
  if (write(fd, request, strlen(request)) < 0) exit(1);
  int used = 0, got;
  while ((got = read(fd, buffer + used, sizeof buffer - 1 - used)) > 0) used += got;
  buffer[used] = 0;
  close(fd);
  return used;
}

int main(void) {
  char request[1024], id[64];
  for (;;) {
    talk("GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n");
    char *at = strcasestr(buffer, "lambda-runtime-aws-request-id:");
    if (!at || sscanf(at + 30, " %36s", id) != 1) return 2;
    snprintf(request, sizeof request,
      "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\nContent-Length: 4\\r\\n\\r\\nnull", id);
    talk(request);
  }
}
`;

/** A static executable that polls the Runtime API; undefined where there is no C compiler. */
export async function staticFunction(): Promise<BenchFunction | undefined> {
  const dir = mkdtempSync(join(tmpdir(), "lambdad-bench-c-"));
  try {
    writeFileSync(join(dir, "main.c"), STATIC_SOURCE);
    const built = spawnSync("cc", ["-D_GNU_SOURCE", "-O1", "-static", "-o", "bootstrap", "main.c"], {
      cwd: dir,
    });
    if (built.status !== 0) return undefined;
    const content = readFileSync(join(dir, "bootstrap"));
    return {
      zip: await zipOf({ bootstrap: { content, mode: 0o100755 } }),
      runtime: "provided.al2023",
      handler: "bootstrap",
    };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
