/** Random histories of one function against a model of a few lines: what does each qualifier run after each step? */
import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { isPlatformError } from "../core/errors.ts";
import type { VersionLabel } from "../core/function.ts";
import { sampleName } from "../store/samples.fake.ts";
import { newFunction, openFakeFunctions } from "./registry.fake.ts";

const NAME = sampleName("f");
const ALIASES = ["x", "y"];

type Step =
  | { readonly kind: "deploy" | "update"; readonly code: string; readonly memoryMib: number }
  | { readonly kind: "publish" | "remove" | "touch" }
  | { readonly kind: "rollback"; readonly to: number | undefined }
  | {
      readonly kind: "alias";
      readonly alias: string;
      readonly version: number;
      readonly second: number | undefined;
    }
  | { readonly kind: "remove alias"; readonly alias: string }
  | { readonly kind: "remove version"; readonly number: number };

const number = fc.integer({ min: 1, max: 5 });
const alias = fc.constantFrom(...ALIASES);
const snapshot = { code: fc.constantFrom("a", "b", "c"), memoryMib: fc.constantFrom(128, 256) };
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("deploy" as const), ...snapshot }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("update" as const), ...snapshot }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("publish" as const, "touch" as const) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("rollback" as const),
      to: fc.option(number, { nil: undefined }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("alias" as const),
      alias,
      version: number,
      second: fc.option(number, { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove alias" as const), alias }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove version" as const), number }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const) }) },
);

/** What a function is, as a person would say it: code and memory stand for a snapshot. */
class Model {
  latest: string | undefined;
  live: number | undefined;
  next = 1;
  versions = new Map<number, string>();
  aliases = new Map<string, readonly [number, number | undefined]>();

  /** False where the registry must refuse. */
  apply(step: Step): boolean {
    if (step.kind === "deploy") {
      this.latest = `${step.code} ${step.memoryMib}`;
      this.publish();
      return true;
    }
    if (this.latest === undefined) return false;
    switch (step.kind) {
      case "update": {
        const before = this.latest;
        this.latest = `${step.code} ${step.memoryMib}`;
        if (before !== this.latest) this.live = undefined;
        return true;
      }
      case "touch":
        return true;
      case "publish":
        if (this.versions.get(this.next - 1) !== this.latest) this.publish();
        return true;
      case "rollback": {
        const before = [...this.versions.keys()].filter((version) => version < (this.live ?? this.next));
        const to = step.to ?? Math.max(...before);
        this.latest = this.versions.get(to) ?? this.latest;
        if (this.versions.has(to)) this.live = to;
        return this.versions.has(to);
      }
      case "alias":
        if (step.version === step.second) return false;
        if (!this.versions.has(step.version) || (step.second && !this.versions.has(step.second)))
          return false;
        this.aliases.set(step.alias, [step.version, step.second]);
        return true;
      case "remove alias":
        this.aliases.delete(step.alias);
        return true;
      case "remove version": {
        const isUsed = [...this.aliases.values()].some((versions) => versions.includes(step.number));
        if (isUsed) return false;
        this.versions.delete(step.number);
        if (this.live === step.number) this.live = undefined;
        return true;
      }
      case "remove":
        Object.assign(this, new Model());
        return true;
    }
  }

  publish(): void {
    this.versions.set(this.next, this.latest ?? "");
    this.live = this.next++;
  }

  /** What a call runs that draws the second version of a split, or the first. */
  runs(qualifier: string | undefined, drawsSecond: boolean): string | undefined {
    if (this.latest === undefined) return undefined;
    if (qualifier === undefined || qualifier === "$LATEST") return `$LATEST: ${this.latest}`;
    const [first, second] = this.aliases.get(qualifier) ?? [Number(qualifier), undefined];
    const version = drawsSecond ? (second ?? first) : first;
    return this.versions.has(version) ? `${version}: ${this.versions.get(version)}` : undefined;
  }
}

it("runs what the model says, after every step of any history", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 30 }),
      fc.integer({ min: 1, max: 3 }),
      async (steps, cacheMax) => {
        let drawn = 0;
        const { functions } = openFakeFunctions({ random: () => drawn, cacheMax });
        const model = new Model();

        const perform = async (step: Step): Promise<unknown> => {
          switch (step.kind) {
            case "deploy":
              return await functions.deploy(newFunction("f", step.code, { memoryMib: step.memoryMib }));
            case "update": {
              const { code, config } = newFunction("f", step.code, { memoryMib: step.memoryMib });
              return await functions.update(NAME, { code, config });
            }
            case "touch":
              return await functions.setTags(NAME, { touched: "yes" });
            case "publish":
              return await functions.publish(NAME, {});
            case "rollback":
              return await functions.rollback(NAME, step.to);
            case "alias": {
              const version: VersionLabel = `${step.version}`;
              const split = step.second ? { version: `${step.second}` as const, weight: 0.5 } : undefined;
              const isThere = (await functions.get(NAME)).aliases.some(({ name }) => name === step.alias);
              return isThere
                ? await functions.updateAlias(NAME, step.alias, { version, split })
                : await functions.createAlias(NAME, { name: step.alias, version, description: "", split });
            }
            case "remove alias":
              return await functions.removeAlias(NAME, step.alias);
            case "remove version":
              return await functions.removeVersion(NAME, step.number);
            case "remove":
              return await functions.remove(NAME);
          }
        };

        const runs = async (
          qualifier: string | undefined,
          drawsSecond: boolean,
        ): Promise<string | undefined> => {
          drawn = drawsSecond ? 0 : 0.9;
          try {
            const cached = functions.resolveCached(NAME, qualifier);
            const { version, qualifier: given } = await functions.resolve(NAME, qualifier);
            if (cached) assert.equal(cached.version, version);
            assert.equal(given, qualifier);
            return `${version.label}: ${version.code.treeId.slice("tree-".length)} ${version.config.memoryMib}`;
          } catch (error) {
            if (!isPlatformError(error)) throw error;
            return undefined;
          }
        };

        for (const step of steps) {
          const isDone = await perform(step).then(
            () => true,
            (error: unknown) => {
              if (isPlatformError(error)) return false;
              throw error;
            },
          );
          assert.equal(
            isDone,
            model.apply(step),
            `${JSON.stringify(step)} was ${isDone ? "done" : "refused"}`,
          );
          for (const qualifier of [undefined, "$LATEST", "1", "2", "3", "4", "5", ...ALIASES]) {
            for (const second of [false, true]) {
              assert.equal(
                await runs(qualifier, second),
                model.runs(qualifier, second),
                `${JSON.stringify(step)}, then ${qualifier}`,
              );
            }
          }
          const record = await functions.get(NAME).catch(() => undefined);
          assert.deepEqual([record?.liveVersion, record?.nextVersion ?? 1], [model.live, model.next]);
        }
      },
    ),
    { numRuns: 300 },
  );
});
