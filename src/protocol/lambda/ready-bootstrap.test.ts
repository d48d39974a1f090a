import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ordersFor } from "./ready-bootstrap.ts";

/** What a shell makes of the orders: the words and variables that the program sees. */
function obey(words: readonly string[], environment: Readonly<Record<string, string>>): string {
  const show = 'for word in "$@"; do printf "%s\\0" "$word"; done; exec env -0';
  const orders = ordersFor({
    command: ["/bin/sh", "-c", show, "show", ...words],
    environment,
    workingDir: "/tmp",
  });
  const wait = `nl='\n'\nIFS= read -r orders && eval "$orders"`;
  const { stdout } = spawnSync("/bin/sh", ["-c", wait], { input: `${orders}\n`, encoding: "utf8", env: {} });
  return stdout;
}

describe("the orders that a waiting shell gets", () => {
  it("are one line, whatever is in them", () => {
    const orders = ordersFor({ command: ["a\nb"], environment: { X: "1\n\n2" }, workingDir: "/w\nx" });
    assert.equal(orders.includes("\n"), false);
  });

  it("reach the program word by word, as they were", () => {
    const nasty = fc.string({
      unit: fc.constantFrom("a", "'", '"', "\\", "$", "`", "\n", " ", ";", "&", "*", "ä"),
    });
    fc.assert(
      fc.property(fc.array(nasty, { maxLength: 4 }), nasty, (words, value) => {
        const seen = obey(words, { PATH: "/usr/bin:/bin", VALUE: value }).split("\0");
        assert.deepEqual(seen.slice(0, words.length), words);
        assert.ok(seen.includes(`VALUE=${value}`));
      }),
      { numRuns: 40 },
    );
  });

  it("do not run what stands in a variable", () => {
    const seen = obey([], { PATH: "/usr/bin:/bin", VALUE: "$(echo harm)`echo harm`'; echo harm; '" });
    assert.match(seen, /VALUE=\$\(echo harm\)`echo harm`'; echo harm; '\0/);
  });
});
