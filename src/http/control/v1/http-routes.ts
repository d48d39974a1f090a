/** Routes of our own API. */
import { PlatformError } from "../../../core/errors.ts";
import { parseRouteId, type RouteId } from "../../../core/ids.ts";
import type { HttpRoute } from "../../../core/route.ts";
import type { Claimant } from "../../../registry/route-book.ts";
import type { ControlParts } from "../parts.ts";
import { type Caller, type ControlRequest, emptyReply, type Handler, jsonReply } from "../route.ts";
import { askedFunction, requireFunction } from "./asked-function.ts";
import { parseChangeRoute, parseCreateRoute, routeShape } from "./http-route-wire.ts";
import { testRoute } from "./route-test.ts";
import { parsePage } from "./wire.ts";

export type RouteOperation =
  | "listRoutes"
  | "getRoute"
  | "createRoute"
  | "changeRoute"
  | "deleteRoute"
  | "testRoute";

type Parts = Pick<ControlParts, "routeBook" | "sealTokenSecret" | "functions" | "domains" | "urls">;

export function routeHandlers(parts: Parts): Readonly<Record<RouteOperation, Handler>> {
  const { routeBook: book } = parts;

  /** The route that the path names, if the key is good for what it leads to. */
  function named({ params, caller, route }: ControlRequest): HttpRoute {
    const found = book.get(routeId(params.route ?? ""));
    if (book.isFor(found, claimantOf(caller))) return found;
    throw new PlatformError(
      "Forbidden",
      `key ${caller.key?.id} is not authorized to perform ${route.name} on route ${found.id}`,
    );
  }

  return {
    async listRoutes(request) {
      const { query, caller } = request;
      const { after = "", limit } = parsePage(query);
      const [functionName, host] = [askedFunction(request), query.get("host")?.toLowerCase()];
      const claimant = claimantOf(caller);
      const found = book
        .list()
        .filter(
          (route) =>
            book.isFor(route, claimant) &&
            (host === undefined || host === (route.host ?? "")) &&
            (functionName === undefined ||
              (route.action.kind === "function" && route.action.functionName === functionName)),
        )
        .filter(({ id }) => id > after)
        .sort((a, b) => (a.id < b.id ? -1 : 1));
      await requireFunction(parts.functions, functionName, found.length);
      const shown = found.slice(0, limit);
      const next = found.length > limit ? shown.at(-1)?.id : undefined;
      return jsonReply(200, { routes: shown.map((route) => routeShape(route, parts.urls)), next });
    },
    getRoute: async (request) => jsonReply(200, routeShape(named(request), parts.urls)),
    async createRoute({ json, caller }) {
      const route = await book.create(
        await parseCreateRoute(json, parts.sealTokenSecret),
        claimantOf(caller),
      );
      return jsonReply(201, routeShape(route, parts.urls));
    },
    async changeRoute(request) {
      const { id } = named(request);
      const decide = await parseChangeRoute(request.json, parts.sealTokenSecret);
      const route = await book.change(id, decide, claimantOf(request.caller));
      return jsonReply(200, routeShape(route, parts.urls));
    },
    async deleteRoute(request) {
      await book.remove(named(request).id, claimantOf(request.caller));
      return emptyReply(204);
    },
    testRoute: async ({ json, caller }) => jsonReply(200, await testRoute(parts, json, claimantOf(caller))),
  };
}

export function claimantOf({ key, mayUse }: Caller): Claimant {
  return { mayUse, mayUseAll: key?.functions === "*" };
}

function routeId(text: string): RouteId {
  const id = parseRouteId(text);
  if (id) return id;
  throw new PlatformError(
    "ResourceNotFound",
    `there is no route ${JSON.stringify(text)}; lambda route list shows them`,
  );
}
