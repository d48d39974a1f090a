import type { HttpRequest } from "./message.ts";

/** How long what a client still sends after its answer is read and thrown away, before the connection is cut. */
const LINGER_MS = 1_000;

/**
 * After an answer that did not wait for the whole request: throws away what still comes, for a moment, so that the
 * client reads the answer rather than a reset; then cuts the connection. Call it before `response.end`.
 */
export function discardRest(request: HttpRequest): void {
  if (request.complete) return;
  const { socket } = request;
  let isAnswered = false;
  // Behind the last answer of a connection node:http closes the socket; with bytes unread, that is a reset.
  socket.destroySoon = () => {
    isAnswered = true;
    socket.end();
  };
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  const rested = () => {
    clearTimeout(timer);
    Reflect.deleteProperty(socket, "destroySoon");
    if (isAnswered) socket.destroySoon();
  };
  request.once("end", rested);
  socket.once("close", () => clearTimeout(timer));
  request.resume();
}
