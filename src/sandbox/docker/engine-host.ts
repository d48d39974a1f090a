import { readFile } from "node:fs/promises";
import { PlatformError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { type BridgeSide, HERE } from "./bridge-side.ts";
import { Engine } from "./engine.ts";
import { type EngineTraits, findTraits } from "./engine-traits.ts";
import { findNamespace } from "./find-namespace.ts";
import { type Firewall, openFirewall } from "./firewall.ts";
import { areRunning, holdNetworks, type NetworkHolders } from "./holder.ts";
import { enterNamespace } from "./namespace-side.ts";
import { type ContainerNetwork, openNetwork, removeNetwork } from "./network.ts";
import { RUNTIME_API_PORT, RuntimeApiListener } from "./runtime-api-listener.ts";

/** An engine that was found, with all that containers need around them. */
export interface OpenedHost {
  readonly engine: Engine;
  readonly listener: RuntimeApiListener;
  readonly networks: Networks;
  readonly traits: EngineTraits;
  readonly gaps: readonly string[];
}

interface Networks {
  readonly public: ContainerNetwork;
  readonly inner: ContainerNetwork;
}

/** What was opened, with what has to be closed. */
interface Opened extends OpenedHost {
  readonly firewall: Firewall;
  readonly holders: NetworkHolders | undefined;
}

export interface EngineHostParts {
  readonly findSocket: () => string;
  readonly instanceName: string;
  readonly log: Log;
  /** Called once per engine that was found, before anything is started on it. Never rejects. */
  readonly opened: (engine: Engine) => Promise<void>;
}

/**
 * The engine with its networks, its listener and its rules. All of it is found or made when it is first needed, and anew
 * after `forget`: an engine that comes back may be another version, with networks that have to be made again.
 */
export class EngineHost implements AsyncDisposable {
  readonly #parts: EngineHostParts;
  #opening: Promise<OpenedHost> | undefined;
  #opened: Opened | undefined;
  readonly #gapsSaid = new Set<string>();
  #isSideLost = false;
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

  /** Whether a container of that name belongs to the networks, and to no function. */
  keeps(containerName: string): boolean {
    return this.#opened?.holders?.names.includes(containerName) ?? false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#opening?.catch(() => undefined);
    const opened = this.#opened;
    if (!opened) return;
    const { engine, networks, listener, holders } = opened;
    await listener[Symbol.asyncDispose]();
    await opened.firewall[Symbol.asyncDispose]();
    try {
      await holders?.remove();
      for (const network of [networks.public, networks.inner]) await removeNetwork(engine, network);
    } catch (error) {
      // An engine that is gone takes its networks along, or keeps them for our successor.
      this.#parts.log.warn("the networks of containers could not be removed", { error });
    }
    await listener.side[Symbol.asyncDispose]();
    engine[Symbol.dispose]();
  }

  async #open(): Promise<OpenedHost> {
    const { instanceName, log } = this.#parts;
    const engine = new Engine(this.#parts.findSocket());
    const version = await engine.negotiate();
    const traits = await findTraits(engine, version);
    const holdersBefore = this.#opened?.holders;
    const isHeld = holdersBefore !== undefined && (await areRunning(engine, holdersBefore));
    await this.#parts.opened(engine);
    const found: Networks = {
      public: await openNetwork(engine, instanceName, "public"),
      inner: await openNetwork(engine, instanceName, "inner"),
    };
    const all = [found.public, found.inner];
    const canLimitMemory = traits.limits.memory;
    const holders = isHeld
      ? holdersBefore
      : traits.isPodman
        ? await holdNetworks(engine, { instanceName, networks: all, canLimitMemory })
        : undefined;
    const before = this.#opened;
    const isSame = before !== undefined && holders === before.holders && areEqual(before.networks, found);
    const listener = isSame && !this.#isSideLost ? before.listener : await this.#listen(found);
    const firewall = await openFirewall({
      networks: all,
      runtimeApiPort: RUNTIME_API_PORT,
      side: listener.side,
      isPodman: traits.isPodman,
    });
    const gaps = [...traits.gaps, ...(firewall.gap ? [firewall.gap] : [])];
    for (const gap of gaps) {
      // An engine that comes back lacks what it lacked before.
      if (!this.#gapsSaid.has(gap)) log.warn("isolation gap", { gap });
      this.#gapsSaid.add(gap);
    }
    const networks = isSame ? before.networks : found;
    const opened = { engine, listener, networks, traits, gaps, firewall, holders };
    this.#opened = opened;
    this.#watch(opened, holders === holdersBefore ? undefined : holders);
    return opened;
  }

  /** What is lost behind our back is made anew by the next start. */
  #watch(opened: Opened, holders: NetworkHolders | undefined): void {
    const lose = (what: string) => {
      if (this.#isClosed || this.#opened !== opened) return;
      this.#parts.log.warn("the way to containers is lost, and is made anew", { what });
      this.forget();
    };
    void holders?.lost.then(() => lose("a container that keeps a network up is gone"));
    void opened.listener.side.lost.then(() => {
      if (this.#opened?.listener === opened.listener) this.#isSideLost = true;
      lose("the helper in the engine's network is gone");
    });
  }

  async #listen(networks: Networks): Promise<RuntimeApiListener> {
    const before = this.#opened?.listener;
    await before?.[Symbol.asyncDispose]();
    await before?.side[Symbol.asyncDispose]();
    const listener = new RuntimeApiListener(await findSide(networks.public));
    try {
      await listener.listen(networks.public.gateway);
      await listener.listen(networks.inner.gateway);
      this.#isSideLost = false;
      return listener;
    } catch (error) {
      await listener[Symbol.asyncDispose]();
      await listener.side[Symbol.asyncDispose]();
      throw error;
    }
  }
}

function areEqual(one: Networks, other: Networks): boolean {
  return one.public.gateway === other.public.gateway && one.inner.gateway === other.inner.gateway;
}

/** This host's own side unless the bridge is not on it and in another network of it. */
async function findSide({ bridge }: ContainerNetwork): Promise<BridgeSide> {
  // A bridge that nothing is plugged into is in no list of running interfaces, os.networkInterfaces' included.
  const devices = await readFile("/proc/self/net/dev", "utf8").catch(() => "");
  if (devices.includes(`${bridge}:`)) return HERE;
  const found = await findNamespace(bridge);
  return found ? await enterNamespace(found) : HERE;
}
