import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isPlatformError } from "./errors.ts";
import { parseRequestPath, parseRoutePath, segmentText, shapeOf } from "./route-path.ts";

describe("parseRoutePath", () => {
  for (const [path, shape] of [
    ["/", "/"],
    ["/stock/{symbol}", "/stock/{}"],
    ["/files/{proxy+}", "/files/{+}"],
    ["/{proxy+}", "/{+}"],
    ["/a/{x}/b/{y}", "/a/{}/b/{}"],
    ["/.well-known/a.b", "/.well-known/a.b"],
    ["/a_b/_c", "/a_b/_c"],
    ["/v1:run/@me", "/v1:run/@me"],
    ["/{__proto__}", "/{}"],
  ] as const) {
    it(`takes ${path}`, () => {
      const segments = parseRoutePath(path);
      assert.equal(shapeOf(segments), shape);
      assert.equal(`/${segments.map(segmentText).join("/")}`, path);
    });
  }

  for (const [path, why] of [
    ["stock", /begin it with "\/"/],
    ["", /begin it with "\/"/],
    ["/a/", /leave out the slash at its end/],
    ["//a", /empty segment/],
    ["/a//b", /empty segment/],
    ["/a/../b", /dot segment/],
    ["/./a", /dot segment/],
    ["/a%20b", /without encoding/],
    ["/a;b", /characters that a path cannot have/],
    ["/ä", /characters that a path cannot have/],
    ["/a b", /characters that a path cannot have/],
    ["/a?b", /characters that a path cannot have/],
    ["/a\\b", /characters that a path cannot have/],
    ["/_hooks/x", /the gateway's own/],
    ["/_x", /the gateway's own/],
    ["/a/{x", /a parameter is a whole segment/],
    ["/a/x{y}", /a parameter is a whole segment/],
    ["/a/{}", /a parameter is a whole segment/],
    ["/a/{x y}", /a parameter is a whole segment/],
    ["/{proxy+}/b", /must be last/],
    ["/{x}/{x}", /the parameter x is there twice/],
    [`/${"a".repeat(600)}`, /at most 512 characters/],
    [`/${Array(40).fill("a").join("/")}`, /at most 32 segments/],
  ] as const) {
    it(`refuses ${path.slice(0, 40)}`, () => {
      assert.throws(
        () => parseRoutePath(path),
        (error) => isPlatformError(error, "InvalidRequest") && why.test(error.message),
      );
    });
  }
});

/** Segments with a slash between them, and one at the end where there is one; `refused` where it is. */
function read(path: string): string {
  try {
    const { segments, ending } = parseRequestPath(path);
    return segments.join("/") + ending;
  } catch (error) {
    if (isPlatformError(error, "InvalidRequest")) return "refused";
    throw error;
  }
}

describe("parseRequestPath", () => {
  for (const [path, expected] of [
    ["/", ""],
    ["/a", "a"],
    ["/a/b", "a/b"],
    ["/a/", "a/"],
    ["/a/b/", "a/b/"],
    ["/.well-known/x", ".well-known/x"],
    ["/...", "..."],
    ["/a..b/c.", "a..b/c."],
    ["/%61dmin", "admin"],
    ["/a%20b", "a b"],
    ["/a+b", "a+b"],
    ["/%2561", "%61"],
    ["/%C3%BC", "ü"],
    ["/%EF%BC%8F", "／"],
    ["//", "refused"],
    ["//a", "refused"],
    ["/a//b", "refused"],
    ["/a//", "refused"],
    ["/.", "refused"],
    ["/..", "refused"],
    ["/../a", "refused"],
    ["/a/..", "refused"],
    ["/a/./b", "refused"],
    ["/%2e/a", "refused"],
    ["/%2E%2e/a", "refused"],
    ["/.%2e/a", "refused"],
    ["/a/%2e%2e%2fb", "refused"],
    ["/a%2fb", "refused"],
    ["/a%2Fb", "refused"],
    ["/a%5cb", "refused"],
    ["/a\\b", "refused"],
    ["/a;b=c/d", "refused"],
    ["/a%3Bb", "refused"],
    ["/..;/a", "refused"],
    ["/a%20", "refused"],
    ["/%20a", "refused"],
    ["/a%C2%A0/b", "refused"],
    ["/a%00", "refused"],
    ["/a%0a", "refused"],
    ["/a%7f", "refused"],
    ["/a%", "refused"],
    ["/a%2", "refused"],
    ["/a%zz", "refused"],
    ["/%c0%af", "refused"],
    ["/%ff", "refused"],
    ["/%ed%a0%80", "refused"],
  ] as const) {
    it(`${path} → ${expected}`, () => assert.equal(read(path), expected));
  }

  it("gives a path one meaning: decoding and resolving it once more changes nothing", () => {
    const piece = fc.constantFrom(
      "a",
      "B",
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
      "%25",
      "%00",
      "",
    );
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 8 }), (pieces) => {
        const path = `/${pieces.join("")}`;
        const meaning = read(path);
        if (meaning === "refused") return;
        const seen = new URL(`http://h${path}`).pathname;
        assert.equal(decodeURIComponent(seen), `/${meaning}`);
      }),
      { numRuns: 5_000 },
    );
  });
});
