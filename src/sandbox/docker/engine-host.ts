import { PlatformError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { Engine, type EngineVersion, objectOf, textsOf } from "./engine.ts";
import { type Firewall, openFirewall } from "./firewall.ts";
import { type ContainerNetwork, openNetwork, removeNetwork } from "./network.ts";
import { RUNTIME_API_PORT, RuntimeApiListener } from "./runtime-api-listener.ts";

/** An engine that was found, with all that containers need around them. */
export interface OpenedHost {
  readonly engine: Engine;
  readonly listener: RuntimeApiListener;
  readonly networks: { readonly public: ContainerNetwork; readonly inner: ContainerNetwork };
  readonly gaps: readonly string[];
}

export interface EngineHostParts {
  readonly findSocket: () => string;
  readonly instanceName: string;
  readonly log: Log;
  /** Called once per engine that was found, before anything is started on it. Never rejects. */
  readonly opened: (engine: Engine) => Promise<void>;
}

/** runc before these lets a container out (CVE-2025-31133 and its kin). */
const RUNC_MIN: readonly (readonly [number, number, number])[] = [
  [1, 2, 8],
  [1, 3, 3],
];

/**
 * The engine with its networks, its listener and its rules. All of it is found or made when it is first needed, and anew
 * after `forget`: an engine that comes back may be another version, with networks that have to be made again.
 */
export class EngineHost implements AsyncDisposable {
  readonly #parts: EngineHostParts;
  #opening: Promise<OpenedHost> | undefined;
  #opened: (OpenedHost & { readonly firewall: Firewall }) | undefined;
  #isClosed = false;

  constructor(parts: EngineHostParts) {
    this.#parts = parts;
  }

  /** The engine in use now, if there is one. */
  get current(): Engine | undefined {
    return this.#opened?.engine;
  }

  /** @throws PlatformError `EngineUnavailable` with what is wrong and the remedy. */
  async open(): Promise<OpenedHost> {
    if (this.#isClosed) throw new PlatformError("ShuttingDown", "the driver is closed");
    if (!this.#opening) {
      const opening = this.#open();
      this.#opening = opening;
      opening.catch(() => {
        if (this.#opening === opening) this.#opening = undefined;
      });
    }
    return this.#opening;
  }

  /** The next `open` looks at everything again. The listener goes on: containers of an engine that merely hung need it. */
  forget(): void {
    this.#opening = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#opening?.catch(() => undefined);
    const opened = this.#opened;
    if (!opened) return;
    await opened.listener[Symbol.asyncDispose]();
    await opened.firewall[Symbol.asyncDispose]();
    for (const network of [opened.networks.public, opened.networks.inner]) {
      // An engine that is gone takes its networks along, or keeps them for our successor.
      await removeNetwork(opened.engine, network).catch((error: unknown) =>
        this.#parts.log.warn("a network could not be removed", { name: network.name, error }),
      );
    }
    opened.engine[Symbol.dispose]();
  }

  async #open(): Promise<OpenedHost> {
    const engine = new Engine(this.#parts.findSocket());
    const version = await engine.negotiate();
    const { instanceName } = this.#parts;
    await this.#parts.opened(engine);
    const networks = {
      public: await openNetwork(engine, instanceName, "public"),
      inner: await openNetwork(engine, instanceName, "inner"),
    };
    const before = this.#opened;
    const isSame =
      before !== undefined &&
      before.networks.public.gateway === networks.public.gateway &&
      before.networks.inner.gateway === networks.inner.gateway;
    const listener = isSame ? before.listener : await this.#listen(networks);
    const all = [networks.public, networks.inner];
    const firewall = await openFirewall(all, RUNTIME_API_PORT);
    const gaps = [...(await findGaps(engine, version)), ...(firewall.gap ? [firewall.gap] : [])];
    for (const gap of gaps) this.#parts.log.warn("isolation gap", { gap });
    const opened = { engine, listener, networks: isSame ? before.networks : networks, gaps, firewall };
    this.#opened = opened;
    return opened;
  }

  async #listen(networks: OpenedHost["networks"]): Promise<RuntimeApiListener> {
    await this.#opened?.listener[Symbol.asyncDispose]();
    const listener = new RuntimeApiListener();
    try {
      await listener.listen(networks.public.gateway);
      await listener.listen(networks.inner.gateway);
      return listener;
    } catch (error) {
      await listener[Symbol.asyncDispose]();
      throw error;
    }
  }
}

/** What the engine says that it does not do on this host. */
async function findGaps(engine: Engine, version: EngineVersion): Promise<string[]> {
  const facts = objectOf(await engine.json("GET", "/info"));
  const gaps: string[] = [];
  if (!textsOf(facts.SecurityOptions).some((option) => option.startsWith("name=seccomp")))
    gaps.push("containers run without a system call filter: use an engine built with seccomp");
  for (const [name, what] of [
    ["MemoryLimit", "memory"],
    ["CpuCfsQuota", "CPU"],
    ["PidsLimit", "process"],
  ] as const) {
    if (facts[name] === false)
      gaps.push(`containers have no ${what} limit: this host's control groups lack it`);
  }
  if (version.runc !== undefined && isOlderRunc(version.runc))
    gaps.push(`runc ${version.runc} has known holes (CVE-2025-31133): update it to 1.2.8, 1.3.3 or later`);
  return gaps;
}

function isOlderRunc(text: string): boolean {
  const [major = 0, minor = 0, patch = 0] = (/^\d+(\.\d+)*/.exec(text)?.[0] ?? "").split(".").map(Number);
  if (major !== 1) return major < 1;
  const least = RUNC_MIN.find(([, itsMinor]) => itsMinor === minor);
  return least ? patch < least[2] : minor < 2;
}
