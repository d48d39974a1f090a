import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { PROOF } from "./proof.ts";

it("docs/compatibility.md names the clients that have done each operation", () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/compatibility.md"), "utf8");
  const rows = [...page.matchAll(/^\| ([A-Z]\w+) \| (?:supported|absent) \| ([^|]*) \|/gm)];
  const shown = Object.fromEntries(rows.map(([, name, clients]) => [name, clients]));
  const wanted = Object.fromEntries(
    Object.entries(PROOF).map(([name, clients]) => [name, clients.join(", ")]),
  );
  assert.deepEqual(shown, wanted);
});
