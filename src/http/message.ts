import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { PlainRequest } from "./plain/plain-request.ts";

/** A request as handlers read it: node:http's, or one that came whole (`plain/`). */
export type HttpRequest = IncomingMessage | PlainRequest;

/** What handlers need of a response; node:http's `ServerResponse` has all of it. */
export interface HttpResponse {
  readonly req: { readonly method?: string | undefined };
  readonly socket: Socket | null;
  readonly destroyed: boolean;
  readonly headersSent: boolean;
  readonly writableEnded: boolean;
  readonly writableNeedDrain: boolean;
  writeContinue(): void;
  /** Names and values in turn. */
  writeHead(status: number, headers: string[]): unknown;
  flushHeaders(): void;
  /** False if the next one should wait for `drain`. `sent` is told when the chunk is needed no more, or will not be sent. */
  write(chunk: Uint8Array, sent?: (error?: Error | null) => void): boolean;
  end(body?: string | Uint8Array): unknown;
  end(body: string, encoding: BufferEncoding): unknown;
  destroy(): unknown;
  once(event: "drain", listener: () => void): unknown;
  off(event: "drain", listener: () => void): unknown;
}
