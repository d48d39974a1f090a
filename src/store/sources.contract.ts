import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isPlatformError } from "../core/errors.ts";
import { newSourceId } from "../core/ids.ts";
import type { Source } from "../core/source.ts";
import { sampleFunction } from "./samples.fake.ts";
import { sampleSource } from "./source-samples.fake.ts";
import type { Store } from "./store.ts";

/** The promises of `Sources`, as every adapter has to keep them. */
export function describeSources(
  name: string,
  open: () => Promise<Pick<Store, "sources" | "registry"> & AsyncDisposable>,
): void {
  describe(`sources of the ${name} store`, () => {
    it("gives back what was saved, whole", async () => {
      await using store = await open();
      await store.registry.saveFunction(sampleFunction("greet"));
      const plain = sampleSource();
      const full: Source = sampleSource({
        qualifier: "live",
        origin: {
          kind: "nats",
          servers: ["nats://127.0.0.1:4222"],
          stream: "ORDERS",
          consumer: "greet",
          subject: "orders.>",
          startsAt: "new",
          attemptsMax: 5,
          login: { user: "u", sealedSecret: "c2VhbGVk" },
        },
        concurrencyMax: 2,
        filters: ['{"data":["x"]}'],
        onFailure: { kind: "function", functionName: plain.functionName, qualifier: undefined },
        tags: { team: "a" },
      });
      await store.sources.save(plain);
      await store.sources.save(full);
      assert.deepEqual(await store.sources.find(plain.id), plain);
      assert.deepEqual(await store.sources.find(full.id), full);
      assert.equal(await store.sources.find(newSourceId()), undefined);
    });

    it("lists by id, page by page, and those of one function", async () => {
      await using store = await open();
      await store.registry.saveFunction(sampleFunction("greet"));
      const other = sampleFunction("other");
      await store.registry.saveFunction(other);
      const saved = [
        sampleSource(),
        sampleSource(),
        sampleSource({ functionName: other.name }),
        sampleSource(),
      ];
      for (const source of saved) await store.sources.save(source);
      const ids = saved.map(({ id }) => id).sort();
      const all = { functionName: undefined, after: undefined };
      const page = await store.sources.list({ ...all, limit: 3 });
      const rest = await store.sources.list({ ...all, after: page.at(-1)?.id, limit: 3 });
      assert.deepEqual(
        [...page, ...rest].map(({ id }) => id),
        ids,
      );
      const ofOther = await store.sources.list({ ...all, functionName: other.name, limit: 9 });
      assert.deepEqual(
        ofOther.map(({ id }) => id),
        [saved[2]?.id],
      );
    });

    it("replaces a source by its next generation, and nothing else", async () => {
      await using store = await open();
      await store.registry.saveFunction(sampleFunction("greet"));
      const source = sampleSource();
      await store.sources.save(source);
      const next = { ...source, batchMax: 5, generation: 2 };
      await store.sources.save(next);
      assert.deepEqual(await store.sources.find(source.id), next);
      const isConflict = (error: unknown) => isPlatformError(error, "ResourceConflict");
      await assert.rejects(store.sources.save(next), isConflict);
      await assert.rejects(store.sources.save({ ...source, generation: 4 }), isConflict);
      await store.sources.remove(source.id);
      await assert.rejects(store.sources.save({ ...next, generation: 3 }), isConflict);
      assert.equal(await store.sources.find(source.id), undefined);
    });

    it("refuses one of a function that does not exist", async () => {
      await using store = await open();
      await assert.rejects(store.sources.save(sampleSource()), (error) =>
        isPlatformError(error, "FunctionNotFound"),
      );
    });

    it("removes a source, by itself and with its function", async () => {
      await using store = await open();
      const greet = sampleFunction("greet");
      await store.registry.saveFunction(greet);
      const [first, second] = [sampleSource(), sampleSource()];
      await store.sources.save(first);
      await store.sources.save(second);
      assert.equal(await store.sources.remove(first.id), true);
      assert.equal(await store.sources.remove(first.id), false);
      await store.registry.deleteFunction(greet.name);
      assert.equal(await store.sources.find(second.id), undefined);
      const all = { functionName: undefined, after: undefined, limit: 9 };
      assert.deepEqual(await store.sources.list(all), []);
    });
  });
}
