/** Managed runtimes that are started, connected and loaded before there is a function for them. */
import type { Version } from "../../core/function.ts";
import type { Sandbox, SandboxLaunch, SandboxPlaces } from "../../sandbox/driver.ts";
import type { Channel, ReadyChannel, ReadyKind, ResolvedRuntime } from "../protocol.ts";
import type { Specialisation } from "./frames.ts";
import type { ImportHistory } from "./import-history.ts";
import {
  canBecomeLater,
  type Imports,
  isNode,
  isPython,
  type ManagedKind,
  type ManagedStart,
  readyLaunch,
  specialisationOf,
} from "./managed-launch.ts";

/** What is asked of a channel to a runtime that waits. */
interface WaitingChannel extends Channel {
  readonly rehearsed: Promise<void>;
  tellOfLoad(loaded: (label: string) => void): void;
  specialise(specialisation: Specialisation): void;
  load(pack: Uint8Array | undefined): void;
}

type OpenChannel = (start: ManagedStart) => WaitingChannel;

/** Undefined for versions that ask for something a process must have from its first moment on. */
export function findReadyKind(
  version: Version,
  history: ImportHistory,
  open: OpenChannel,
): ReadyKind | undefined {
  const { config } = version;
  if (!canBecomeLater(version)) return undefined;
  // V8 takes the size of its heap at its start and never again; Python and Ruby have nothing of the kind.
  const kind = isNode(config) ? config : { ...config, memoryMib: READY_SMALL_MIB };
  const plain: ReadyKind = {
    key: isNode(config) ? `nodejs ${config.memoryMib}` : config.runtime,
    memoryMib: kind.memoryMib,
    open: (runtime) => new ReadyManagedChannel({ kind, runtime, history }, open),
  };
  const imports = isPython(config) ? history.of(version) : undefined;
  if (!imports) return plain;
  return {
    key: JSON.stringify([plain.key, imports]),
    memoryMib: READY_PYTHON_WITH_MODULES_MIB,
    open: (runtime) => new ReadyManagedChannel({ kind, runtime, history, imports }, open),
    isKept: () => history.keeps(imports),
    otherwise: plain,
  };
}

/** Enough for an interpreter that has nothing to do. */
const READY_SMALL_MIB = 64;
const READY_PYTHON_WITH_MODULES_MIB = 192;

interface ReadyParts {
  readonly kind: ManagedKind;
  readonly runtime: ResolvedRuntime;
  readonly history: ImportHistory;
  readonly imports?: Imports;
}

class ReadyManagedChannel implements ReadyChannel {
  readonly hasInput = false;
  readonly onRuntimeApiConnection = undefined;
  readonly isWaiting: Promise<void>;
  readonly #channel: WaitingChannel;
  readonly #history: ImportHistory;
  #places: SandboxPlaces | undefined;

  constructor({ kind, runtime, history, imports }: ReadyParts, open: OpenChannel) {
    this.#history = history;
    this.#channel = open((places, environment) => ({
      launch: readyLaunch(kind, runtime, places, environment, imports),
      specialisation: undefined,
    }));
    this.isWaiting = this.#channel.rehearsed;
  }

  launch(places: SandboxPlaces, environment: Readonly<Record<string, string>>): SandboxLaunch {
    return this.#channel.launch(places, environment);
  }

  attach(sandbox: Sandbox): void {
    this.#places = sandbox.places;
    this.#channel.attach(sandbox);
  }

  become(
    version: Version,
    environment: Readonly<Record<string, string>>,
    { mayHavePack }: { readonly mayHavePack: boolean },
  ): Channel {
    if (!this.#places) throw new Error("only what runs in a sandbox can become a function");
    const specialisation = specialisationOf(version, this.#places, environment);
    // As Lambda shows it; the interpreter has what it needs.
    const shown = isPython(version.config) ? { PYTHONPATH: this.#places.runtimeDir } : {};
    if (isPython(version.config)) this.#channel.tellOfLoad((label) => this.#history.learn(version, label));
    this.#channel.specialise({
      ...specialisation,
      environment: { ...shown, ...specialisation.environment },
      awaitsCode: true,
      awaitsPack: mayHavePack,
    });
    return this.#channel;
  }

  load(pack: Uint8Array | undefined): void {
    this.#channel.load(pack);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#channel[Symbol.asyncDispose]();
  }
}
