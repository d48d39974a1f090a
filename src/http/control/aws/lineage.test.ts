import assert from "node:assert/strict";
import { it } from "node:test";
import { isPlatformError } from "../../../core/errors.ts";
import { SETTINGS_DEFAULT } from "../../../core/function-settings.ts";
import { named } from "../control.fake.ts";
import { withLineage } from "./lineage.ts";

const a = { name: named("a"), settings: SETTINGS_DEFAULT };
const b = { name: named("b"), settings: SETTINGS_DEFAULT };
const allowing = { ...a, settings: { ...SETTINGS_DEFAULT, recursiveLoop: "Allow" as const } };

function times(count: number, trace = "Root=1-5759e988-bd862e3fe1be46a994272793"): string {
  let now = trace;
  for (let at = 0; at < count; at++) now = withLineage(withLineage(now, a), b);
  return now;
}

it("counts each function on the way, and keeps the rest of the header", () => {
  assert.equal(times(2), "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=ca978112:2|3e23e816:2");
});

it("stops the seventeenth call of a function, whoever is in between", () => {
  const trace = times(16);
  assert.throws(
    () => withLineage(trace, a),
    (error) => isPlatformError(error, "RecursiveLoop"),
  );
  assert.doesNotThrow(() => withLineage(trace, allowing));
});

it("does not grow without end", () => {
  let trace = "";
  for (let at = 0; at < 100; at++) trace = withLineage(trace, { ...a, name: named(`f${at}`) });
  assert.ok(trace.length < 200, trace);
});

it("takes nonsense for nothing", () => {
  for (const trace of ["", ";;;", "Lineage=", "Lineage=zz:1", "Lineage=ca978112:x", "Lineage=|||"]) {
    assert.match(withLineage(trace, a), /Lineage=ca978112:1$/);
  }
});
