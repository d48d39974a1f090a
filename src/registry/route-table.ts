import type { FunctionName, RouteId } from "../core/ids.ts";
import type { HttpRoute } from "../core/route.ts";
import { newRouteMatcher, type RouteMatcher } from "../core/route-matcher.ts";

/** What a host's requests are matched with. */
export interface HostRoutes {
  /** Of routes that name the host. */
  readonly own: RouteMatcher | undefined;
  /** Of routes that name none. */
  readonly anyHost: RouteMatcher | undefined;
}

/** The routes by host, as the gateway looks at them. */
export interface RoutesByHost {
  /** Another number after each change, so that what was made of the routes can be kept. */
  readonly generation: number;
  /** `hostname` is as `parseHost` gives it; undefined for a request without host. */
  ofHost(hostname: string | undefined): HostRoutes;
}

/** All routes, in memory. */
export class RouteTable implements RoutesByHost {
  readonly #routes = new Map<RouteId, HttpRoute>();
  /** Made when they are asked for; a change forgets those of its host. */
  readonly #matchers = new Map<string | undefined, RouteMatcher>();
  /** How many routes each host has. */
  readonly #counts = new Map<string | undefined, number>();
  #generation = 0;

  constructor(routes: Iterable<HttpRoute>) {
    for (const route of routes) this.put(route);
  }

  get generation(): number {
    return this.#generation;
  }

  ofHost(hostname: string | undefined): HostRoutes {
    const own = hostname === undefined ? undefined : this.#matcherOf(hostname);
    return { own, anyHost: this.#matcherOf(undefined) };
  }

  find(id: RouteId): HttpRoute | undefined {
    return this.#routes.get(id);
  }

  all(): HttpRoute[] {
    return [...this.#routes.values()];
  }

  /** Adds or replaces. */
  put(route: HttpRoute): void {
    this.drop(route.id);
    this.#routes.set(route.id, route);
    this.#changed(route.host, 1);
  }

  drop(id: RouteId): void {
    const route = this.#routes.get(id);
    if (!route) return;
    this.#routes.delete(id);
    this.#changed(route.host, -1);
  }

  /** Makes it these and no others. */
  replaceAll(routes: readonly HttpRoute[]): void {
    const kept = new Set(routes.map(({ id }) => id));
    for (const { id } of this.all()) if (!kept.has(id)) this.drop(id);
    for (const route of routes) this.put(route);
  }

  dropOfFunction(name: FunctionName): void {
    for (const { id, action } of this.all()) {
      if (action.kind === "function" && action.functionName === name) this.drop(id);
    }
  }

  #matcherOf(host: string | undefined): RouteMatcher | undefined {
    if (!this.#counts.has(host)) return undefined;
    const known = this.#matchers.get(host);
    if (known) return known;
    const matcher = newRouteMatcher(this.all().filter((route) => route.host === host));
    this.#matchers.set(host, matcher);
    return matcher;
  }

  #changed(host: string | undefined, by: 1 | -1): void {
    const count = (this.#counts.get(host) ?? 0) + by;
    if (count === 0) this.#counts.delete(host);
    else this.#counts.set(host, count);
    this.#matchers.delete(host);
    this.#generation += 1;
  }
}
