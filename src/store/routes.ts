import type { RouteId } from "../core/ids.ts";
import type { HttpRoute } from "../core/route.ts";

/**
 * Routes of the gateway. What a promise of a change resolves with is on disk. They go with their function.
 *
 * @throws PlatformError `StoreUnavailable`, `StorageFull` from any of them.
 */
export interface Routes {
  /**
   * Creates or replaces.
   *
   * @throws PlatformError `FunctionNotFound`; `ResourceConflict` if another route has the same host, method and shape of
   * path, or beyond `ROUTES_MAX`.
   */
  save(route: HttpRoute): Promise<void>;
  find(id: RouteId): Promise<HttpRoute | undefined>;
  /** All of them, by id. */
  list(): Promise<HttpRoute[]>;
  /** False if it was not there. */
  remove(id: RouteId): Promise<boolean>;
}
