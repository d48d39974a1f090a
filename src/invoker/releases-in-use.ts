import { formatRelease, type ReleaseRef } from "../core/release.ts";

/** Counts the calls that run in each release, to know when a release that was let go is needed no more. */
export class ReleasesInUse {
  readonly #unused: (release: ReleaseRef) => void;
  readonly #calls = new Map<string, number>();
  readonly #letGo = new Set<string>();

  /** `unused` is called when nothing runs any more in a release that was let go. */
  constructor(unused: (release: ReleaseRef) => void) {
    this.#unused = unused;
  }

  enter(release: ReleaseRef): void {
    const key = formatRelease(release);
    this.#calls.set(key, (this.#calls.get(key) ?? 0) + 1);
  }

  leave(release: ReleaseRef): void {
    const key = formatRelease(release);
    const left = (this.#calls.get(key) ?? 0) - 1;
    if (left > 0) {
      this.#calls.set(key, left);
      return;
    }
    this.#calls.delete(key);
    if (this.#letGo.delete(key)) this.#unused(release);
  }

  letGo(release: ReleaseRef): void {
    const key = formatRelease(release);
    if (this.#calls.has(key)) this.#letGo.add(key);
    else this.#unused(release);
  }

  keep(release: ReleaseRef): void {
    this.#letGo.delete(formatRelease(release));
  }
}
