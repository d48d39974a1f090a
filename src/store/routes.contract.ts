import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import { newRouteId } from "../core/ids.ts";
import type { HttpRoute } from "../core/route.ts";
import { sampleAction, sampleRoute } from "../core/route-samples.fake.ts";
import { sampleFunction, sampleName } from "./samples.fake.ts";
import type { Store } from "./store.ts";

const full: Partial<HttpRoute> = {
  action: sampleAction("greet", {
    qualifier: "prod",
    payload: "1.0",
    isAsync: true,
    stripPrefix: "/a",
    stageVariables: { k: "v" },
    event: { symbol: `\${path.symbol}`, list: [1, null] },
  }),
  authorizer: {
    kind: "jwt",
    issuer: "i",
    audience: ["a"],
    scopes: [],
    keys: { kind: "set", keys: [{ kty: "RSA" }] },
  },
  cors: {
    origins: ["*"],
    methods: [],
    headers: [],
    exposed: [],
    allowsCredentials: false,
    maxAgeS: undefined,
  },
  limit: { perSecond: 0.5, burst: 2, per: "ip" },
  description: "d",
};

/** The promises of routes.ts. `open` gives an empty store. */
export function describeRoutes(name: string, open: () => Promise<Store>): void {
  let store: Store;
  beforeEach(async () => {
    store = await open();
    await store.registry.saveFunction(sampleFunction("greet"));
  });
  afterEach(() => store[Symbol.asyncDispose]());

  describe(`${name}: Routes`, () => {
    it("keeps, lists, replaces and removes them", async () => {
      const { routes } = store;
      const plain = sampleRoute("GET /a/{x}");
      const rich = sampleRoute("ANY api.localhost/a/{x+}", full);
      for (const route of [plain, rich]) await routes.save(route);
      assert.deepEqual(await routes.find(plain.id), plain);
      assert.deepEqual(await routes.find(rich.id), rich);
      assert.equal(await routes.find(newRouteId()), undefined);
      assert.deepEqual(
        await routes.list(),
        [plain, rich].sort((a, b) => (a.id < b.id ? -1 : 1)),
      );
      const changed = { ...plain, path: "/b", host: "h" };
      await routes.save(changed);
      assert.deepEqual(await routes.find(plain.id), changed);
      assert.deepEqual([await routes.remove(plain.id), await routes.remove(plain.id)], [true, false]);
      assert.deepEqual(await routes.list(), [rich]);
    });

    for (const [why, a, b, isConflict] of [
      ["of the same shape", "GET /a/{x}", "GET /a/{y}", true],
      ["that are the same on one host", "GET h/a", "GET h/a", true],
      ["with other methods", "GET /a", "ANY /a", false],
      ["on other hosts", "GET /a", "GET h/a", false],
      ["with other ends", "GET /a/{x}", "GET /a/{x+}", false],
      ["with a literal in place of a parameter", "GET /a/{x}", "GET /a/x", false],
    ] as const) {
      it(`${isConflict ? "refuses" : "takes"} two routes ${why}`, async () => {
        await store.routes.save(sampleRoute(a));
        const saving = store.routes.save(sampleRoute(b));
        if (isConflict) {
          await assert.rejects(saving, (error) => isPlatformError(error, "ResourceConflict"));
          assert.equal((await store.routes.list()).length, 1);
        } else {
          await saving;
        }
      });
    }

    it("refuses a change that makes a route the same as another", async () => {
      const a = sampleRoute("GET /a");
      const b = sampleRoute("GET /b");
      for (const route of [a, b]) await store.routes.save(route);
      await assert.rejects(store.routes.save({ ...b, path: "/a" }), (error) =>
        isPlatformError(error, "ResourceConflict"),
      );
      assert.deepEqual(await store.routes.find(b.id), b);
    });

    it("refuses one of a function that is not there, and loses them with their function", async () => {
      const orphan = sampleRoute("GET /o", { action: sampleAction("nobody") });
      await assert.rejects(store.routes.save(orphan), (error) => isPlatformError(error, "FunctionNotFound"));
      const fixed = sampleRoute("GET /health", {
        action: { kind: "response", status: 200, headers: ["a", "b"], body: "ok" },
      });
      for (const route of [sampleRoute("GET /a"), fixed]) await store.routes.save(route);
      await store.registry.deleteFunction(sampleName("greet"));
      assert.deepEqual(await store.routes.list(), [fixed]);
    });
  });
}
