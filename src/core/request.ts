import { type ClientRequest, request as httpRequest, type RequestOptions } from "node:http";

/** Asks an address of either scheme; TLS is loaded when the first asks for it. */
export function request(url: URL, options: RequestOptions): ClientRequest {
  const send = url.protocol === "https:" ? process.getBuiltinModule("node:https").request : httpRequest;
  return send(url, options);
}
