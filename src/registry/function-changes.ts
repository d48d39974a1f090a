import { randomUUID } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import { type ErrorCode, isPlatformError } from "../core/errors.ts";
import type { FunctionRecord } from "../core/function.ts";
import type { FunctionName } from "../core/ids.ts";
import type { Registry } from "../store/store.ts";
import type { Stamp, Step } from "./function-states.ts";
import type { ChangeTogether } from "./functions-together.ts";
import { functionNotFound } from "./not-found.ts";
import type { Router } from "./router.ts";
import { requireSaved, surelyDeleted } from "./store-in-doubt.ts";
import { Turns } from "./turns.ts";

/** Attempts at a change that others keep getting ahead of. */
const ATTEMPTS_MAX = 10;
const CHANGE_RETRIED: readonly ErrorCode[] = ["ResourceConflict"];
/** A deploy creates or updates: somebody else's creating or removing in between only turns one into the other. */
const DEPLOY_RETRIED: readonly ErrorCode[] = ["ResourceConflict", "FunctionExists", "FunctionNotFound"];

/** Decides on the current record what to save; undefined to leave everything as it is. */
export type Decide<S extends Step = Step> = (
  current: FunctionRecord,
  stamp: Stamp,
) => S | undefined | Promise<S | undefined>;

/**
 * Takes one step after another on the record of a function: decided on the newest record, saved, and made what calls run
 * from then on. Calls that begin while the save is on its way run the old; that is why the promise of a change resolves only
 * after the routing has it.
 */
export class FunctionChanges {
  readonly #registry: Registry;
  readonly #router: Router;
  readonly #clock: Clock;
  readonly #changed: (name: FunctionName) => void;
  readonly #turns = new Turns();

  constructor(parts: {
    readonly registry: Registry;
    readonly router: Router;
    readonly clock: Clock;
    readonly changed: (name: FunctionName) => void;
  }) {
    this.#registry = parts.registry;
    this.#router = parts.router;
    this.#clock = parts.clock;
    this.#changed = parts.changed;
  }

  /**
   * One step on a function that is there, decided anew when somebody else has saved in between.
   *
   * @throws PlatformError `FunctionNotFound`
   */
  change(name: FunctionName, decide: Decide): Promise<Step> {
    return this.#turns.take(name, () =>
      retrying(CHANGE_RETRIED, async () => {
        const current = await this.#registry.findFunction(name);
        if (!current) throw functionNotFound(name);
        const step = await decide(current, this.#stamp());
        return step ? await this.#save(step) : { record: current, published: undefined };
      }),
    );
  }

  /** The first step of a function. @throws PlatformError `FunctionExists` */
  create<S extends Step>(name: FunctionName, decide: (stamp: Stamp) => S): Promise<S> {
    return this.#turns.take(name, async () => await this.#save(decide(this.#stamp())));
  }

  /** The first step of a function, or the next of one that is there. */
  put<S extends Step>(
    name: FunctionName,
    decide: (current: FunctionRecord | undefined, stamp: Stamp) => S,
  ): Promise<S> {
    return this.#turns.take(name, () =>
      retrying(DEPLOY_RETRIED, async () =>
        this.#save(decide(await this.#registry.findFunction(name), this.#stamp())),
      ),
    );
  }

  /**
   * Removes a function, unless `refuse` throws. `removed` is called before anyone hears of it.
   *
   * @throws PlatformError `FunctionNotFound`
   */
  remove(name: FunctionName, refuse: (current: FunctionRecord) => void, removed: () => void): Promise<void> {
    return this.#turns.take(name, async () => {
      const current = await this.#registry.findFunction(name);
      if (current) refuse(current);
      const removing = surelyDeleted(this.#registry, name, current);
      const wasThere = await removing.finally(() => this.#router.remove(name));
      removed();
      if (!wasThere) throw functionNotFound(name);
      this.#changed(name);
    });
  }

  removeVersion(name: FunctionName, number: number): Promise<void> {
    return this.#turns.take(name, async () => {
      await this.#registry.deleteVersion(name, number);
      this.#router.removeVersion(name, number);
      this.#changed(name);
    });
  }

  /** A step of several functions, saved and routed as one. */
  async changeTogether(
    names: readonly FunctionName[],
    { release, decide, save, alsoRouted }: ChangeTogether,
  ): Promise<void> {
    // In one order for all, so that no two wait for each other.
    await this.#takeTurns([...new Set(names)].sort(), async () => {
      const records = new Map<FunctionName, FunctionRecord>();
      for (const name of names) {
        const record = await this.#registry.findFunction(name);
        if (record) records.set(name, record);
      }
      const steps = await decide(records, this.#stamp());
      await save(steps).catch((error: unknown) => {
        if (release) this.#router.removeReleases(release.project);
        return this.#settle(
          steps.map(({ record }) => record),
          error,
        );
      });
      // No call can come in between: nothing is awaited until all of it is in place.
      if (release) this.#router.putRelease(release);
      for (const { record, published } of steps) this.#router.put(record, published);
      alsoRouted();
      for (const { record } of steps) this.#changed(record.name);
    });
  }

  async #takeTurns(names: readonly FunctionName[], work: () => Promise<void>): Promise<void> {
    const [first, ...rest] = names;
    if (first === undefined) await work();
    else await this.#turns.take(first, () => this.#takeTurns(rest, work));
  }

  async #save<S extends Step>(step: S): Promise<S> {
    const saving = this.#registry.saveFunction(step.record, step.published);
    await saving.catch((error: unknown) => this.#settle([step.record], error));
    this.#router.put(step.record, step.published);
    this.#changed(step.record.name);
    return step;
  }

  /** @throws `error` unless what was to be saved is there. */
  #settle(records: readonly FunctionRecord[], error: unknown): Promise<void> {
    for (const { name } of records) this.#router.remove(name);
    return requireSaved(this.#registry, records[0], error);
  }

  #stamp(): Stamp {
    return { now: this.#clock.now(), newRevision: randomUUID };
  }
}

async function retrying<T>(retried: readonly ErrorCode[], attempt: () => Promise<T>): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await attempt();
    } catch (error) {
      if (attempts === ATTEMPTS_MAX || !isPlatformError(error) || !retried.includes(error.code)) throw error;
    }
  }
}
