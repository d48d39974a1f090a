import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { HttpRoute, RouteMethod } from "./route.ts";
import { newRouteMatcher, whyBefore, whyNot } from "./route-matcher.ts";
import { parseRequestPath, parseRoutePath, shapeOf } from "./route-path.ts";
import { sampleRoute } from "./route-samples.fake.ts";

/** `GET /a/{x} x=1`, or what methods there are instead. */
function found(keys: readonly string[], method: string, path: string): string {
  const allowed = new Set<RouteMethod>();
  const match = newRouteMatcher(keys.map((key) => sampleRoute(key))).find(
    method,
    parseRequestPath(path),
    allowed,
  );
  if (!match) return allowed.size === 0 ? "nothing" : `not ${[...allowed].sort().join()}`;
  const parameters = match.parameters.map(([name, value]) => ` ${name}=${value}`).join("");
  return `${match.route.method} ${match.route.path}${parameters}`;
}

const SHOP = [
  "GET /",
  "GET /pets",
  "ANY /pets",
  "GET /pets/dog/1",
  "GET /pets/dog/{id}",
  "ANY /pets/{kind}/{id}",
  "GET /pets/{proxy+}",
  "ANY /{proxy+}",
];

describe("newRouteMatcher", () => {
  for (const [method, path, expected] of [
    ["GET", "/", "GET /"],
    ["POST", "/", "not GET"],
    ["GET", "/pets", "GET /pets"],
    ["GET", "/pets/", "GET /pets"],
    ["POST", "/pets", "ANY /pets"],
    ["GET", "/pets/dog/1", "GET /pets/dog/1"],
    ["GET", "/pets/%64og/1", "GET /pets/dog/1"],
    ["GET", "/pets/dog/2", "GET /pets/dog/{id} id=2"],
    ["PUT", "/pets/dog/2", "ANY /pets/{kind}/{id} kind=dog id=2"],
    ["GET", "/pets/cat/2", "ANY /pets/{kind}/{id} kind=cat id=2"],
    ["GET", "/pets/cat", "GET /pets/{proxy+} proxy=cat"],
    ["GET", "/pets/cat/", "GET /pets/{proxy+} proxy=cat/"],
    ["PUT", "/pets/cat", "ANY /{proxy+} proxy=pets/cat"],
    ["GET", "/pets/a/b/c%20d", "GET /pets/{proxy+} proxy=a/b/c d"],
    ["GET", "/Pets", "ANY /{proxy+} proxy=Pets"],
  ] as const) {
    it(`${method} ${path} → ${expected}`, () => assert.equal(found(SHOP, method, path), expected));
  }

  it("goes back where an exact segment leads nowhere", () => {
    const keys = ["GET /a/b/c", "GET /{x}/b/{y}", "GET /a/{z+}"];
    assert.equal(found(keys, "GET", "/a/b/d"), "GET /a/{z+} z=b/d");
    assert.equal(found(keys, "GET", "/q/b/d"), "GET /{x}/b/{y} x=q y=d");
    assert.equal(found(["GET /a/b/c", "GET /{x}/b/{y}"], "GET", "/a/b/d"), "GET /{x}/b/{y} x=a y=d");
  });

  it("tells the methods of a path that has none for the request", () => {
    assert.equal(found(["GET /a", "POST /a", "PUT /{x}", "GET /b/c"], "DELETE", "/a"), "not GET,POST,PUT");
    assert.equal(found(["GET /a"], "GET", "/b"), "nothing");
  });

  it("agrees with trying all routes one by one, and can say why for each", () => {
    const segment = fc.constantFrom("a", "b", "{x}");
    const path = fc.tuple(fc.array(segment, { maxLength: 4 }), fc.boolean()).map(([segments, hasRest]) => {
      const named = segments.map((text, index) => (text === "{x}" ? `{x${index}}` : text));
      return `/${[...named, ...(hasRest ? ["{rest+}"] : [])].join("/")}`;
    });
    const key = fc.tuple(fc.constantFrom("GET", "POST", "ANY"), path).map((pair) => pair.join(" "));
    const request = fc
      .array(fc.constantFrom("a", "b", "c"), { maxLength: 5 })
      .map((all) => `/${all.join("/")}`);
    fc.assert(
      fc.property(
        fc.uniqueArray(key, { maxLength: 12, selector: shapeOfKey }),
        request,
        fc.constantFrom("GET", "POST", "PUT"),
        (keys, path, method) => {
          const routes = keys.map((text) => sampleRoute(text));
          const matched = newRouteMatcher(routes).find(method, parseRequestPath(path), new Set())?.route;
          const expected = naive(routes, method, path);
          assert.equal(matched, expected);
          for (const route of routes) {
            const why = whyNot(route, method, parseRequestPath(path));
            assert.equal(
              why === undefined,
              fits(route, method, path),
              `${route.method} ${route.path}: ${why}`,
            );
            if (matched && route !== matched && why === undefined) assert.ok(whyBefore(matched, route));
          }
        },
      ),
      { numRuns: 10_000 },
    );
  });
});

function shapeOfKey(key: string): string {
  const [method = "", path = ""] = key.split(" ");
  return `${method} ${shapeOf(parseRoutePath(path))}`;
}

/** Written independently: a regular expression for each route, and a word that sorts by how specific it is. */
function naive(routes: readonly HttpRoute[], method: string, path: string): HttpRoute | undefined {
  const rank = (route: HttpRoute) =>
    `${route.path
      .slice(1)
      .split("/")
      .map((segment) => (segment.endsWith("+}") ? "3" : segment.startsWith("{") ? "2" : "1"))
      .join("")} ${route.method === "ANY" ? "2" : "1"}`;
  return routes.filter((route) => fits(route, method, path)).sort((a, b) => (rank(a) < rank(b) ? -1 : 1))[0];
}

function fits(route: HttpRoute, method: string, path: string): boolean {
  const pattern = route.path.replace(/\{[^}]*\+\}/g, ".+").replace(/\{[^}+]*\}/g, "[^/]+");
  return new RegExp(`^${pattern}$`).test(path) && (route.method === "ANY" || route.method === method);
}
