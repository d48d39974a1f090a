import { formatRelease, type ReleaseRef } from "../core/project.ts";

/** Counts the calls that run in each release, to know when a release that was let go is needed no more. */
export class ReleasesInUse {
  readonly #unused: (release: ReleaseRef) => void;
  /** Also releases in which nothing runs now: a Map whose keys come and go with each call makes a new table every few of them. */
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
    this.#calls.set(key, left);
    if (left === 0 && this.#letGo.delete(key)) this.#forget(key, release);
  }

  letGo(release: ReleaseRef): void {
    const key = formatRelease(release);
    if ((this.#calls.get(key) ?? 0) > 0) this.#letGo.add(key);
    else this.#forget(key, release);
  }

  keep(release: ReleaseRef): void {
    this.#letGo.delete(formatRelease(release));
  }

  #forget(key: string, release: ReleaseRef): void {
    this.#calls.delete(key);
    this.#unused(release);
  }
}
