import type { FunctionConfig, Version } from "../core/function.ts";
import { newSandboxId, type SandboxId } from "../core/ids.ts";
import { MEMORY_MIB_PER_CPU, PIDS_MAX } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import {
  type Channel,
  InitFailed,
  type ProtocolAdapter,
  type ResolvedRuntime,
} from "../protocol/protocol.ts";
import type { Driver, Sandbox } from "../sandbox/driver.ts";
import type { OptFiles } from "./opt-files.ts";
import type { ReadySandboxes } from "./ready-sandboxes.ts";

export interface BeginParts {
  readonly driver: Driver;
  /** Sandboxes that run already; without them, all are started from nothing. */
  readonly ready?: Pick<ReadySandboxes, "take" | "started"> | undefined;
  readonly log: Log;
}

export interface Begin {
  readonly version: Version;
  readonly codeDir: string;
  readonly opt: OptFiles | undefined;
  readonly runtime: ResolvedRuntime;
  readonly adapter: ProtocolAdapter;
  /** Made once somebody wants it. */
  readonly environment: () => Readonly<Record<string, string>>;
  /** Finds what was made of the code beforehand, if anything may have been. Never rejects. */
  readonly findPack: () => Promise<Uint8Array | undefined> | undefined;
  readonly hosts: string | undefined;
  readonly signal: AbortSignal;
}

/** A program that is on its way to its first call. */
export interface Begun {
  readonly sandbox: Sandbox;
  readonly channel: Channel;
  /** Once somebody reads what it prints; the channel becomes ready then. */
  readonly goOn: () => void;
}

/** The channel knew without a sandbox that the program cannot start. */
export class BeginRefused extends Error {
  override readonly name = "BeginRefused";
  readonly reason: InitFailed;
  readonly sandboxId: SandboxId;

  constructor(reason: InitFailed, sandboxId: SandboxId) {
    super(reason.message);
    this.reason = reason;
    this.sandboxId = sandboxId;
  }
}

/**
 * Gets a version into a sandbox: into one that is ready, where there is one, else into one of its own.
 *
 * @throws BeginRefused, and what the driver throws.
 */
export async function beginIn(parts: BeginParts, begin: Begin): Promise<Begun> {
  return (await beginInReady(parts, begin)) ?? (await beginFromNothing(parts, begin));
}

/** Undefined if there is none to be had. */
async function beginInReady(parts: BeginParts, begin: Begin): Promise<Begun | undefined> {
  const { version, codeDir, signal } = begin;
  const taken = parts.ready?.take(version, begin.adapter, begin.runtime);
  if (!taken) return undefined;
  const { sandbox } = taken.ready;
  try {
    const { memoryMib } = version.config;
    const gift = {
      codeDir,
      hosts: begin.hosts,
      optDir: begin.opt?.dir,
      memoryMib,
      cpus: cpusOf(version.config),
    };
    // First, since it has to wake up, and can become all that needs no code meanwhile.
    const foundPack = begin.findPack();
    const channel = taken.channel.become(version, begin.environment(), {
      mayHavePack: foundPack !== undefined,
    });
    const [pack] = await Promise.all([foundPack, taken.ready.specialise(gift)]);
    signal.throwIfAborted();
    return { sandbox, channel, goOn: () => taken.channel.load(pack) };
  } catch (error) {
    await sandbox[Symbol.asyncDispose]();
    await taken.channel[Symbol.asyncDispose]();
    signal.throwIfAborted();
    parts.log.warn("a ready sandbox could not be used; starting from nothing", {
      function: version.functionName,
      error,
    });
    return undefined;
  }
}

async function beginFromNothing(parts: BeginParts, begin: Begin): Promise<Begun> {
  const { version, signal } = begin;
  const { config } = version;
  const environment = begin.environment();
  const pack = await begin.findPack();
  const id = newSandboxId();
  const channel = begin.adapter.open(
    version,
    begin.runtime,
    begin.opt?.extensions ?? version.code.image?.extensions,
  );
  try {
    if (pack) channel.bring?.(pack);
    const sandbox = await parts.driver.start(
      {
        id,
        image: version.code.image,
        codeDir: begin.codeDir,
        runtimeDir: begin.runtime.runtimeDir,
        optDir: begin.opt?.dir,
        toolDirs: begin.runtime.toolDirs,
        memoryMib: config.memoryMib,
        cpus: cpusOf(config),
        pidsMax: PIDS_MAX,
        tmpMib: config.tmpMib,
        network: config.network,
        hosts: begin.hosts,
        hasInput: channel.hasInput,
        hasPort: channel.hasPort,
        onRuntimeApiConnection: channel.onRuntimeApiConnection,
        launch: (places) => channel.launch(places, environment),
      },
      { signal },
    );
    return { sandbox, channel, goOn: () => channel.attach(sandbox) };
  } catch (error) {
    await channel[Symbol.asyncDispose]();
    throw error instanceof InitFailed ? new BeginRefused(error, id) : error;
  }
}

function cpusOf({ cpus, memoryMib }: FunctionConfig): number {
  return cpus ?? Math.max(memoryMib / MEMORY_MIB_PER_CPU, CPUS_MIN);
}

/** Lambda's 128 MB functions get 7 % of a CPU, which makes starts take seconds; we give a floor instead. */
const CPUS_MIN = 1;
