import { request as sendRequest } from "node:http";
import type { Duplex } from "node:stream";
import type { TunnelRequest } from "../protocol.ts";
import { withoutHopByHop } from "./hop-by-hop.ts";

const BAD_GATEWAY = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/** A client that asks for an upgrade: its connection, its request, and what it sent after that. */
export interface Upgrade {
  readonly client: Duplex;
  readonly request: TunnelRequest;
  readonly head: Uint8Array;
}

/**
 * Passes an upgrade through: the request to the program, then whatever both sides say until either closes. A program
 * that refuses to upgrade has its response passed on, and the client's connection is closed after it; bytes of a client
 * that was refused never reach the program, where they would be requests that nobody has looked at. One that does not
 * answer at all makes a 502.
 *
 * Resolves when the connection to the program is closed.
 */
export async function passThrough(open: () => Promise<Duplex>, upgrade: Upgrade): Promise<void> {
  const { client } = upgrade;
  // Its closing says all there is to say.
  client.on("error", () => undefined);
  let program: Duplex;
  try {
    program = await open();
  } catch {
    client.end(BAD_GATEWAY, () => client.destroy());
    return;
  }
  program.on("error", () => undefined);
  client.once("close", () => program.destroy());
  if (client.destroyed) program.destroy();
  else converse(program, upgrade);
  await new Promise<void>((resolve) => program.once("close", resolve));
}

function converse(program: Duplex, { client, request, head }: Upgrade): void {
  let isAnswered = false;
  const answer = (status: number | undefined, message: string | undefined, rawHeaders: readonly string[]) => {
    isAnswered = true;
    client.write(headText(status, message, rawHeaders), "latin1");
  };
  program.once("close", () => {
    client.end(isAnswered ? "" : BAD_GATEWAY, () => client.destroy());
  });
  const sent = sendRequest({
    createConnection: () => program,
    method: request.method,
    path: request.path,
    headers: [...request.rawHeaders],
  });
  sent.on("error", () => program.destroy());
  sent.on("upgrade", ({ statusCode, statusMessage, rawHeaders }, socket, early) => {
    answer(statusCode, statusMessage, rawHeaders);
    client.write(early);
    socket.write(head);
    client.pipe(socket);
    socket.pipe(client);
    // A program that still holds its half open when the client has gone would do so for ever.
    socket.once("finish", () => socket.destroy());
  });
  sent.on("response", (response) => {
    const rawHeaders = [...withoutHopByHop(response.rawHeaders), "Connection", "close"];
    answer(response.statusCode, response.statusMessage, rawHeaders);
    response.pipe(client);
    response.on("close", () => program.destroy());
  });
  sent.end();
}

function headText(
  status: number | undefined,
  message: string | undefined,
  rawHeaders: readonly string[],
): string {
  let text = `HTTP/1.1 ${status} ${message}\r\n`;
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    text += `${rawHeaders[index]}: ${rawHeaders[index + 1]}\r\n`;
  }
  return `${text}\r\n`;
}
