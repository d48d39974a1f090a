/**
 * What the name of a host means to the gateway, by itself: `NAME.DOMAIN` a function, `QUALIFIER--NAME.DOMAIN` one of its
 * versions, `URLID.lambda-url.REGION.DOMAIN` a function URL. Hosts are compared in lower case and without their port.
 */
import { type FunctionName, parseFunctionName } from "./ids.ts";

export type HostMeaning =
  | { readonly kind: "function"; readonly name: FunctionName; readonly qualifier: string | undefined }
  | { readonly kind: "url"; readonly urlId: string }
  /** The base domain itself. */
  | { readonly kind: "domain" }
  | { readonly kind: "any" }
  /** Below a base domain, but no function can be called that. */
  | { readonly kind: "nothing"; readonly labels: string };

const HOST = /^(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9_-])?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/;
const URL_LABELS = /^([a-z0-9]{1,64})\.lambda-url\.[a-z0-9-]{1,32}$/;
const HOST_LENGTH_MAX = 253;

/** `localhost` of `localhost:8080`, `[::1]` of `[::1]:8080`. */
export function hostnameOf(host: string): string {
  const colon = host.lastIndexOf(":");
  return colon > host.lastIndexOf("]") ? host.slice(0, colon) : host;
}

/** Lower case, without port; undefined if it is no host name. */
export function parseHost(host: string): string | undefined {
  const lower = host.toLowerCase();
  if (!HOST.test(lower) || lower.includes("..")) return undefined;
  const hostname = hostnameOf(lower);
  return hostname.length <= HOST_LENGTH_MAX ? hostname : undefined;
}

/** The longest base domain first, so that `lambda.example.com` wins over `example.com`. */
export function sortedDomains(domains: readonly string[]): readonly string[] {
  return domains.map((domain) => domain.toLowerCase()).sort((a, b) => b.length - a.length);
}

/** `hostname` is as `parseHost` gives it, `domains` as `sortedDomains` does. */
export function meaningOfHost(hostname: string, domains: readonly string[]): HostMeaning {
  if (domains.includes(hostname)) return { kind: "domain" };
  const domain = domains.find((candidate) => hostname.endsWith(`.${candidate}`));
  if (domain === undefined) return { kind: "any" };
  const labels = hostname.slice(0, -domain.length - 1);

  const url = URL_LABELS.exec(labels);
  if (url?.[1]) return { kind: "url", urlId: url[1] };
  const divider = labels.indexOf("--");
  const qualifier = divider > 0 ? labels.slice(0, divider) : undefined;
  const name = parseFunctionName(divider > 0 ? labels.slice(divider + 2) : labels);
  return name ? { kind: "function", name, qualifier } : { kind: "nothing", labels };
}
