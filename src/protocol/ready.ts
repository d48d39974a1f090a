import type { Duplex } from "node:stream";
import type { Version } from "../core/function.ts";
import type { Sandbox, SandboxLaunch, SandboxPlaces } from "../sandbox/driver.ts";
import type { Channel, ResolvedRuntime } from "./protocol.ts";

/** Sandboxes that are alike until they are told whose they are. */
export interface ReadyKind {
  /** Equal for those among which a version can choose, given the same runtime and network. */
  readonly key: string;
  /** The limit a sandbox of this kind is started with. */
  readonly memoryMib: number;
  open(runtime: ResolvedRuntime): ReadyChannel;
  /** False once it is not worth keeping any more, though versions might still choose it; true if left out. */
  isKept?(): boolean;
  /** What serves where none of this kind is ready. */
  readonly otherwise?: ReadyKind;
}

/**
 * A channel to a program that has loaded all it can without a function:
 *
 *   kind.open(runtime) ─► driver.startReady({ launch, … }) ─► attach(sandbox) ─► await isWaiting …
 *   ─► become(version, environment) ─► code is mounted ─► load() ─► the channel from `become` gets ready
 */
export interface ReadyChannel extends AsyncDisposable {
  readonly hasInput: boolean;
  readonly onRuntimeApiConnection: ((socket: Duplex) => void) | undefined;
  /** `environment` is what every function has. */
  launch(places: SandboxPlaces, environment: Readonly<Record<string, string>>): SandboxLaunch;
  attach(sandbox: Sandbox): void;
  /** Resolves when the program can be stopped until it is needed; pending if it exits. */
  readonly isWaiting: Promise<void>;
  /** Tells the program whose it is now. The channel that comes back owns all that this one had. */
  become(version: Version, environment: Readonly<Record<string, string>>): Channel;
  /** The code is there, and what `ProtocolAdapter.packer` has made of it. */
  load(pack: Uint8Array | undefined): void;
}
