import type { Clock } from "../core/clock.ts";
import { isPlatformError, PlatformError } from "../core/errors.ts";
import { meaningOfHost, parseHost, sortedDomains } from "../core/host-meaning.ts";
import { type FunctionName, newRouteId, type RouteId } from "../core/ids.ts";
import type { ProjectName } from "../core/project.ts";
import type { ReleasedRoute } from "../core/release.ts";
import { type CallAction, type HttpRoute, type RouteKey, routeText } from "../core/route.ts";
import { whyBefore } from "../core/route-matcher.ts";
import { parseRoutePath, shapeOf } from "../core/route-path.ts";
import type { RouteChange } from "../store/projects.ts";
import type { Routes } from "../store/routes.ts";
import type { Functions } from "./functions.ts";
import { type RoutesByHost, RouteTable } from "./route-table.ts";
import { Turns } from "./turns.ts";

/** A route as somebody wants it. */
export type NewRoute = Omit<HttpRoute, "id" | "project" | "createdAt" | "modifiedAt">;

/** Who makes or changes a route, by what they may use. */
export interface Claimant {
  mayUse(functionName: string): boolean;
  readonly mayUseAll: boolean;
}

/**
 * The rules by which routes change. When a change has been answered, `table` has nothing older; reading it touches no
 * database.
 *
 * All throw PlatformError `ResourceNotFound` for a route that is not there, and `Forbidden` for what the claimant may not
 * use.
 */
export interface RouteBook {
  readonly table: RoutesByHost;
  get(id: RouteId): HttpRoute;
  /** By host, those without one last; of one host the more specific first. */
  list(): readonly HttpRoute[];
  /** Whether somebody may see and change it. */
  isFor(route: HttpRoute, by: Claimant): boolean;
  /**
   * @throws PlatformError `InvalidRequest` for what cannot be a route; `FunctionNotFound`, `AliasNotFound`,
   * `VersionNotFound` for what it leads to; `ResourceConflict` where another route, or a function, has its place.
   */
  create(wanted: NewRoute, by: Claimant): Promise<HttpRoute>;
  /** `decide` makes the new one of the newest. @throws PlatformError as `create`. */
  change(id: RouteId, decide: (route: HttpRoute) => NewRoute, by: Claimant): Promise<HttpRoute>;
  remove(id: RouteId, by: Claimant): Promise<void>;
  /**
   * What becomes of a project's routes for them to be these; changes nothing. Those that stay keep their ids.
   *
   * @throws PlatformError as `create`, but for the functions, which may not be there yet.
   */
  planOf(project: ProjectName, wanted: readonly ReleasedRoute[]): Promise<RouteChange>;
  /** To be told once that is stored, in the step in which functions change as well. */
  applied(change: RouteChange): void;
  /** @throws PlatformError `Forbidden` */
  checkMayClaim(wanted: ReleasedRoute, by: Claimant): void;
  /** To be told before the removal of a function is answered. */
  functionRemoved(name: FunctionName): void;
}

