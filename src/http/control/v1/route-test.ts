/** What the gateway would do with a request, and why: by the very code that does it. */
import { errorFacts, isPlatformError, PlatformError } from "../../../core/errors.ts";
import { hostnameOf } from "../../../core/host-meaning.ts";
import { type HttpRoute, routeText } from "../../../core/route.ts";
import { type FoundRoute, whyBefore, whyNot } from "../../../core/route-matcher.ts";
import { parseRequestPath, type RequestPath } from "../../../core/route-path.ts";
import type { Claimant } from "../../../registry/route-book.ts";
import { addressFor, findRoute } from "../../gateway/routed.ts";
import { type DirectRoute, newRouter, type RoutedRequest } from "../../gateway/routing.ts";
import type { ControlParts } from "../parts.ts";
import { routeShape, TestRoute } from "./http-route-wire.ts";
import { parse } from "./wire.ts";

/** Routes that are told why they are not for the request. */
const OTHERS_MAX = 100;

type Parts = Pick<ControlParts, "routeBook" | "functions" | "domains" | "urls">;

/** @throws PlatformError `InvalidRequest` for what is no URL; `Forbidden` for a route that is not theirs. */
export async function testRoute(parts: Parts, body: unknown, by: Claimant): Promise<Record<string, unknown>> {
  const { method, url } = parse(TestRoute, body, "body");
  const [, host, target = ""] = /^https?:\/\/([^/?#]+)([^#]*)$/i.exec(url) ?? [];
  if (host === undefined) {
    throw new PlatformError(
      "InvalidRequest",
      `url: expected one like http://api.localhost/stock/AMZN, got ${JSON.stringify(url.slice(0, 100))}`,
    );
  }
  const asked = { method, host: hostnameOf(host.toLowerCase()) };
  try {
    const router = newRouter(parts.domains, parts.routeBook.table);
    const routed = router.route(target.startsWith("/") ? target : `/${target}`, host);
    if (routed.kind !== "routed") return { ...asked, ...elsewhere(routed), others: [] };
    return { ...asked, ...(await testRouted(parts, method, asked.host, routed, by)) };
  } catch (error) {
    if (!isPlatformError(error) || error.code === "Forbidden") throw error;
    return { ...asked, ...refusal(error), others: [] };
  }
}

async function testRouted(
  parts: Parts,
  method: string,
  host: string,
  routed: RoutedRequest,
  by: Claimant,
): Promise<Record<string, unknown>> {
  const path = parseRequestPath(routed.path);
  const visible = parts.routeBook.list().filter((route) => parts.routeBook.isFor(route, by));
  const others = (taken: HttpRoute | undefined) => ({
    others: visible
      .filter((route) => route !== taken)
      .slice(0, OTHERS_MAX)
      .map((route) => ({
        route: routeShape(route, parts.urls),
        why: reason(route, taken, method, host, path),
      })),
  });
  try {
    const found = findRoute(routed, method, path, []);
    if (!found) {
      const direct = routed.orElse?.();
      const told = direct ? elsewhere(direct) : refusal(noRoute(host));
      return { ...told, ...others(undefined) };
    }
    if (!parts.routeBook.isFor(found.route, by)) throw notTheirs(found.route);
    return { ...(await describe(parts, routed, found, path)), ...others(found.route) };
  } catch (error) {
    if (!isPlatformError(error) || error.code === "Forbidden") throw error;
    return { ...refusal(error), ...others(undefined) };
  }
}

async function describe(
  parts: Pick<Parts, "functions" | "urls">,
  routed: RoutedRequest,
  { route, parameters }: FoundRoute,
  path: RequestPath,
): Promise<Record<string, unknown>> {
  const { action } = route;
  const told = {
    reaches: "route",
    route: routeShape(route, parts.urls),
    parameters: Object.fromEntries(parameters),
  };
  if (action.kind === "response") return { ...told, status: action.status };
  const { record, version } = await parts.functions.resolve(action.functionName, action.qualifier);
  const number = version.label === "$LATEST" ? record.liveVersion : undefined;
  return {
    ...told,
    function: action.functionName,
    qualifier: action.qualifier,
    version: number === undefined ? version.label : String(number),
    path: addressFor(action, routed, path).path,
  };
}

function elsewhere(direct: DirectRoute): Record<string, unknown> {
  switch (direct.kind) {
    case "function":
      return {
        reaches: "function",
        function: direct.name,
        qualifier: direct.qualifier,
        path: direct.path,
        reason: "no route is for this; the address itself names the function",
      };
    case "url":
      return {
        reaches: "url",
        path: direct.path,
        reason: `the host is that of function URL ${direct.urlId}`,
      };
    case "own":
      return { reaches: "gateway", path: direct.path, reason: "the gateway answers this itself" };
  }
}

function refusal(error: PlatformError): Record<string, unknown> {
  return { reaches: "nothing", status: errorFacts(error.code).status, reason: error.message };
}

function reason(
  route: HttpRoute,
  taken: HttpRoute | undefined,
  method: string,
  host: string,
  path: RequestPath,
): string {
  if (route.host !== undefined && route.host !== host) return `it is for host ${route.host}`;
  const why = whyNot(route, method, path);
  if (why !== undefined) return why;
  const before = taken && whyBefore(taken, route);
  return before === undefined ? "it fits" : `it fits too, but ${routeText(taken ?? route)} ${before}`;
}

function noRoute(host: string): PlatformError {
  return new PlatformError("RouteNotFound", `no route of ${host} has that path`);
}

function notTheirs({ id }: HttpRoute): PlatformError {
  return new PlatformError("Forbidden", `the request reaches route ${id}, which the key is not for`);
}
