import type { Driver, Isolation, ReadySandbox, ReadySpec, Sandbox, SandboxSpec } from "./driver.ts";

/**
 * One driver for all sandboxes: images go to one made for them, which is opened when the first is started, everything
 * else to the local one.
 */
export class RoutedDriver implements Driver {
  readonly name = "routed";
  readonly #local: Driver;
  readonly #openForImages: () => Promise<Driver>;
  #forImages: Promise<Driver> | undefined;

  constructor(local: Driver, openForImages: () => Promise<Driver>) {
    this.#local = local;
    this.#openForImages = openForImages;
  }

  /** Of images only once there was one: nobody else wants to hear of an engine. */
  async isolation(): Promise<Isolation> {
    const [local, images] = await Promise.all([
      this.#local.isolation(),
      this.#forImages?.then((driver) => driver.isolation()),
    ]);
    if (!images) return local;
    return { isIsolated: local.isIsolated, gaps: [...local.gaps, ...images.gaps] };
  }

  async start(spec: SandboxSpec, options: { readonly signal: AbortSignal }): Promise<Sandbox> {
    if (spec.image === undefined) return this.#local.start(spec, options);
    return (await this.forImages()).start(spec, options);
  }

  async startReady(
    spec: ReadySpec,
    options: { readonly signal: AbortSignal },
  ): Promise<ReadySandbox | undefined> {
    return this.#local.startReady?.(spec, options);
  }

  crowded(isCrowded: boolean): void {
    this.#local.crowded?.(isCrowded);
  }

  /** Opens the driver for images if it is not open yet. */
  forImages(): Promise<Driver> {
    this.#forImages ??= this.#openForImages();
    return this.#forImages;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const images = await this.#forImages?.catch(() => undefined);
    await Promise.all([this.#local[Symbol.asyncDispose](), images?.[Symbol.asyncDispose]()]);
  }
}
