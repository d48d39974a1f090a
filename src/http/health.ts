import { sendJson, sendText } from "./error-response.ts";
import type { HttpRequest, HttpResponse } from "./message.ts";

/** Answers a probe: it says that this listener serves, and nothing about what is behind it. */
export function answerHealth(request: HttpRequest, response: HttpResponse): void {
  if (request.method === "GET" || request.method === "HEAD") {
    sendJson(response, 200, { status: "ok" }, ["cache-control", "no-store"]);
    return;
  }
  sendText(response, 405, "text/plain; charset=utf-8", "health is read with GET\n", ["allow", "GET, HEAD"]);
}
