/**
 * Host and path → function: one normal form, from which everything else is decided.
 *
 * | address | reaches |
 * |---|---|
 * | a host that has routes, `/_…` | us |
 * | a host that has routes | its routes, then those without a host; of base domains also what is below |
 * | `NAME.DOMAIN` | the function, with the whole path |
 * | `QUALIFIER--NAME.DOMAIN` | its alias or version; the first `--` divides |
 * | `URLID.lambda-url.REGION.DOMAIN` | the function URL with that id |
 * | any other host, `/_…` | us |
 * | any other host | routes without a host, then what is below |
 * | any other host, `/NAME[:QUALIFIER]/rest` | the function, with `/rest` |
 *
 * Hosts are compared in lower case, so a name with capitals is reached by path only. What a proxy in front could read
 * differently (encoded letters in a name, dot segments on a path that we cut, an absolute-form target for another
 * host) is refused rather than guessed.
 */
import { PlatformError } from "../../core/errors.ts";
import { type HostMeaning, meaningOfHost, parseHost, sortedDomains } from "../../core/host-meaning.ts";
import { type FunctionName, parseFunctionName } from "../../core/ids.ts";
import type { HostRoutes, RoutesByHost } from "../../registry/route-table.ts";

export type Route = DirectRoute | RoutedRequest;

/** Where an address leads by itself. */
export type DirectRoute =
  | {
      readonly kind: "function";
      readonly name: FunctionName;
      /** Alias, number, `$LATEST` or undefined, as the caller wrote it. */
      readonly qualifier: string | undefined;
      readonly path: string;
      /** Without `?`; empty if there is none. */
      readonly query: string;
      /** What was cut off the path: `/NAME`. Empty when the host named the function. */
      readonly prefix: string;
      readonly host: string;
      /** The path that the Runtime Interface Emulator serves: raw event in, raw result out. */
      readonly isRawInvoke: boolean;
    }
  | {
      readonly kind: "url";
      readonly urlId: string;
      readonly path: string;
      readonly query: string;
      readonly host: string;
    }
  /** Ours; `path` begins with `/_`, or is `/`. */
  | { readonly kind: "own"; readonly path: string };

/** A request to a host that has routes, before they are looked at. */
export interface RoutedRequest {
  readonly kind: "routed";
  readonly routes: HostRoutes;
  readonly path: string;
  readonly query: string;
  readonly host: string;
  /** Where it leads if no route has its path; undefined: nowhere. */
  readonly orElse: (() => DirectRoute) | undefined;
}

export interface Router {
  /**
   * @throws PlatformError `InvalidRequest` for an ambiguous address, `FunctionNotFound` for one that cannot name a
   * function.
   */
  route(target: string, host: string | undefined): Route;
}

