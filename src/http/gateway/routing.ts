/**
 * Host and path → function: one normal form, from which everything else is decided.
 *
 * | address | reaches |
 * |---|---|
 * | `NAME.DOMAIN` | the function, with the whole path |
 * | `QUALIFIER--NAME.DOMAIN` | its alias or version; the first `--` divides |
 * | `URLID.lambda-url.REGION.DOMAIN` | the function URL with that id |
 * | any other host, `/NAME[:QUALIFIER]/rest` | the function, with `/rest` |
 * | any other host, `/_…` | us |
 *
 * Hosts are compared in lower case, so a name with capitals is reached by path only. What a proxy in front could read
 * differently (encoded letters in a name, dot segments on a path that we cut, an absolute-form target for another
 * host) is refused rather than guessed.
 */
import { PlatformError } from "../../core/errors.ts";
import { type FunctionName, parseFunctionName } from "../../core/ids.ts";

export type Route =
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

type HostMeaning =
  | { readonly kind: "function"; readonly name: FunctionName; readonly qualifier: string | undefined }
  | { readonly kind: "url"; readonly urlId: string }
  | { readonly kind: "any" };

export interface Router {
  /**
   * @throws PlatformError `InvalidRequest` for an ambiguous address, `FunctionNotFound` for one that cannot name a
   * function.
   */
  route(target: string, host: string | undefined): Route;
}

const HOST = /^(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9_-])?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/;
const QUALIFIER = /^(?:\$LATEST|[A-Za-z0-9-_]{1,128})$/;
const URL_LABELS = /^([a-z0-9]{1,64})\.lambda-url\.[a-z0-9-]{1,32}$/;
const DOT_SEGMENT = /(?:^|[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?:$|[/\\;]|%2f|%5c|%3b)/i;
/** The two characters of `NAME:$LATEST` that careful clients encode; nothing else in a name needs it. */
const ENCODED_SEPARATOR = /%(?:3a|24)/gi;
const UNUSUAL_IN_SEGMENT = /[%\\;\s"<>^`{|}]/;
const RAW_INVOKE_PATH = "/2015-03-31/functions/function/invocations";
/** Hosts repeat: their meaning is kept for so many, then forgotten all at once. */
const HOSTS_REMEMBERED_MAX = 1_000;

/** `domains` are the base domains in lower case, like `localhost`. */
export function newRouter(domains: readonly string[]): Router {
  // The longest first, so that `lambda.example.com` wins over `example.com`.
  const suffixes = domains.map((domain) => `.${domain.toLowerCase()}`).sort((a, b) => b.length - a.length);
  const meanings = new Map<string, HostMeaning>();

  function meaningOf(host: string): HostMeaning {
    const known = meanings.get(host);
    if (known) return known;
    const meaning = readHost(host, suffixes);
    if (meanings.size >= HOSTS_REMEMBERED_MAX) meanings.clear();
    meanings.set(host, meaning);
    return meaning;
  }

  return {
    route(target, host) {
      const { origin, authority } = originForm(target);
      if (authority !== undefined && authority.toLowerCase() !== host?.toLowerCase()) {
        throw ambiguous(`the request is for "${authority}" and its Host is "${host ?? ""}"`);
      }
      const meaning = host === undefined ? ANY_HOST : meaningOf(host);
      const mark = origin.indexOf("?");
      const path = mark === -1 ? origin : origin.slice(0, mark);
      const query = mark === -1 ? "" : origin.slice(mark + 1);
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
        case "any":
          return routeByPath(path, query, host ?? "");
      }
    },
  };
}

/** `localhost` of `localhost:8080`, `[::1]` of `[::1]:8080`. */
export function hostnameOf(host: string): string {
  const colon = host.lastIndexOf(":");
  return colon > host.lastIndexOf("]") ? host.slice(0, colon) : host;
}

const ANY_HOST: HostMeaning = { kind: "any" };

/** A request target is a path, or a whole URL (RFC 9112 section 3.2.2) whose authority then counts. */
function originForm(target: string): { readonly origin: string; readonly authority: string | undefined } {
  if (target.includes("#")) throw ambiguous("a request target has no fragment (#)");
  if (target.startsWith("/")) return { origin: target, authority: undefined };
  const absolute = /^http:\/\/([^/?]+)(.*)$/i.exec(target);
  if (!absolute) throw ambiguous(`expected a path that begins with "/", got "${shown(target)}"`);
  const rest = absolute[2] ?? "";
  return { origin: rest.startsWith("/") ? rest : `/${rest}`, authority: absolute[1] ?? "" };
}

function readHost(host: string, suffixes: readonly string[]): HostMeaning {
  const lower = host.toLowerCase();
  if (!HOST.test(lower) || lower.includes("..")) throw ambiguous(`"${shown(host)}" is not a host name`);
  const hostname = hostnameOf(lower);
  if (suffixes.includes(`.${hostname}`)) return ANY_HOST;
  const suffix = suffixes.find((candidate) => hostname.endsWith(candidate));
  if (suffix === undefined) return ANY_HOST;
  const labels = hostname.slice(0, -suffix.length);

  const url = URL_LABELS.exec(labels);
  if (url?.[1]) return { kind: "url", urlId: url[1] };
  const divider = labels.indexOf("--");
  const qualifier = divider > 0 ? labels.slice(0, divider) : undefined;
  const name = parseFunctionName(divider > 0 ? labels.slice(divider + 2) : labels);
  if (!name) throw notFound(labels);
  return { kind: "function", name, qualifier };
}

function routeByPath(path: string, query: string, host: string): Route {
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
