/**
 * `npm run bench -- simulate`: a made-up load (synthetic-load.ts) against the code that decides which idle instances stay,
 * beside a fixed ten minutes. Nothing is started and no time passes: it is about decisions, not about speed.
 *
 * An instance serves one call at a time. Memory is what idle and busy instances hold; "over busy" is how many times what
 * those hold that serve. Slow-down is (wait for the start + run) / run; "start ms/call" what calls waited for starts, over
 * all calls: what the rule is to keep low.
 */
import { KeepAliveRule } from "../src/invoker/keep-alive-rule.ts";
import { type SyntheticFunction, synthesise } from "./synthetic-load.ts";

const FUNCTIONS = 250;
const DAYS = 1;
const SEED = 7;
const SWEEP_MS = 10_000;
const RUNTIME_READY_MS = 3;
const RUNTIME_FRESH_MS = 35;
const MIB_GENEROUS = 4_000;

interface Keeper {
  readonly name: string;
  readonly startMs: number;
  sweep(now: number, functions: readonly SimulatedFunction[]): void;
}

interface SimulatedInstance {
  readonly owner: SimulatedFunction;
  freeAt: number;
  isGone: boolean;
}

interface SimulatedFunction {
  readonly facts: SyntheticFunction;
  readonly key: string;
  instances: SimulatedInstance[];
  uses: number;
  cold: number;
  next: number;
}

export interface SimulatedResult {
  readonly name: string;
  /** Of all calls, and the median and mean over functions of their own share. */
  readonly coldPerCall: number;
  readonly coldPerFunctionMedian: number;
  readonly coldPerFunctionMean: number;
  readonly memoryMeanMib: number;
  readonly idleMeanMib: number;
  readonly memoryOverBusy: number;
  readonly slowdownP99: number;
  /** What calls waited for starts, over all calls. */
  readonly startMsPerCall: number;
  readonly starts: number;
}

export function simulate(load: readonly SyntheticFunction[], keeper: Keeper): SimulatedResult {
  const functions: SimulatedFunction[] = load.map((facts) => ({
    facts,
    key: facts.name,
    instances: [],
    uses: 0,
    cold: 0,
    next: 0,
  }));
  const slowdowns: number[] = [];
  const sums = { memory: 0, busy: 0, sweeps: 0, starts: 0, waitMs: 0 };
  for (let now = SWEEP_MS; now <= DAYS * 86_400_000; now += SWEEP_MS) {
    for (const fn of functions) serveUntil(now, fn, keeper, { slowdowns, sums });
    keeper.sweep(now, functions);
    for (const fn of functions) {
      fn.instances = fn.instances.filter(({ isGone }) => !isGone);
      sums.memory += fn.instances.length * fn.facts.sizeMib;
      sums.busy += fn.instances.filter(({ freeAt }) => freeAt > now).length * fn.facts.sizeMib;
    }
    sums.sweeps += 1;
  }
  const called = functions.filter(({ uses }) => uses > 0);
  const perFunction = called.map(({ cold, uses }) => cold / uses).sort((a, b) => a - b);
  const calls = called.reduce((sum, { uses }) => sum + uses, 0);
  slowdowns.sort((a, b) => a - b);
  return {
    name: keeper.name,
    coldPerCall: called.reduce((sum, { cold }) => sum + cold, 0) / calls,
    coldPerFunctionMedian: perFunction[perFunction.length >> 1] ?? Number.NaN,
    coldPerFunctionMean: perFunction.reduce((sum, share) => sum + share, 0) / perFunction.length,
    memoryMeanMib: sums.memory / sums.sweeps,
    idleMeanMib: (sums.memory - sums.busy) / sums.sweeps,
    memoryOverBusy: sums.memory / sums.busy,
    slowdownP99: slowdowns[Math.floor(slowdowns.length * 0.99)] ?? Number.NaN,
    startMsPerCall: sums.waitMs / calls,
    starts: sums.starts,
  };
}

