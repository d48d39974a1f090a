/**
 * Which Host and Origin the control listener answers. A web page can make a browser send requests to 127.0.0.1, and
 * with a name of its own that resolves there (DNS rebinding) even read the answers; the Host header then carries that
 * name, and the Origin that page. Checked before anything else, on every method.
 */
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { PlatformError } from "../../core/errors.ts";

export interface AllowedHosts {
  /** The address listened on. */
  readonly bound: { readonly host: string; readonly port: number };
  /** `NAME` or `NAME:PORT`, lower case. A bare name is good for the listening port and for no port (behind a proxy). */
  readonly names: readonly string[];
}

const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];
const ANY_ADDRESS = new Set(["0.0.0.0", "::"]);

/**
 * The Host of the request, once it is known to be one of ours.
 *
 * @throws PlatformError `HostRefused`.
 */
export function checkHost(request: IncomingMessage, allowed: AllowedHosts): string {
  const hosts: string[] = [];
  for (let at = 0; at + 1 < request.rawHeaders.length; at += 2) {
    if (request.rawHeaders[at]?.toLowerCase() === "host") hosts.push(request.rawHeaders[at + 1] ?? "");
  }
  const [host = ""] = hosts;
  if (hosts.length !== 1 || !authorities(allowed).includes(host.toLowerCase())) {
    throw new PlatformError(
      "HostRefused",
      `host ${JSON.stringify(host)} is not allowed here; add it to control-hosts, or use localhost:${allowed.bound.port}`,
    );
  }
  // An absolute URL would name a second host, which nothing has checked.
  if (!request.url?.startsWith("/")) {
    throw new PlatformError("HostRefused", "the request line must have a path, not a whole URL");
  }
  return host.toLowerCase();
}

/**
 * Lets through what no browser sent and what our own pages sent.
 *
 * @throws PlatformError `HostRefused`.
 */
export function checkOrigin(request: IncomingMessage, host: string): void {
  const { origin } = request.headers;
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
    throw new PlatformError("HostRefused", `origin ${JSON.stringify(origin)} may not call the control API`);
  }
  const site = request.headers["sec-fetch-site"];
  // `same-site` is refused too: function pages on NAME.localhost are of the same site as the console.
  if (site !== undefined && site !== "same-origin" && site !== "none") {
    throw new PlatformError("HostRefused", `a ${JSON.stringify(site)} page may not call the control API`);
  }
}

function authorities({ bound, names }: AllowedHosts): string[] {
  const all: string[] = [];
  const own = ANY_ADDRESS.has(bound.host) ? [] : [isIP(bound.host) === 6 ? `[${bound.host}]` : bound.host];
  for (const name of [...LOOPBACK_NAMES, ...own]) {
    all.push(`${name}:${bound.port}`);
    if (bound.port === 80) all.push(name);
  }
  for (const name of names) {
    all.push(name);
    if (!/:\d+$/.test(name)) all.push(`${name}:${bound.port}`);
  }
  return all;
}
