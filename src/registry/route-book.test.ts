import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import fc from "fast-check";
import { systemClock } from "../core/clock.ts";
import { isPlatformError } from "../core/errors.ts";
import type { RouteId } from "../core/ids.ts";
import { silentLog } from "../core/log.ts";
import { sampleAction, sampleRoute } from "../core/route-samples.fake.ts";
import { sampleFunction, sampleName } from "../store/samples.fake.ts";
import { openSqliteStore } from "../store/sqlite/sqlite-store.ts";
import type { Store } from "../store/store.ts";
import { openFunctions } from "./function-registry.ts";
import type { Functions } from "./functions.ts";
import { type Claimant, openRouteBook, type RouteBook } from "./route-book.ts";

const root = await mkdtemp(join(tmpdir(), "lambdad-route-book-"));
after(() => rm(root, { recursive: true }));
let count = 0;

const everybody: Claimant = { mayUse: () => true, mayUseAll: true };
const NAMES = ["a", "b"] as const;

interface Opened extends AsyncDisposable {
  readonly store: Store;
  readonly functions: Functions;
  readonly book: RouteBook;
}

async function open(dir = `${++count}`): Promise<Opened> {
  const store = await openSqliteStore({ dir: join(root, dir), log: silentLog, clock: systemClock });
  const functions: Functions = openFunctions({
    registry: store.registry,
    releases: store.projects,
    clock: systemClock,
    changed: () => undefined,
    removed: (name) => book.functionRemoved(name),
  });
  const { routes } = store;
  const book = await openRouteBook({ routes, functions, domains: ["localhost"], clock: systemClock });
  return { store, functions, book, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
}

async function deploy({ store }: Opened, name: string): Promise<void> {
  try {
    await store.registry.saveFunction(sampleFunction(name));
  } catch (error) {
    if (!isPlatformError(error, "FunctionExists")) throw error;
  }
}

function wanted(path: string, name: string, host: string | undefined) {
  const { id, createdAt, modifiedAt, ...route } = sampleRoute(`GET ${path}`, { action: sampleAction(name) });
  return { ...route, host };
}

type Step =
  | {
      readonly kind: "create";
      readonly path: string;
      readonly name: string;
      readonly host: string | undefined;
    }
  | { readonly kind: "change"; readonly which: number; readonly path: string; readonly name: string }
  | { readonly kind: "remove"; readonly which: number }
  | { readonly kind: "deploy" | "delete"; readonly name: string };

const path = fc.constantFrom("/x", "/{y}", "/x/y", "/{z+}");
const name = fc.constantFrom(...NAMES);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant("create" as const),
    path,
    name,
    host: fc.constantFrom(undefined, "h", "i"),
  }),
  fc.record({ kind: fc.constant("change" as const), which: fc.nat(9), path, name }),
  fc.record({ kind: fc.constant("remove" as const), which: fc.nat(9) }),
  fc.record({ kind: fc.constantFrom("deploy" as const, "delete" as const), name }),
);

/** Refusals are an answer like any other. */
async function take(opened: Opened, ids: RouteId[], step: Step): Promise<void> {
  const { book, functions } = opened;
  try {
    switch (step.kind) {
      case "create": {
        const route = await book.create(wanted(step.path, step.name, step.host), everybody);
        ids.push(route.id);
        return;
      }
      case "change": {
        const id = ids[step.which];
        if (id) await book.change(id, ({ host }) => wanted(step.path, step.name, host), everybody);
        return;
      }
      case "remove": {
        const id = ids[step.which];
        if (id) await book.remove(id, everybody);
        return;
      }
      case "deploy":
        return await deploy(opened, step.name);
      case "delete":
        return await functions.remove(sampleName(step.name));
    }
  } catch (error) {
    if (!isPlatformError(error) || error.code === "Internal") throw error;
  }
}

describe("openRouteBook", () => {
  it("never has anything else in its table than the store, whatever changes at the same time", async () => {
    await using opened = await open();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { maxLength: 6 }),
        async (rounds) => {
          const ids: RouteId[] = opened.book.list().map(({ id }) => id);
          for (const name of NAMES) await deploy(opened, name);
          for (const round of rounds) {
            await Promise.all(round.map((each) => take(opened, ids, each)));
            const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1);
            assert.deepEqual([...opened.book.list()].sort(byId), await opened.store.routes.list());
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it("has after a restart what it had before", async () => {
    const dir = `${++count}`;
    let before: unknown;
    {
      await using opened = await open(dir);
      await deploy(opened, "a");
      for (const path of ["/x", "/{y}", "/z/{w+}"])
        await opened.book.create(wanted(path, "a", "h"), everybody);
      before = opened.book.list();
    }
    await using opened = await open(dir);
    assert.deepEqual(opened.book.list(), before);
  });

  it("lists by host, the more specific first, those for any host last", async () => {
    await using opened = await open();
    await deploy(opened, "a");
    for (const [path, host] of [
      ["/{z+}", undefined],
      ["/{z+}", "h"],
      ["/x/{y}", "h"],
      ["/x/y", "h"],
      ["/b", "g"],
      ["/a", "g"],
    ] as const) {
      await opened.book.create(wanted(path, "a", host), everybody);
    }
    assert.deepEqual(
      opened.book.list().map(({ host, path }) => `${host ?? "any"} ${path}`),
      ["g /a", "g /b", "h /x/y", "h /x/{y}", "h /{z+}", "any /{z+}"],
    );
  });
});
