import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isPlatformError } from "../../core/errors.ts";
import { hostnameOf } from "../../core/host-meaning.ts";
import { newRouter } from "./routing.ts";

const router = newRouter(["localhost", "example.com", "fn.example.com"]);

/** What a route comes to, in one line: `NAME:QUALIFIER PATH?QUERY (PREFIX)`. */
function routed(target: string, host: string | undefined): string {
  try {
    const route = router.route(target, host);
    if (route.kind === "own" || route.kind === "routed") return `${route.kind} ${route.path}`;
    if (route.kind === "url") return `url ${route.urlId} ${route.path}`;
    const { name, qualifier, path, query, prefix, isRawInvoke } = route;
    const named = qualifier === undefined ? name : `${name}:${qualifier}`;
    return `${named} ${path}${query === "" ? "" : `?${query}`}${prefix === "" ? "" : ` (${prefix})`}${isRawInvoke ? " raw" : ""}`;
  } catch (error) {
    if (isPlatformError(error)) return error.code;
    throw error;
  }
}

const RAW = "/2015-03-31/functions/function/invocations";

describe("newRouter", () => {
  for (const [host, target, expected] of [
    ["greet.localhost:8080", "/a/b?c=d", "greet /a/b?c=d"],
    ["GREET.LocalHost", "/", "greet /"],
    ["greet.localhost", "/pa2%Fth/1", "greet /pa2%Fth/1"],
    ["greet.localhost", "/../x", "greet /../x"],
    ["greet.localhost", "//x", "greet //x"],
    ["greet.localhost", "/_health", "greet /_health"],
    ["greet.localhost", "/?", "greet /"],
    ["greet.localhost", "/a?b?c", "greet /a?b?c"],
    ["greet.localhost", RAW, `greet ${RAW} raw`],
    ["greet.localhost", `${RAW}/`, `greet ${RAW}/`],
    ["live--greet.localhost", "/", "greet:live /"],
    ["7--greet.localhost", "/", "greet:7 /"],
    ["a--b--c.localhost", "/", "b--c:a /"],
    ["my_fn.localhost", "/", "my_fn /"],
    ["greet.example.com", "/", "greet /"],
    ["greet.fn.example.com", "/", "greet /"],
    ["fn.example.com", "/greet/x", "greet /x (/greet)"],
    ["abc123.lambda-url.us-east-1.localhost:80", "/x", "url abc123 /x"],
    ["abc123.lambda-url.us-east-1.localhost", RAW, `url abc123 ${RAW}`],
    ["a.b.localhost", "/", "FunctionNotFound"],
    ["a..b.localhost", "/", "InvalidRequest"],
    ["_x.localhost", "/", "InvalidRequest"],
    [`${"a".repeat(65)}.localhost`, "/", "FunctionNotFound"],
    ["localhost:8080", "/", "own /"],
    ["localhost", "/_health", "own /_health"],
    ["localhost", "/_hooks/x", "own /_hooks/x"],
    ["localhost", "/greet", "greet / (/greet)"],
    ["localhost", "/greet/", "greet / (/greet)"],
    ["localhost", "/greet/a//b?c", "greet /a//b?c (/greet)"],
    ["localhost", "/greet:live/a", "greet:live /a (/greet:live)"],
    ["localhost", "/greet:7", "greet:7 / (/greet:7)"],
    ["localhost", "/greet:$LATEST/a", "greet:$LATEST /a (/greet:$LATEST)"],
    ["localhost", "/greet%3A%24LATEST/a", "greet:$LATEST /a (/greet%3A%24LATEST)"],
    ["localhost", `/greet${RAW}`, `greet ${RAW} (/greet) raw`],
    ["localhost", "/greet/a.b/..c", "greet /a.b/..c (/greet)"],
    ["127.0.0.1:8080", "/greet", "greet / (/greet)"],
    ["[::1]:8080", "/greet", "greet / (/greet)"],
    ["other.example.org", "/greet", "greet / (/greet)"],
    ["notlocalhost", "/greet", "greet / (/greet)"],
    [undefined, "/greet", "greet / (/greet)"],
    ["localhost", "http://localhost/greet", "greet / (/greet)"],
    ["localhost", "http://localhost", "own /"],
    ["localhost", "http://localhost?a", "own /"],
    ["greet.localhost", "HTTP://greet.localhost/a", "greet /a"],
    ["localhost", "http://greet.localhost/a", "InvalidRequest"],
    [undefined, "http://greet.localhost/a", "InvalidRequest"],
    ["localhost", "/favicon.ico", "FunctionNotFound"],
    ["localhost", "/a.b/c", "FunctionNotFound"],
    ["localhost", "/greet:", "InvalidRequest"],
    ["localhost", "/greet:a:b", "InvalidRequest"],
    ["localhost", "/greet:a.b", "InvalidRequest"],
    ["localhost", "//greet", "InvalidRequest"],
    ["localhost", "/./greet", "InvalidRequest"],
    ["localhost", "/../greet", "InvalidRequest"],
    ["localhost", "/%2e%2e/greet", "InvalidRequest"],
    ["localhost", "/%67reet", "InvalidRequest"],
    ["localhost", "/gre%et", "InvalidRequest"],
    ["localhost", "/greet%00", "InvalidRequest"],
    ["localhost", "/greet%2fadmin", "InvalidRequest"],
    ["localhost", "/greet%252e", "InvalidRequest"],
    ["localhost", "/greet;v=1/a", "InvalidRequest"],
    ["localhost", "/greet\\admin", "InvalidRequest"],
    ["localhost", "/greet/../admin", "InvalidRequest"],
    ["localhost", "/greet/..", "InvalidRequest"],
    ["localhost", "/greet/.", "InvalidRequest"],
    ["localhost", "/greet/%2e%2E/admin", "InvalidRequest"],
    ["localhost", "/greet/.%2e/admin", "InvalidRequest"],
    ["localhost", "/greet/..%2fadmin", "InvalidRequest"],
    ["localhost", "/greet/a%2f..%2f..%2fadmin", "InvalidRequest"],
    ["localhost", "/greet/..\\admin", "InvalidRequest"],
    ["localhost", "/greet/..%5cadmin", "InvalidRequest"],
    ["localhost", "/greet/..;/admin", "InvalidRequest"],
    ["localhost", "/greet/a#b", "InvalidRequest"],
    ["localhost", "greet", "InvalidRequest"],
    ["localhost", "*", "InvalidRequest"],
    ["localhost", "", "InvalidRequest"],
    ["greet.localhost.", "/", "InvalidRequest"],
    ["", "/greet", "InvalidRequest"],
    ["greet.localhost:", "/", "InvalidRequest"],
    ["a@greet.localhost", "/", "InvalidRequest"],
    ["xn--nxasmq6b.localhost", "/", "nxasmq6b:xn /"],
  ] as const) {
    it(`${host} ${target} → ${expected}`, () => assert.equal(routed(target, host), expected));
  }

  it("gives each address one meaning: nothing that resolves dots or encodings would reach another function", () => {
    const piece = fc.constantFrom(
      "a",
      "b",
      "..",
      ".",
      "%2e",
      "%2E",
      "/",
      "%2f",
      "\\",
      "%5c",
      ";",
      "%61",
      ":",
      "",
      "c.d",
    );
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 8 }), (pieces) => {
        const target = `/${pieces.join("")}`;
        const ours = routed(target, "localhost");
        if (!ours.includes(" ") || ours.startsWith("own ")) return;
        assert.equal(firstSegmentResolved(target), ours.split(/[ :]/, 1)[0]);
      }),
      { numRuns: 5_000 },
    );
  });

  it("throws nothing but its own errors, whatever the target and the host", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (target, host) => {
        routed(target, host);
        routed(`/${target}`, `${host}.localhost`);
      }),
      { numRuns: 5_000 },
    );
  });
});

/** How a proxy that decodes everything and resolves dots reads the first segment. */
function firstSegmentResolved(target: string): string {
  let path = target;
  for (let i = 0; i < 3; i++) path = decodeURIComponent(path);
  const kept: string[] = [];
  for (const segment of path.replaceAll("\\", "/").split("/")) {
    const plain = segment.split(";", 1)[0] ?? "";
    if (plain === "..") kept.pop();
    else if (plain !== "." && plain !== "") kept.push(plain);
  }
  return (kept[0] ?? "").split(":", 1)[0] ?? "";
}

describe("hostnameOf", () => {
  for (const [host, expected] of [
    ["localhost:8080", "localhost"],
    ["localhost", "localhost"],
    ["[::1]:8080", "[::1]"],
    ["[::1]", "[::1]"],
  ] as const) {
    it(host, () => assert.equal(hostnameOf(host), expected));
  }
});
