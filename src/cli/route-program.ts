import { Option, type Command as Program } from "commander";
import type { Command, Runner } from "./command.ts";
import type { RouteFindOptions, RouteListOptions, RouteUpdateOptions } from "./commands/route.ts";
import type { RouteOptions } from "./route-options.ts";

type Commands = typeof import("./commands/route.ts");

const EXAMPLES = `
Examples:
  lambda route add "GET /stock/{symbol}" --function stock --host api.localhost
  lambda route add "ANY /shop/{proxy+}" --function shop:prod --host api.localhost --strip-prefix /shop
  lambda route add "GET /price/{symbol}" --function price --event '{"symbol":"\${request.path.symbol}"}'
  lambda route add "POST /orders" --function orders --host api.localhost --async
  lambda route add "POST /admin" --function admin --host api.localhost --auth key --limit 10/m
  lambda route add "GET /me" --function me --host api.localhost --jwt-issuer https://id.example.com/ \\
    --jwt-audience my-app --jwt-keys https://id.example.com/.well-known/jwks.json --cors https://app.example.com
  lambda route add "GET /health" --host api.localhost --respond 200 --body ok
  lambda route test GET http://api.localhost/stock/AMZN`;

/** `lambda route`: several functions behind one host. */
export function addRoutes(program: Program, run: Runner): void {
  program.commandsGroup("HTTP:");
  const route = program
    .command("route")
    .alias("routes")
    .description("lead HTTP requests to functions by method, host and path")
    .addHelpText("after", EXAMPLES);
  const does = (work: (commands: Commands, command: Command) => Promise<void>) =>
    run(async (command) => work(await import("./commands/route.ts"), command));

  addSettings(
    route
      .command("add <route>")
      .description('make a route: a method or ANY, and a path like "GET /stock/{symbol}"')
      .option("--host <host>", "only for this host [every host that means nothing else]"),
  ).action((key: string, options: RouteOptions) =>
    does((commands, command) => commands.addRoute(command, key, options)),
  );
  route
    .command("list")
    .alias("ls")
    .description("list the routes")
    .option("--function <function>", "to one function")
    .option("--host <host>", "of one host")
    .action((options: RouteListOptions) =>
      does((commands, command) => commands.listRoutes(command, options)),
    );
  ofOne(route, "show", "show a route").action((key: string, options: RouteFindOptions) =>
    does((commands, command) => commands.showRoute(command, key, options)),
  );
  route
    .command("test <method> <url>")
    .description("show what a request would reach, with its parameters, and why not something else")
    .action((method: string, url: string) =>
      does((commands, command) => commands.testRoute(command, method, url)),
    );
  addSettings(
    ofOne(route, "update", "change what is given of a route")
      .option("--route <route>", "another method or path")
      .option("--to-host <host>", "another host")
      .option("--any-host", "every host that means nothing else")
      .option("--no-event", "let the function get the request again")
      .option("--no-async", "wait for the function again")
      .option("--no-cors", "let the function speak for itself about other origins again")
      .option("--no-limit", "without a limit again")
      .option("--no-strip-prefix", "let the function see the whole path again"),
  ).action((key: string, options: RouteUpdateOptions) =>
    does((commands, command) => commands.updateRoute(command, key, options)),
  );
  ofOne(route, "remove", "remove a route")
    .alias("rm")
    .alias("delete")
    .action((key: string, options: RouteFindOptions) =>
      does((commands, command) => commands.removeRoute(command, key, options)),
    );
}

function ofOne(route: Program, name: string, description: string): Program {
  return route
    .command(`${name} <route>`)
    .description(`${description}, named by its id or as it was added`)
    .option("--host <host>", "of this host, where several have that route");
}

function addSettings(command: Program): Program {
  return command
    .option("--function <function[:qualifier]>", "where it leads; an alias is followed")
    .addOption(
      new Option("--payload <format>", "AWS's format in which a handler gets the request [2.0]").choices([
        "1.0",
        "2.0",
      ]),
    )
    .option("--event <json|@file>", "what the function gets instead: JSON with parts of the request in it")
    .option("--async", "answer 202 with an event id, and do not wait for the function")
    .option("--strip-prefix <path>", "cut this off the path that the function sees")
    .option("--stage-variable <NAME=VALUE>", "event.stageVariables, repeatable", collect)
    .option("--respond <status>", "answer with this status, without a function")
    .option("--header <header>", 'with --respond: "Name: value", repeatable', collect)
    .option("--body <text>", "with --respond: text, or @file")
    .addOption(
      new Option(
        "--auth <kind>",
        "who may call: everybody, keys with the scope invoke, or tokens [none]",
      ).choices(["none", "key", "jwt"]),
    )
    .option("--jwt-issuer <issuer>", "whose tokens are taken: their iss")
    .option("--jwt-audience <audience>", "whom they are for: their aud, or client_id; repeatable", collect)
    .option("--jwt-scope <scope>", "one of these they must have, repeatable", collect)
    .option("--jwt-keys <url|@file>", "the issuer's keys: a JWKS, or a public key in PEM")
    .option("--secret-from-stdin", "the secret that tokens are signed with (HS256), in place of --jwt-keys")
    .option("--cors <origin>", "let pages of this origin call, or of any with *; repeatable", collect)
    .option("--cors-method <method>", "with --cors: methods that they may use, repeatable [any]", collect)
    .option("--cors-header <name>", "with --cors: headers that they may send, repeatable [any]", collect)
    .option("--cors-expose <name>", "with --cors: headers that they may read, repeatable", collect)
    .option("--cors-credentials", "with --cors: let them send cookies and credentials")
    .option("--cors-max-age <span>", "with --cors: how long browsers keep the answer")
    .option("--limit <rate>", "requests: 10/s, 100/m, 5/h; more are answered 429")
    .option("--burst <n>", "with --limit: as many at once [as the rate says: 100 of 100/m]")
    .addOption(
      new Option("--limit-per <whom>", "with --limit: all together, or each address [route]").choices([
        "route",
        "ip",
      ]),
    )
    .option("--description <text>", "what it is for");
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}
