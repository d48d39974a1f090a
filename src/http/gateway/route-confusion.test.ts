import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isPlatformError } from "../../core/errors.ts";
import { parseRequestPath } from "../../core/route-path.ts";
import { sampleRoute } from "../../core/route-samples.fake.ts";
import { RouteTable } from "../../registry/route-table.ts";
import { findRoute } from "./routed.ts";
import { newRouter } from "./routing.ts";

const HOST = "api.localhost";
const guarded = [sampleRoute(`ANY ${HOST}/admin`), sampleRoute(`ANY ${HOST}/admin/{proxy+}`)];
const open = sampleRoute(`ANY ${HOST}/{proxy+}`);
const router = newRouter(["localhost"], new RouteTable([open, ...guarded]));

/** Where a request goes: past the guard, or not. */
function outcome(target: string): "guarded" | "open" | "refused" {
  try {
    const routed = router.route(target, HOST);
    if (routed.kind !== "routed") return "refused";
    const found = findRoute(routed, "GET", parseRequestPath(routed.path), []);
    return found && guarded.includes(found.route) ? "guarded" : found ? "open" : "refused";
  } catch (error) {
    if (isPlatformError(error)) return "refused";
    throw error;
  }
}

/** What programs behind might make of a path, each in its own way. */
const READERS: Readonly<Record<string, (path: string) => string>> = {
  "as it is": (path) => path,
  decoded: (path) => decoded(path),
  "a browser's": (path) => new URL(`http://h${path}`).pathname,
  "resolved, then decoded": (path) => decoded(new URL(`http://h${path}`).pathname),
  "decoded, then resolved": (path) => new URL(`http://h/${decoded(path).slice(1)}`).pathname,
  "with single slashes": (path) => decoded(path).replace(/[/\\]+/g, "/"),
  "without parameters": (path) => decoded(path).replace(/;[^/]*/g, ""),
  "cut at a NUL": (path) => decoded(path).split("\0", 1)[0] ?? "",
  "with all of that": (path) =>
    new URL(
      `http://h/${decoded(path)
        .replace(/;[^/]*/g, "")
        .replace(/[/\\]+/g, "/")
        .slice(1)}`,
    ).pathname,
};

function decoded(path: string): string {
  return path.replace(/%[0-9a-f]{2}/gi, (code) => String.fromCharCode(Number.parseInt(code.slice(1), 16)));
}

const leadsToAdmin = (path: string) => /^\/admin(?:\/|$)/.test(path);

describe("a guarded path beside an open catch-all", () => {
  it("cannot be reached past its guard, however the path is written", () => {
    const piece = fc.constantFrom(
      ...[
        "admin",
        "%61dmin",
        "adm%69n",
        "a",
        "x",
        "/",
        "/",
        "/",
        "//",
        ".",
        "..",
        "%2e",
        "%2E%2e",
        "%2f",
        "%5c",
        "\\",
      ],
      ...[
        ";",
        ";a=b",
        "%3b",
        "%00",
        "%",
        "%2",
        "%zz",
        "%c0%af",
        "%25",
        "%2561",
        "?",
        "+",
        "%20",
        ":",
        "@",
        "~",
      ],
    );
    let reached = 0;
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 8 }), (pieces) => {
        const target = `/${pieces.join("")}`;
        if (outcome(target) !== "open") {
          reached += 1;
          return;
        }
        const path = target.split("?", 1)[0] ?? "";
        for (const [reader, read] of Object.entries(READERS)) {
          assert.ok(!leadsToAdmin(read(path)), `${path} is open, and read ${reader} it is ${read(path)}`);
        }
      }),
      { numRuns: 20_000 },
    );
    assert.ok(reached > 1_000, "the corpus has paths that matter");
  });

  it("has every way of writing that is not refused led to its guard", () => {
    for (const target of [
      "/admin",
      "/admin/",
      "/admin?x",
      "/%61dmin",
      "/admin/x",
      "/adm%69n/x/",
      "/admin/%2561",
    ]) {
      assert.equal(outcome(target), "guarded", target);
    }
    for (const target of ["/", "/Admin", "/admin2", "/xadmin", "/%2561dmin", "/a/admin"]) {
      assert.notEqual(outcome(target), "guarded", target);
    }
  });
});
