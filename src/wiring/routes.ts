import type { Config } from "../config/config.ts";
import type { Clock } from "../core/clock.ts";
import type { KeyRing } from "../http/control/keys.ts";
import type { GatewayRoutes } from "../http/gateway/exchange.ts";
import type { Functions } from "../registry/functions.ts";
import { openRouteBook, type RouteBook } from "../registry/route-book.ts";
import type { Store } from "../store/store.ts";
import { once } from "./once.ts";

/** What the secrets of tokens are sealed for. */
const TOKEN_SECRETS = "tokens of routes";

export interface Routing {
  /** For those who change routes. */
  readonly book: RouteBook;
  readonly served: GatewayRoutes;
  /** Encrypts the secret that tokens of an issuer are signed with. */
  seal(issuer: string, secret: string): Promise<string>;
}

/** What checks keys and tokens is loaded with the first route that asks for one. */
export async function openRouting(parts: {
  readonly config: Config;
  readonly store: Pick<Store, "routes">;
  readonly keys: Promise<KeyRing>;
  readonly functions: Functions;
  readonly clock: Clock;
}): Promise<Routing> {
  const { config, store, keys, functions, clock } = parts;
  const book = await openRouteBook({ routes: store.routes, functions, domains: config.domains, clock });
  const sealer = async () => (await keys).sealerFor(TOKEN_SECRETS);
  const keyCheck = once(async () => {
    const { newRouteKeyCheck } = await import("../http/control/route-keys.ts");
    return newRouteKeyCheck({ keys: await keys, account: config.accountId });
  });
  const jwtCheck = once(async () => {
    const [{ newJwtVerifier }, { newKeySetFetch }, { isPrivateHost, publicLookup }] = await Promise.all([
      import("../http/gateway/jwt.ts"),
      import("../http/gateway/key-set-fetch.ts"),
      import("../events/http-delivery.ts"),
    ]);
    const isOpen = config.privateDestinations;
    return newJwtVerifier({
      unseal: async (issuer, sealed) => (await sealer()).unseal(issuer, sealed),
      fetchKeys: newKeySetFetch({
        lookup: isOpen ? undefined : publicLookup,
        refuses: (hostname) => !isOpen && isPrivateHost(hostname),
      }),
      clock,
    });
  });
  return {
    book,
    served: {
      table: book.table,
      account: config.accountId,
      authorizeKey: async (token, target) => (await keyCheck())(token, target),
      verifyJwt: async (token, authorizer) => (await jwtCheck())(token, authorizer),
    },
    seal: async (issuer, secret) => (await sealer()).seal(issuer, secret),
  };
}
