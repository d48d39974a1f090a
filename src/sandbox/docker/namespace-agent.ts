/**
 * Runs in the network namespace of a rootless engine, started there by nsenter. It opens listeners and connections, hands
 * each to the daemon as a handle, and keeps none: what goes through them never passes here.
 *
 * It has no argument, one IPC channel (namespace-messages.ts), and exits when that closes.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import type { FromAgent, ToAgent } from "./namespace-messages.ts";

const CONNECT_MS_MAX = 1_000;

process.on("message", (asked: ToAgent) => {
  if (asked.type === "listen") listen(asked);
  else open(asked);
});
process.on("disconnect", () => process.exit(0));
say({ type: "up" });

function listen({ id, address, port }: ToAgent): void {
  const server = createServer((socket) => socket.destroy());
  server.once("error", (error) => fail(id, error));
  server.listen({ host: address, port }, () => {
    say({ type: "done", id }, server);
    server.close();
  });
}

function open({ id, address, port }: ToAgent): void {
  const socket = connect({ host: address, port, noDelay: true });
  // Not a byte is read here, so that none is missing there.
  socket.pause();
  socket.setTimeout(CONNECT_MS_MAX, () =>
    socket.destroy(new Error(`no connection to ${address}:${port} within ${CONNECT_MS_MAX} ms`)),
  );
  socket.on("error", (error) => fail(id, error));
  socket.once("connect", () => {
    socket.setTimeout(0);
    say({ type: "done", id }, socket);
  });
}

function fail(id: number, error: Error): void {
  const code = "code" in error ? String(error.code) : "";
  say({ type: "failed", id, code, message: error.message });
}

/** Nobody hears it when the daemon has gone; `disconnect` says so as well. */
function say(message: FromAgent, handle?: Socket | Server): void {
  process.send?.(message, handle, {}, () => undefined);
}
