/**
 * Which of some routes a request is for: of those that its path and method fit, the most specific.
 *
 * Paths are compared segment by segment from the left: an exact segment is more specific than a parameter, that more
 * than all that is left. Of two routes with the same path, the one that names the method is more specific than `ANY`.
 * So a request that no method of the best path takes goes on to the next best path.
 */
import type { HttpRoute, RouteMethod } from "./route.ts";
import { parseRoutePath, type RequestPath, type RouteSegment, segmentText } from "./route-path.ts";

export interface FoundRoute {
  readonly route: HttpRoute;
  /** Decoded, in the order of the path: names and values. */
  readonly parameters: readonly (readonly [name: string, value: string])[];
}

export interface RouteMatcher {
  readonly routes: readonly HttpRoute[];
  /** Adds to `allowed` the methods of routes whose path fits, but not the method. */
  find(method: string, path: RequestPath, allowed: Set<RouteMethod>): FoundRoute | undefined;
}

/** One position in the paths of all routes. */
interface Node {
  readonly exact: Map<string, Node>;
  parameter: Node | undefined;
  /** Routes that end here, by method. */
  readonly ending: Map<RouteMethod, HttpRoute>;
  /** Routes for all that is left from here on. */
  readonly rest: Map<RouteMethod, HttpRoute>;
}

/** No two of the routes may have the same method and shape of path. */
export function newRouteMatcher(routes: readonly HttpRoute[]): RouteMatcher {
  const root = newNode();
  const segmentsOf = new Map<HttpRoute, readonly RouteSegment[]>();
  for (const route of routes) {
    const segments = parseRoutePath(route.path);
    segmentsOf.set(route, segments);
    placeOf(root, segments).set(route.method, route);
  }

  return {
    routes,
    find(method, path, allowed) {
      const route = walk(root, method, path.segments, 0, allowed);
      return route && { route, parameters: parametersOf(segmentsOf.get(route) ?? [], path) };
    },
  };
}

function newNode(): Node {
  return { exact: new Map(), parameter: undefined, ending: new Map(), rest: new Map() };
}

function placeOf(root: Node, segments: readonly RouteSegment[]): Map<RouteMethod, HttpRoute> {
  let node = root;
  for (const segment of segments) {
    if (segment.kind === "rest") return node.rest;
    if (segment.kind === "parameter") {
      node.parameter ??= newNode();
      node = node.parameter;
    } else {
      const next = node.exact.get(segment.text) ?? newNode();
      node.exact.set(segment.text, next);
      node = next;
    }
  }
  return node.ending;
}

/** Visits each node at most once: what fits from here on does not depend on how it was reached. */
function walk(
  node: Node,
  method: string,
  segments: readonly string[],
  index: number,
  allowed: Set<RouteMethod>,
): HttpRoute | undefined {
  const segment = segments[index];
  if (segment === undefined) return ofMethod(node.ending, method, allowed);
  const exact = node.exact.get(segment);
  const found =
    (exact && walk(exact, method, segments, index + 1, allowed)) ??
    (node.parameter && walk(node.parameter, method, segments, index + 1, allowed));
  return found ?? ofMethod(node.rest, method, allowed);
}

function ofMethod(
  routes: ReadonlyMap<RouteMethod, HttpRoute>,
  method: string,
  allowed: Set<RouteMethod>,
): HttpRoute | undefined {
  for (const [named, route] of routes) if (named === method) return route;
  const any = routes.get("ANY");
  if (!any) for (const named of routes.keys()) allowed.add(named);
  return any;
}

function parametersOf(
  segments: readonly RouteSegment[],
  path: RequestPath,
): (readonly [name: string, value: string])[] {
  const parameters: (readonly [string, string])[] = [];
  for (const [index, segment] of segments.entries()) {
    if (segment.kind === "parameter") parameters.push([segment.name, path.segments[index] ?? ""]);
    if (segment.kind === "rest") {
      parameters.push([segment.name, path.segments.slice(index).join("/") + path.ending]);
    }
  }
  return parameters;
}

/** Why a route is not for a request with that method and path, in words; undefined if it fits. */
export function whyNot(route: HttpRoute, method: string, path: RequestPath): string | undefined {
  const segments = parseRoutePath(route.path);
  for (const [index, segment] of segments.entries()) {
    const given = path.segments[index];
    if (given === undefined) {
      return `it has ${count(segments.length)}, the path ${count(path.segments.length)}`;
    }
    if (segment.kind === "rest") break;
    if (segment.kind === "exact" && segment.text !== given) {
      return `segment ${index + 1} is ${JSON.stringify(segment.text)}, not ${JSON.stringify(given)}`;
    }
  }
  if (segments.at(-1)?.kind !== "rest" && path.segments.length > segments.length) {
    return `it has ${count(segments.length)}, the path ${count(path.segments.length)}`;
  }
  return route.method === "ANY" || route.method === method
    ? undefined
    : `it is for ${route.method}, not ${method}`;
}

/** Why of two routes that fit a request `better` is taken; undefined if it is not the more specific one. */
export function whyBefore(better: HttpRoute, other: HttpRoute): string | undefined {
  if (better.host !== undefined && other.host === undefined) return "names the host";
  if (better.host === undefined && other.host !== undefined) return undefined;
  const [segments, others] = [parseRoutePath(better.path), parseRoutePath(other.path)];
  for (const [index, segment] of segments.entries()) {
    const against = others[index];
    if (!against || RANK[segment.kind] === RANK[against.kind]) continue;
    return RANK[segment.kind] < RANK[against.kind]
      ? `has ${segmentText(segment)} where this has ${segmentText(against)}`
      : undefined;
  }
  return better.method !== "ANY" && other.method === "ANY" ? "names the method" : undefined;
}

const RANK: Readonly<Record<RouteSegment["kind"], number>> = { exact: 0, parameter: 1, rest: 2 };

function count(segments: number): string {
  return segments === 1 ? "1 segment" : `${segments} segments`;
}