const QUALIFIER = /^(?:\$LATEST|[A-Za-z0-9-_]{1,128})$/;
const DOT_SEGMENT = /(?:^|[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:$|[/\\;]|%2f|%5c|%3b)/i;
/** The two characters of `NAME:$LATEST` that careful clients encode; nothing else in a name needs it. */
const ENCODED_SEPARATOR = /%(?:3a|24)/gi;
const UNUSUAL_IN_SEGMENT = /[%\\;\s"<>^`{|}]/;
const RAW_INVOKE_PATH = "/2015-03-31/functions/function/invocations";
/** Hosts repeat: their meaning is kept for so many, then forgotten all at once. */
const HOSTS_REMEMBERED_MAX = 1_000;

/** What a host was found to mean, so that a call finds it by one look into a map. */
interface KnownHost {
  readonly meaning: HostMeaning;
  /** Undefined if no route concerns it. */
  readonly routes: HostRoutes | undefined;
  readonly servesPaths: boolean;
}

/** `domains` are the base domains, like `localhost`. */
export function newRouter(domains: readonly string[], routes: RoutesByHost = NO_ROUTES): Router {
  const sorted = sortedDomains(domains);
  const hosts = new Map<string, KnownHost>();
  let generation = routes.generation;

  function known(host: string | undefined): KnownHost {
    if (generation !== routes.generation) {
      hosts.clear();
      generation = routes.generation;
    }
    const key = host ?? NO_HOST;
    const before = hosts.get(key);
    if (before) return before;
    const found = host === undefined ? knownHost(undefined, ANY_HOST) : look(host);
    if (hosts.size >= HOSTS_REMEMBERED_MAX) hosts.clear();
    hosts.set(key, found);
    return found;
  }

  function look(host: string): KnownHost {
    const hostname = parseHost(host);
    if (hostname === undefined) throw ambiguous(`"${shown(host)}" is not a host name`);
    return knownHost(hostname, meaningOfHost(hostname, sorted));
  }

  function knownHost(hostname: string | undefined, meaning: HostMeaning): KnownHost {
    const { own, anyHost } = routes.ofHost(hostname);
    const isFree = meaning.kind === "any" || meaning.kind === "domain";
    const concerned = own || (isFree && anyHost) ? { own, anyHost } : undefined;
    return { meaning, routes: concerned, servesPaths: meaning.kind === "domain" || (isFree && !own) };
  }

  return {
    route(target, host) {
      const { origin, authority } = originForm(target);
      if (authority !== undefined && authority.toLowerCase() !== host?.toLowerCase()) {
        throw ambiguous(`the request is for "${authority}" and its Host is "${host ?? ""}"`);
      }
      const { meaning, routes: concerned, servesPaths } = known(host);
      const mark = origin.indexOf("?");
      const path = mark === -1 ? origin : origin.slice(0, mark);
      const query = mark === -1 ? "" : origin.slice(mark + 1);
      if (concerned) {
        if (path.startsWith("/_")) return { kind: "own", path };
        const orElse = servesPaths ? () => routeByPath(path, query, host ?? "") : undefined;
        return { kind: "routed", routes: concerned, path, query, host: host ?? "", orElse };
      }
      switch (meaning.kind) {
        case "function":
          return {
            kind: "function",
            name: meaning.name,
            qualifier: meaning.qualifier,
            path,
            query,
            prefix: "",
            host: host ?? "",
            isRawInvoke: path === RAW_INVOKE_PATH,
          };
        case "url":
          return { kind: "url", urlId: meaning.urlId, path, query, host: host ?? "" };
        case "nothing":
          throw notFound(meaning.labels);
        case "domain":
        case "any":
          return routeByPath(path, query, host ?? "");
      }
    },
  };
}

/** No host is spelled like that. */
const NO_HOST = "\0";
const ANY_HOST: HostMeaning = { kind: "any" };
const NO_ROUTES: RoutesByHost = { generation: 0, ofHost: () => ({ own: undefined, anyHost: undefined }) };
/** A request target is a path, or a whole URL (RFC 9112 section 3.2.2) whose authority then counts. */
function originForm(target: string): { readonly origin: string; readonly authority: string | undefined } {
  if (target.includes("#")) throw ambiguous("a request target has no fragment (#)");
  if (target.startsWith("/")) return { origin: target, authority: undefined };
  const absolute = /^http:\/\/([^/?]+)(.*)$/i.exec(target);
  if (!absolute) throw ambiguous(`expected a path that begins with "/", got "${shown(target)}"`);
  const rest = absolute[2] ?? "";
  return { origin: rest.startsWith("/") ? rest : `/${rest}`, authority: absolute[1] ?? "" };
}

/** Where a path leads on a host that names no function. @throws PlatformError as `Router.route`. */
export function routeByPath(path: string, query: string, host: string): DirectRoute {
  if (path === "/" || path.startsWith("/_")) return { kind: "own", path };
  const slash = path.indexOf("/", 1);
  const written = slash === -1 ? path.slice(1) : path.slice(1, slash);
  const segment = written.includes("%")
    ? written.replace(ENCODED_SEPARATOR, (code) => (code.endsWith("4") ? "$" : ":"))
    : written;
  if (segment === "" || UNUSUAL_IN_SEGMENT.test(segment)) {
    throw ambiguous(`"${shown(path)}" does not begin with the name of a function, written plainly`);
  }
  // Behind a proxy that resolves them, these would lead to another function than here.
  if (DOT_SEGMENT.test(path))
    throw ambiguous(`"${shown(path)}" has dot segments; send the path without them`);

  const colon = segment.indexOf(":");
  const qualifier = colon === -1 ? undefined : segment.slice(colon + 1);
  const name = parseFunctionName(colon === -1 ? segment : segment.slice(0, colon));
  if (!name) throw notFound(segment);
  if (qualifier !== undefined && !QUALIFIER.test(qualifier)) {
    throw ambiguous(`"${shown(qualifier)}" is neither an alias nor a version; write NAME:ALIAS or NAME:7`);
  }
  const rest = slash === -1 ? "/" : path.slice(slash);
  return {
    kind: "function",
    name,
    qualifier,
    path: rest,
    query,
    prefix: `/${written}`,
    host,
    isRawInvoke: rest === RAW_INVOKE_PATH,
  };
}

function ambiguous(why: string): PlatformError {
  return new PlatformError("InvalidRequest", `ambiguous address: ${why}`);
}

function notFound(name: string): PlatformError {
  return new PlatformError(
    "FunctionNotFound",
    `no function can be called "${shown(name)}"; lambda list shows them`,
  );
}

/** Enough of a value to recognise it. */
function shown(value: string): string {
  return value.length > 80 ? `${value.slice(0, 80)}…` : value;
}
