import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { Reply, ReplyStream } from "./route.ts";

/** Nothing here is for caches or for browsers to guess at. */
const ALWAYS = ["cache-control", "no-store", "x-content-type-options", "nosniff"];

/** Sends what a handler has answered; resolves when it is handed to the system or the reader has gone. */
export async function sendReply(response: ServerResponse, reply: Reply, requestId: string): Promise<void> {
  const common = ["x-amzn-requestid", requestId, ...ALWAYS];
  switch (reply.kind) {
    case "empty":
      response.writeHead(reply.status, [...common, ...(reply.headers ?? [])]);
      response.end();
      return;
    case "json":
      sendBytes(response, reply.status, "application/json", Buffer.from(JSON.stringify(reply.value)), [
        ...common,
        ...(reply.headers ?? []),
      ]);
      return;
    case "bytes":
      sendBytes(response, reply.status, reply.contentType, reply.body, [...common, ...(reply.headers ?? [])]);
      return;
    case "file": {
      const { size } = await stat(reply.file);
      const head = ["content-type", reply.contentType, "content-length", String(size), ...common];
      response.writeHead(200, head);
      // A reader that leaves is no error of ours.
      await pipeline(createReadStream(reply.file), response).catch((error: unknown) => {
        if (!response.destroyed) throw error;
      });
      return;
    }
    case "stream":
      response.writeHead(200, ["content-type", reply.contentType, ...common, ...(reply.headers ?? [])]);
      response.flushHeaders();
      await reply.run(streamTo(response));
      response.end();
      return;
  }
}

function sendBytes(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: Uint8Array,
  headers: readonly string[],
): void {
  const head = ["content-type", contentType, "content-length", String(body.length), ...headers];
  response.writeHead(status, head);
  response.end(body);
}

function streamTo(response: ServerResponse): ReplyStream {
  return {
    // After the reader has gone, writes go nowhere and must not count as a full buffer.
    write: (chunk) => response.destroyed || response.write(chunk),
    drained: () =>
      new Promise((resolve) => {
        if (response.destroyed || !response.writableNeedDrain) return resolve();
        const done = () => {
          response.off("drain", done);
          response.off("close", done);
          resolve();
        };
        response.on("drain", done);
        response.on("close", done);
      }),
  };
}