export async function openRouteBook(parts: {
  readonly routes: Routes;
  readonly functions: Pick<Functions, "resolve">;
  /** Base domains below which each function has a host of its own. */
  readonly domains: readonly string[];
  readonly clock: Clock;
}): Promise<RouteBook> {
  const { routes, functions, clock } = parts;
  const domains = sortedDomains(parts.domains);
  const table = new RouteTable(await routes.list());
  const turns = new Turns();
  const inTurn = <T>(work: () => Promise<T>) => turns.take("", work);

  function get(id: RouteId): HttpRoute {
    const route = table.find(id);
    if (route) return route;
    throw new PlatformError("ResourceNotFound", `there is no route ${id}; lambda route list shows them`);
  }

  async function save(wanted: NewRoute, before: HttpRoute | undefined, by: Claimant): Promise<HttpRoute> {
    const now = clock.now();
    const { host, action } = wanted;
    const route: HttpRoute = {
      ...wanted,
      host: host === undefined ? undefined : checkedHost(host),
      id: before?.id ?? newRouteId(),
      createdAt: before?.createdAt ?? now,
      modifiedAt: now,
    };
    checkMayClaim(route, table.all(), domains, by);
    if (action.kind === "function") await checkCall(route, action);
    await checkPlace(route, table.all());
    await routes.save(route).catch(readAgain);
    // Its function may have been removed since it was written, and the route with it.
    if (!(await routes.find(route.id))) throw gone(route);
    table.put(route);
    return route;
  }

  /** What failed may have happened all the same. @throws `error` */
  async function readAgain(error: unknown): Promise<never> {
    const stored = await routes.list().catch(() => undefined);
    if (stored) table.replaceAll(stored);
    throw error;
  }

  async function checkCall(route: HttpRoute, action: CallAction): Promise<void> {
    const { version, record } = await functions.resolve(action.functionName, action.qualifier);
    const { kind } = version.config.entry;
    if (action.payload === "1.0" && kind !== "handler") {
      throw new PlatformError(
        "InvalidRequest",
        `payload 1.0 is a format of events, and ${record.name} is a ${kind}, which gets the request itself`,
      );
    }
    if (action.stripPrefix !== undefined) checkPrefix(route, action.stripPrefix);
  }

  async function planOf(
    project: ProjectName,
    wanted: readonly ReleasedRoute[],
  ): Promise<{ readonly saved: HttpRoute[]; readonly removed: RouteId[] }> {
    const now = clock.now();
    const before = table.all().filter((route) => route.project === project);
    const others = table.all().filter((route) => route.project !== project);
    const saved: HttpRoute[] = [];
    for (const each of wanted) {
      const host = each.host === undefined ? undefined : checkedHost(each.host);
      const known = before.find((route) => isSamePlace(route, { ...each, host }));
      const route = {
        ...each,
        host,
        project,
        id: known?.id ?? newRouteId(),
        createdAt: known?.createdAt ?? now,
        modifiedAt: now,
      };
      if (route.action.kind === "function" && route.action.stripPrefix !== undefined)
        checkPrefix(route, route.action.stripPrefix);
      await checkPlace(route, [...others, ...saved]);
      saved.push(route);
    }
    const kept = new Set(saved.map(({ id }) => id));
    return { saved, removed: before.map(({ id }) => id).filter((id) => !kept.has(id)) };
  }

  async function checkPlace(route: HttpRoute, all: readonly HttpRoute[]): Promise<void> {
    const same = all.find((other) => other.id !== route.id && isSamePlace(other, route));
    if (same) {
      throw new PlatformError(
        "ResourceConflict",
        `${routeText(route)} conflicts with route ${same.id}, ${routeText(same)}: no request tells them apart; change or remove that one`,
      );
    }
    if (route.host !== undefined) await checkHostIsFree(route.host);
  }

  async function checkHostIsFree(host: string): Promise<void> {
    const meaning = meaningOfHost(host, domains);
    if (meaning.kind === "url") throw taken(host, "of a function URL");
    if (meaning.kind !== "function") return;
    if (meaning.qualifier !== undefined) throw taken(host, `of a version of function ${meaning.name}`);
    try {
      await functions.resolve(meaning.name, undefined);
    } catch (error) {
      if (isPlatformError(error, "FunctionNotFound")) return;
      throw error;
    }
    throw taken(host, `of function ${meaning.name}`);
  }

  return {
    table,
    get,
    list: () => table.all().sort(inOrder),
    isFor: (route, by) => isUsable(route, table.all(), by),
    planOf,
    applied({ saved, removed }) {
      for (const id of removed) table.drop(id);
      for (const route of saved) table.put(route);
    },
    checkMayClaim: (wanted, by) => checkMayClaim(wanted, table.all(), domains, by),
    create: (wanted, by) => inTurn(() => save(wanted, undefined, by)),
    change: (id, decide, by) =>
      inTurn(async () => {
        const before = get(id);
        refuseOfProject(before);
        checkMayUse(before, table.all(), by);
        return await save(decide(before), before, by);
      }),
    remove: (id, by) =>
      inTurn(async () => {
        refuseOfProject(get(id));
        checkMayUse(get(id), table.all(), by);
        await routes.remove(id).catch(readAgain);
        table.drop(id);
      }),
    functionRemoved: (name) => table.dropOfFunction(name),
  };
}

