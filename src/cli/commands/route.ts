import { CliError, usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { functionName } from "../names.ts";
import { nothingFound } from "../nothing-found.ts";
import { type RouteOptions, routeBody } from "../route-options.ts";
import {
  inReadingOrder,
  ROUTE_TITLES,
  type RouteView,
  readRoute,
  routeFacts,
  routeRow,
} from "../route-view.ts";
import { formatFacts, formatTable } from "../table.ts";
import { plural } from "../units.ts";
import { Fields } from "../wire.ts";

export interface RouteListOptions {
  readonly function?: string;
  readonly host?: string;
}

export interface RouteFindOptions {
  readonly host?: string;
}

export interface RouteUpdateOptions extends RouteOptions {
  readonly toHost?: string;
  readonly anyHost?: boolean;
  readonly route?: string;
}

const PAGE = 500;
const ROUTE_ID = /^rt_[0-9a-z]{12}$/;

export async function addRoute(command: Command, key: string, options: RouteOptions): Promise<void> {
  const { output, client } = command;
  const { host } = options;
  const body = { route: key, ...(host !== undefined && { host }), ...(await routeBody(command, options)) };
  const answer = await (await client()).json("POST", "/v1/routes", { body });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const made = readRoute(answer);
  await output.write(`${made.url} ${leads(made)} (${made.id})\n`);
}

export async function listRoutes(command: Command, options: RouteListOptions): Promise<void> {
  const { output } = command;
  const found = await allRoutes(command, {
    function: options.function === undefined ? undefined : functionName(options.function),
    host: options.host,
  });
  if (output.isJson) {
    await output.json({ routes: found });
    return;
  }
  if (found.length === 0) {
    const narrowed = { function: options.function, host: options.host };
    output.note(nothingFound("routes", narrowed, 'lambda route add "GET /hello" --function NAME'));
    return;
  }
  await output.write(formatTable(ROUTE_TITLES, found.map(readRoute).sort(inReadingOrder).map(routeRow)));
}

export async function showRoute(command: Command, key: string, options: RouteFindOptions): Promise<void> {
  const { output, client } = command;
  const id = await routeId(command, key, options);
  const answer = await (await client()).json("GET", routePath(id));
  if (output.isJson) await output.json(answer);
  else await output.write(formatFacts(routeFacts(readRoute(answer))));
}

export async function updateRoute(command: Command, key: string, options: RouteUpdateOptions): Promise<void> {
  const { output, client } = command;
  const { toHost, anyHost, route, host, ...settings } = options;
  if (toHost !== undefined && anyHost) throw usageError("--to-host and --any-host: expected one of them");
  const body = {
    ...(route !== undefined && { route }),
    ...(toHost !== undefined && { host: toHost }),
    ...(anyHost && { host: null }),
    ...(await routeBody(command, settings)),
  };
  if (Object.keys(body).length === 0) {
    throw usageError("nothing to change: expected at least one setting, such as --function");
  }
  const id = await routeId(command, key, { ...(host !== undefined && { host }) });
  const answer = await (await client()).json("PATCH", routePath(id), { body });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const changed = readRoute(answer);
  await output.write(`${changed.url} ${leads(changed)} (${changed.id})\n`);
}

export async function removeRoute(command: Command, key: string, options: RouteFindOptions): Promise<void> {
  const { output, client } = command;
  const id = await routeId(command, key, options);
  await (await client()).json("DELETE", routePath(id));
  if (output.isJson) await output.json({ removed: id });
  else output.note(`removed route ${id}`);
}

/** What would happen, and why not something else; the exit code is 1 if the request reaches nothing. */
export async function testRoute(command: Command, method: string, url: string): Promise<void> {
  const { output, client } = command;
  const body = { method: method.toUpperCase(), url: url.includes("://") ? url : `http://${url}` };
  const answer = await (await client()).json("POST", "/v1/routes/test", { body });
  const fields = new Fields("test", answer);
  const reaches = fields.text("reaches");
  if (reaches === "nothing") command.finish(1);
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const route = fields.optionalObject("route");
  const parameters = fields.optionalObject("parameters")?.texts() ?? {};
  const qualifier = fields.optionalText("qualifier");
  const name = fields.optionalText("function");
  const status = fields.optionalNumber("status");
  const view = route && readRoute(fields.value("route"));
  await output.write(
    formatFacts([
      ["Reaches", view ? `${view.route} on ${view.host ?? "any host"} (${view.id})` : reaches],
      ["Leads to", view?.leadsTo ?? (name && `${name}${qualifier === undefined ? "" : `:${qualifier}`}`)],
      ["Version", fields.optionalText("version")],
      ...Object.entries(parameters).map(([parameter, value]): [string, string] => [`{${parameter}}`, value]),
      ["Path", fields.optionalText("path")],
      ["Rules", view?.rules.join(", ")],
      ["Status", status === undefined ? undefined : String(status)],
      ["Because", fields.optionalText("reason")],
    ]),
  );
  const others = fields.list("others").map((other) => {
    const told = new Fields("other", other);
    const { route: key, host } = readRoute(told.value("route"));
    return [key, host ?? "any", told.text("why")];
  });
  if (others.length > 0) await output.write(`\n${formatTable(["NOT TAKEN", "HOST", "WHY"], others)}`);
}

function leads({ leadsTo }: RouteView): string {
  return leadsTo.startsWith("responds ") ? leadsTo : `leads to ${leadsTo}`;
}

async function allRoutes(
  { client }: Command,
  query: { readonly function?: string | undefined; readonly host?: string | undefined },
): Promise<unknown[]> {
  const api = await client();
  const found: unknown[] = [];
  let after: string | undefined;
  do {
    const page = await api.json("GET", "/v1/routes", { query: { ...query, after, limit: PAGE } });
    const fields = new Fields("routes", page);
    found.push(...fields.list("routes"));
    after = fields.optionalText("next");
  } while (after !== undefined);
  return found;
}

/** Of an id, or of a route as it was added: there may be one on each host. */
async function routeId(command: Command, text: string, { host }: RouteFindOptions): Promise<string> {
  if (ROUTE_ID.test(text)) return text;
  const wanted = text.trim().replace(/^\S+ +/, (method) => `${method.trim().toUpperCase()} `);
  const found = (await allRoutes(command, { host })).map(readRoute).filter(({ route }) => route === wanted);
  const [first] = found;
  if (first && found.length === 1) return first.id;
  if (first) {
    const hosts = found.map((route) => route.host ?? "any").join(", ");
    throw usageError(
      `${wanted} is there on ${plural(found.length, "host")} (${hosts}): name one with --host, or the route by its id`,
    );
  }
  throw CliError.fromServer(
    404,
    "ResourceNotFound",
    `there is no route ${JSON.stringify(text)}${host === undefined ? "" : ` on ${host}`}`,
    "lambda route list shows them",
  );
}

function routePath(id: string): string {
  return `/v1/routes/${id}`;
}
