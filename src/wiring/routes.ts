import type { Config } from "../config.ts";
import type { Clock } from "../core/clock.ts";
import type { GatewayRoutes } from "../http/gateway/exchange.ts";
import type { Functions } from "../registry/functions.ts";
import { openRouteBook, type RouteBook } from "../registry/route-book.ts";
import type { Store } from "../store/store.ts";

/** Routes, for those who change them and for the gateway. */
export async function openRouting(parts: {
  readonly config: Config;
  readonly store: Pick<Store, "routes">;
  readonly functions: Functions;
  readonly clock: Clock;
}): Promise<{ readonly book: RouteBook; readonly served: GatewayRoutes }> {
  const { config, store, functions, clock } = parts;
  const book = await openRouteBook({ routes: store.routes, functions, domains: config.domains, clock });
  return { book, served: { table: book.table, account: config.accountId } };
}
