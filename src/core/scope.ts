/** What a part has opened; closed in reverse order, all of it even if one close fails. */
export class Scope implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();

  own<T extends AsyncDisposable>(resource: T): T {
    return this.#stack.use(resource);
  }

  defer(close: () => Promise<void> | void): void {
    this.#stack.defer(close);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** A part that works until disposed. `failed` rejects if it dies by itself; nothing catches that but `main`. */
export function inBackground(
  run: (signal: AbortSignal) => Promise<void>,
): AsyncDisposable & { readonly failed: Promise<never> } {
  const controller = new AbortController();
  const finished = run(controller.signal);
  const failed = new Promise<never>((_, reject) => {
    finished.catch(reject);
  });
  // Whoever races `failed` sees it; a rejection after that must not count as unhandled.
  failed.catch(() => undefined);
  return {
    failed,
    async [Symbol.asyncDispose]() {
      controller.abort();
      await finished.catch(() => undefined);
    },
  };
}
