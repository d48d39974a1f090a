import { seededRandom } from "../src/core/seeded-random.fake.ts";

/**
 * A load like that of Azure Functions in 2019 (Shahrad et al., USENIX ATC 2020; figures of the public data set): how often
 * functions are called, how long they run, what starts them. The same seed gives the same load.
 */

export interface SyntheticFunction {
  readonly name: string;
  /** ms since the beginning, rising. */
  readonly arrivals: readonly number[];
  readonly serviceMs: number;
  /** What its own code takes to load. */
  readonly initMs: number;
  readonly sizeMib: number;
}

const DAY_MS = 86_400_000;

/** Invocations a day by quantile of functions, between which is drawn on a logarithmic scale. */
const RATES: readonly (readonly [number, number])[] = [
  [0, 0.1],
  [0.05, 0.14],
  [0.2, 0.5],
  [0.3, 0.98],
  [0.4, 1.8],
  [0.5, 4.9],
  [0.6, 17],
  [0.7, 57],
  [0.75, 118],
  [0.8, 285],
  [0.85, 383],
  [0.9, 1_320],
  [0.95, 3_470],
  [0.97, 11_200],
  [0.99, 90_700],
  [1, 300_000],
];

/** Average run in ms by quantile. */
const RUNS: readonly (readonly [number, number])[] = [
  [0, 10],
  [0.05, 30],
  [0.1, 64],
  [0.25, 220],
  [0.5, 960],
  [0.75, 4_400],
  [0.9, 23_000],
  [0.97, 96_000],
  [1, 300_000],
];

/** Share of functions that a timer calls, and how often in a day, beside what the rest does. */
const TIMER_SHARE = 0.156;
const TIMERS: readonly (readonly [number, number])[] = [
  [0.5, 1],
  [0.63, 24],
  [0.85, 288],
  [1, 1_440],
];

/** Variation of the time between calls (1 is chance, 0 a clock), of functions without a timer. */
const VARIATIONS: readonly (readonly [number, number])[] = [
  [0, 0.05],
  [0.13, 0.05],
  [0.35, 1],
  [0.55, 2],
  [0.77, 4],
  [0.91, 10],
  [1, 20],
];

/** Own init: most load in a few ms, a tenth brings a framework, some a model. */
const INITS: readonly (readonly [number, number])[] = [
  [0, 1],
  [0.5, 3],
  [0.8, 30],
  [0.95, 400],
  [1, 3_000],
];

const CALLS_PER_FUNCTION_MAX = 60_000;
const RUN_MS_MAX = 60_000;

export function synthesise(settings: {
  readonly functions: number;
  readonly days: number;
  readonly seed: number;
}): SyntheticFunction[] {
  const random = seededRandom(settings.seed);
  const endsAt = settings.days * DAY_MS;
  return Array.from({ length: settings.functions }, (_, index) => {
    const isTimer = random() < TIMER_SHARE;
    const perDay = isTimer ? step(TIMERS, random()) : between(RATES, random());
    const variation = isTimer ? 0.02 : between(VARIATIONS, random());
    const initMs = between(INITS, random());
    return {
      name: `f${index}`,
      arrivals: arrivalsOf({ meanMs: DAY_MS / perDay, variation, endsAt, random }),
      serviceMs: Math.min(RUN_MS_MAX, between(RUNS, random())),
      initMs,
      // What is slow to load is large.
      sizeMib: 9 + Math.min(200, initMs / 8) + 4 * random(),
    };
  });
}

function arrivalsOf(how: {
  readonly meanMs: number;
  readonly variation: number;
  readonly endsAt: number;
  readonly random: () => number;
}): number[] {
  const { meanMs, variation, endsAt, random } = how;
  const arrivals: number[] = [];
  for (let at = meanMs * random(); at < endsAt && arrivals.length < CALLS_PER_FUNCTION_MAX; ) {
    arrivals.push(at);
    at += Math.max(1, meanMs * gap(variation, random));
  }
  return arrivals;
}

/** A time between calls with mean 1: nearly a clock below 0.3, gamma up to 1, hyper-exponential above. */
function gap(variation: number, random: () => number): number {
  const exponential = () => -Math.log(1 - random());
  if (variation < 0.3) return 1 + variation * (random() * 2 - 1);
  if (variation <= 1) {
    const shape = Math.max(1, Math.round(1 / variation ** 2));
    let sum = 0;
    for (let stage = 0; stage < shape; stage += 1) sum += exponential();
    return sum / shape;
  }
  // Two exponentials with balanced means, whose mixture has this variation.
  const squared = variation ** 2;
  const share = 0.5 * (1 + Math.sqrt((squared - 1) / (squared + 1)));
  return random() < share ? exponential() / (2 * share) : exponential() / (2 * (1 - share));
}

/** Log-linear between the quantiles of a table. */
function between(table: readonly (readonly [number, number])[], quantile: number): number {
  const above = table.findIndex(([share]) => share >= quantile);
  const [highShare, high] = table[above] ?? [1, 1];
  const [lowShare, low] = table[above - 1] ?? [highShare, high];
  if (highShare === lowShare) return high;
  const part = (quantile - lowShare) / (highShare - lowShare);
  return Math.exp(Math.log(low) + part * (Math.log(high) - Math.log(low)));
}

function step(table: readonly (readonly [number, number])[], quantile: number): number {
  return table.find(([share]) => quantile <= share)?.[1] ?? 1;
}
