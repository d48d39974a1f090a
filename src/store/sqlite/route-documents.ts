import type { CallAction, HttpRoute } from "../../core/route.ts";
import type { Row } from "./connection.ts";
import { checkedText, type Document, newDocument } from "./documents.ts";

const ROUTE_COLUMNS = ["id"] as const;

/** What to select so that a row can be parsed. */
export const ROUTE_ROW = [...ROUTE_COLUMNS, "document", "checksum"].join(", ");

export function routeDocument(route: HttpRoute): Document {
  return newDocument(route, [route.id]);
}

export function parseRoute(row: Row): HttpRoute {
  const stored = JSON.parse(checkedText(row, ROUTE_COLUMNS)) as HttpRoute;
  const { action, cors } = stored;
  return {
    ...stored,
    host: stored.host,
    action: action.kind === "function" ? parseCallAction(action) : action,
    cors: cors && { ...cors, maxAgeS: cors.maxAgeS },
    limit: stored.limit,
  };
}

function parseCallAction(stored: CallAction): CallAction {
  return {
    ...stored,
    qualifier: stored.qualifier,
    stripPrefix: stored.stripPrefix,
    event: stored.event,
  };
}
