import assert from "node:assert/strict";
import { it } from "node:test";
import { sampleFunction, sampleName, sampleVersion } from "../store/samples.fake.ts";
import { RoutingTable } from "./routing-table.ts";

function tableOf(max: number, ...names: string[]): RoutingTable {
  const table = new RoutingTable({ max, random: () => 0 });
  for (const name of names) table.put(sampleFunction(name));
  return table;
}

it("holds no more functions than it may", () => {
  const table = tableOf(10, ...Array.from({ length: 1_000 }, (_, index) => `f${index}`));
  assert.equal(table.size, 10);
  assert.ok(table.find(sampleName("f999"), undefined), "the newest is there");
});

it("keeps what is called, and drops what is not", () => {
  const table = tableOf(3, "busy", "idle", "other");
  // The hand passes all three once; from then on only a call keeps one in.
  table.put(sampleFunction("new"));
  for (let index = 0; index < 50; index++) {
    table.find(sampleName("new"), undefined);
    table.put(sampleFunction(`passing-${index}`));
  }
  assert.ok(table.find(sampleName("new"), undefined));
  assert.equal(table.find(sampleName("idle"), undefined), undefined);
});

it("bounds the versions it keeps of one function", () => {
  const table = tableOf(3, "f");
  for (let number = 1; number <= 200; number++) table.putVersion(sampleVersion("f", `${number}`));
  const kept = Array.from({ length: 200 }, (_, index) => table.find(sampleName("f"), `${index + 1}`)).filter(
    Boolean,
  );
  assert.equal(kept.length, 64);
  assert.ok(table.find(sampleName("f"), "200"));
});

it("finds no alias before all that it can lead to is known, so that draws are fair", () => {
  const table = new RoutingTable({ max: 3, random: () => 0.9 });
  const split = { version: "2", weight: 0.5 } as const;
  table.put(
    sampleFunction("f", { aliases: [{ name: "x", version: "1", description: "", split, revisionId: "r" }] }),
  );
  table.putVersion(sampleVersion("f", "1"));
  assert.equal(table.find(sampleName("f"), "x"), undefined);
  table.putVersion(sampleVersion("f", "2"));
  assert.equal(table.find(sampleName("f"), "x")?.version.label, "1");
});

it("ignores a version of a function that it does not hold", () => {
  const table = tableOf(3);
  table.putVersion(sampleVersion("f", "1"));
  assert.equal(table.find(sampleName("f"), "1"), undefined);
});
