import { PlatformError } from "../../core/errors.ts";
import type { RateLimit } from "../../core/route.ts";

/** Addresses that are told apart, per limit. Those beyond take the place of the one seen first. */
const ADDRESSES_MAX = 10_000;

interface Bucket {
  tokens: number;
  /** When `tokens` was right; ms on any clock that does not go back. */
  at: number;
}

/** Token buckets. What is known of a limit goes with the limit. */
export class RateLimits {
  readonly #buckets = new WeakMap<RateLimit, Map<string, Bucket>>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Takes a token for one request. @throws PlatformError `TooManyInvocations` with the time until there is one. */
  take(limit: RateLimit, ip: string): void {
    const bucket = this.#bucketOf(limit, limit.per === "ip" ? ip : "");
    const now = this.#now();
    const { perSecond, burst } = limit;
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) * perSecond) / 1000);
    bucket.at = now;
    if (bucket.tokens >= 1) {
      bucket.tokens -= 1;
      return;
    }
    const retryAfterMs = ((1 - bucket.tokens) / perSecond) * 1000;
    throw new PlatformError("TooManyInvocations", "too many requests; try again later", { retryAfterMs });
  }

  #bucketOf(limit: RateLimit, key: string): Bucket {
    let buckets = this.#buckets.get(limit);
    if (!buckets) {
      buckets = new Map();
      this.#buckets.set(limit, buckets);
    }
    const known = buckets.get(key);
    if (known) return known;
    if (buckets.size >= ADDRESSES_MAX) {
      for (const oldest of buckets.keys()) {
        buckets.delete(oldest);
        break;
      }
    }
    const made = { tokens: limit.burst, at: this.#now() };
    buckets.set(key, made);
    return made;
  }
}