function serveUntil(
  now: number,
  fn: SimulatedFunction,
  keeper: Keeper,
  seen: { readonly slowdowns: number[]; readonly sums: { starts: number; waitMs: number } },
): void {
  const { arrivals, serviceMs, initMs } = fn.facts;
  for (let at = arrivals[fn.next]; at !== undefined && at <= now; at = arrivals[fn.next]) {
    fn.next += 1;
    fn.uses += 1;
    let waitMs = 0;
    let instance = fn.instances.find(({ freeAt }) => freeAt <= (at ?? 0));
    if (!instance) {
      waitMs = keeper.startMs + initMs;
      instance = { owner: fn, freeAt: 0, isGone: false };
      fn.instances.push(instance);
      fn.cold += 1;
      seen.sums.starts += 1;
      seen.sums.waitMs += waitMs;
    }
    instance.freeAt = at + waitMs + serviceMs;
    seen.slowdowns.push((waitMs + serviceMs) / serviceMs);
  }
}

/** What many platforms do. */
function fixed(idleMsMax: number): Keeper {
  return {
    name: `fixed ${idleMsMax / 60_000} min`,
    startMs: RUNTIME_READY_MS,
    sweep(now, functions) {
      for (const { instances } of functions) {
        for (const instance of instances) if (now - instance.freeAt >= idleMsMax) instance.isGone = true;
      }
    },
  };
}

function byValue(idleMibMax: number, idleMsMax: number, startMs: number): Keeper {
  const rule = new KeepAliveRule({ idleMibMax, idleMsMax });
  const byKey = new Map<string, SimulatedFunction>();
  return {
    name: `by value, ${Math.round(idleMibMax)} MiB idle, at most ${idleMsMax / 60_000} min`,
    startMs,
    sweep(now, functions) {
      if (byKey.size === 0) for (const fn of functions) byKey.set(fn.key, fn);
      const { letGo, start } = rule.sweep(
        now,
        functions.map((fn) => factsOf(now, fn, startMs)),
        0,
      );
      for (const instance of letGo) instance.isGone = true;
      for (const key of start) {
        const owner = byKey.get(key);
        owner?.instances.push({ owner, freeAt: now, isGone: false });
      }
    },
  };
}

function factsOf(now: number, fn: SimulatedFunction, startMs: number) {
  return {
    key: fn.key,
    uses: fn.uses,
    startMs: startMs + fn.facts.initMs,
    isBusy: fn.instances.some(({ freeAt }) => freeAt > now),
    idle: fn.instances
      .filter(({ freeAt }) => freeAt <= now)
      .map((instance) => ({ instance, lastUsedAt: instance.freeAt, sizeMib: fn.facts.sizeMib })),
  };
}

/** Prints its own table: these are decisions, which have no yardstick but each other. */
export async function measureSimulated(): Promise<[]> {
  const load = synthesise({ functions: FUNCTIONS, days: DAYS, seed: SEED });
  const calls = load.reduce((sum, { arrivals }) => sum + arrivals.length, 0);
  const plain = simulate(load, fixed(600_000));
  const results = [
    plain,
    simulate(load, byValue(plain.idleMeanMib, 3_600_000, RUNTIME_READY_MS)),
    simulate(load, byValue(MIB_GENEROUS, 600_000, RUNTIME_READY_MS)),
    simulate(load, byValue(MIB_GENEROUS, 3_600_000, RUNTIME_READY_MS)),
    {
      ...simulate(load, { ...fixed(600_000), startMs: RUNTIME_FRESH_MS }),
      name: "fixed 10 min, started from nothing",
    },
  ];
  process.stdout.write(
    `\n${FUNCTIONS} functions, ${calls.toLocaleString("en")} calls in ${DAYS} days, seed ${SEED}\n`,
  );
  process.stdout.write(
    `${"policy".padEnd(42)} cold/call  cold/function (median, mean)  memory MiB (× busy)  p99 slow-down  start ms/call  starts\n`,
  );
  const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
  for (const result of results) {
    process.stdout.write(
      `${[
        result.name.padEnd(42),
        percent(result.coldPerCall).padStart(9),
        `${percent(result.coldPerFunctionMedian)}, ${percent(result.coldPerFunctionMean)}`.padStart(28),
        `${result.memoryMeanMib.toFixed(0)} (${result.memoryOverBusy.toFixed(1)})`.padStart(19),
        result.slowdownP99.toFixed(2).padStart(13),
        result.startMsPerCall.toFixed(3).padStart(13),
        String(result.starts).padStart(8),
      ].join("  ")}\n`,
    );
  }
  return [];
}