/** No request tells them apart. */
function isSamePlace(a: RouteKey, b: RouteKey): boolean {
  const shape = ({ path }: RouteKey) => shapeOf(parseRoutePath(path));
  return a.host === b.host && a.method === b.method && shape(a) === shape(b);
}

function refuseOfProject(route: HttpRoute): void {
  if (route.project === undefined) return;
  throw new PlatformError(
    "ResourceConflict",
    `route ${route.id}, ${routeText(route)}, belongs to project ${route.project}; change it in lambda.yaml and run lambda deploy there`,
  );
}

/** @throws PlatformError `InvalidRequest` */
function checkedHost(host: string): string {
  const hostname = parseHost(host);
  if (hostname !== undefined) return hostname;
  throw new PlatformError(
    "InvalidRequest",
    `host: expected a host name like api.localhost, got ${JSON.stringify(host)}`,
  );
}

function checkPrefix({ path }: RouteKey, prefix: string): void {
  const [segments, cut] = [parseRoutePath(path), parseRoutePath(prefix)];
  const isBeginning =
    cut.length > 0 &&
    cut.every((segment, index) => {
      const own = segments[index];
      return segment.kind === "exact" && own?.kind === "exact" && own.text === segment.text;
    });
  if (isBeginning) return;
  throw new PlatformError(
    "InvalidRequest",
    `stripPrefix: expected segments without parameters that ${path} begins with, got ${JSON.stringify(prefix)}`,
  );
}

type Claimed = RouteKey & Pick<HttpRoute, "action">;

/** A route takes requests away from others: so who makes one must be allowed to use whatever its host leads to. */
function checkMayClaim(
  route: Claimed,
  all: readonly HttpRoute[],
  domains: readonly string[],
  by: Claimant,
): void {
  if (by.mayUseAll) return;
  const { host } = route;
  const meaning = host === undefined ? undefined : meaningOfHost(host, domains);
  if (!meaning || meaning.kind === "domain") {
    throw new PlatformError(
      "Forbidden",
      `a route on ${host ?? "any host"} concerns all functions, and the key is for some; give the route a host of its own`,
    );
  }
  checkMayUse(route, all, by);
  const isOthers = meaning.kind === "function" && !by.mayUse(meaning.name);
  if (isOthers || !mayUseHost(host, all, by)) {
    throw new PlatformError(
      "Forbidden",
      `host ${host} leads to functions that the key is not for; choose another host`,
    );
  }
}

function checkMayUse(route: Claimed, all: readonly HttpRoute[], by: Claimant): void {
  if (isUsable(route, all, by)) return;
  const { action } = route;
  const what =
    action.kind === "function" ? `function ${action.functionName}` : `all of ${route.host ?? "any host"}`;
  throw new PlatformError("Forbidden", `${routeText(route)} is for ${what}, and the key is not`);
}

/** An answer without a function belongs to whoever may use all that its host leads to. */
function isUsable({ action, host }: Claimed, all: readonly HttpRoute[], by: Claimant): boolean {
  if (by.mayUseAll) return true;
  if (action.kind === "function") return by.mayUse(action.functionName);
  return host !== undefined && mayUseHost(host, all, by);
}

function mayUseHost(host: string | undefined, all: readonly HttpRoute[], by: Claimant): boolean {
  return all.every(
    (route) =>
      route.host !== host || route.action.kind === "response" || by.mayUse(route.action.functionName),
  );
}

function taken(host: string, whose: string): PlatformError {
  return new PlatformError(
    "ResourceConflict",
    `${host} is the host ${whose}; choose another host for routes`,
  );
}

function gone({ action }: HttpRoute): PlatformError {
  const name = action.kind === "function" ? action.functionName : "";
  return new PlatformError("FunctionNotFound", `function "${name}" was deleted meanwhile`);
}

function inOrder(a: HttpRoute, b: HttpRoute): number {
  const [host, other] = [a.host ?? LAST, b.host ?? LAST];
  if (host !== other) return host < other ? -1 : 1;
  if (whyBefore(a, b)) return -1;
  if (whyBefore(b, a)) return 1;
  const [first, second] = [`${a.path} ${a.method}`, `${b.path} ${b.method}`];
  return first < second ? -1 : 1;
}

/** Behind every host name. */
const LAST = "\u{7f}";
