/**
 * How spans of time are distributed: counts in buckets that grow with what is counted, so that any two can be added and
 * a percentile is right to 3 %. A power of two is cut into 16 equal buckets, which are the first bits of a double:
 * recording is an addition at an index, without a search, a logarithm or an allocation.
 */
const STEPS_BITS = 4;
const STEPS = 1 << STEPS_BITS;
/** 2^-7 ms; what is shorter counts as that. */
const LEAST_EXPONENT = -7;
/** 2^26 ms, about 18 hours; what is longer counts as that. */
const MOST_EXPONENT = 26;
const BUCKETS = (MOST_EXPONENT - LEAST_EXPONENT) * STEPS;
/** Sign and exponent are the upper 12 bits of a double, its exponent has a bias of 1,023. */
const SHIFT = 20 - STEPS_BITS;
const OFFSET = (LEAST_EXPONENT + 1_023) * STEPS;

const DOUBLE = new Float64Array(1);
const WORDS = new Uint32Array(DOUBLE.buffer);
const HIGH = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 1 : 0;

export class Distribution {
  count = 0;
  /** ms, as are all others. */
  sum = 0;
  min = Number.POSITIVE_INFINITY;
  max = 0;
  /** Made when they are needed: most distributions stay empty. */
  #made: Uint32Array | undefined;

  get #buckets(): Uint32Array {
    this.#made ??= new Uint32Array(BUCKETS);
    return this.#made;
  }

  record(ms: number): void {
    this.count += 1;
    this.sum += ms;
    if (ms < this.min) this.min = ms;
    if (ms > this.max) this.max = ms;
    const buckets = this.#buckets;
    const at = indexOf(ms);
    buckets[at] = (buckets[at] ?? 0) + 1;
  }

  add(other: Distribution): void {
    if (other.count === 0) return;
    this.count += other.count;
    this.sum += other.sum;
    this.min = Math.min(this.min, other.min);
    this.max = Math.max(this.max, other.max);
    const buckets = this.#buckets;
    const others = other.#buckets;
    for (let at = 0; at < BUCKETS; at += 1) buckets[at] = (buckets[at] ?? 0) + (others[at] ?? 0);
  }

  clear(): void {
    if (this.count === 0) return;
    this.count = 0;
    this.sum = 0;
    this.min = Number.POSITIVE_INFINITY;
    this.max = 0;
    this.#buckets.fill(0);
  }

  /** What that share (0 to 1) of all is at most; undefined of nothing. */
  quantile(share: number): number | undefined {
    if (this.count === 0) return undefined;
    if (share <= 0) return this.min;
    const buckets = this.#buckets;
    let left = Math.ceil(share * this.count);
    for (let at = 0; at < BUCKETS; at += 1) {
      left -= buckets[at] ?? 0;
      if (left <= 0) return Math.min(this.max, Math.max(this.min, middleOf(at)));
    }
    return this.max;
  }

  /** What there is, ascending: the middle of each bucket, within the least and the most that was recorded. */
  buckets(): readonly { readonly value: number; readonly count: number }[] {
    if (this.count === 0) return [];
    const found: { value: number; count: number }[] = [];
    this.#buckets.forEach((count, at) => {
      if (count > 0) found.push({ value: Math.min(this.max, Math.max(this.min, middleOf(at))), count });
    });
    return found;
  }

  /** How many were at most so long, to the width of a bucket. */
  countUpTo(ms: number): number {
    if (ms >= this.max) return this.count;
    const buckets = this.#buckets;
    const end = indexOf(ms);
    let count = 0;
    for (let at = 0; at < end; at += 1) count += buckets[at] ?? 0;
    return count;
  }

  /** Numbers that `parseDistribution` takes: totals, then pairs of a distance between buckets and a count. */
  encode(): number[] {
    const encoded = [this.count, round(this.sum), round(this.min), round(this.max)];
    const buckets = this.#buckets;
    let before = 0;
    for (let at = 0; at < BUCKETS; at += 1) {
      const count = buckets[at] ?? 0;
      if (count === 0) continue;
      encoded.push(at - before, count);
      before = at;
    }
    return encoded;
  }

  /** Adds what `encode` has given; what is none adds nothing. */
  addEncoded(encoded: unknown): void {
    if (!Array.isArray(encoded) || encoded.length < 4 || !encoded.every(Number.isFinite)) return;
    const [count = 0, sum = 0, min = 0, max = 0]: number[] = encoded;
    this.count += count;
    this.sum += sum;
    this.min = Math.min(this.min, min);
    this.max = Math.max(this.max, max);
    const buckets = this.#buckets;
    let bucket = 0;
    for (let at = 4; at + 1 < encoded.length; at += 2) {
      bucket += encoded[at];
      if (bucket < BUCKETS) buckets[bucket] = (buckets[bucket] ?? 0) + encoded[at + 1];
    }
  }
}

function indexOf(ms: number): number {
  DOUBLE[0] = ms;
  const at = ((WORDS[HIGH] ?? 0) >>> SHIFT) - OFFSET;
  return at < 0 || !(ms > 0) ? 0 : Math.min(at, BUCKETS - 1);
}

function middleOf(at: number): number {
  return 2 ** (LEAST_EXPONENT + Math.floor(at / STEPS)) * (1 + ((at % STEPS) + 0.5) / STEPS);
}

function round(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
