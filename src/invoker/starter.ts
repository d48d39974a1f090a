import type { CodeDepot } from "../code/depot.ts";
import type { FunctionConfig, Version } from "../core/function.ts";
import type { SandboxId } from "../core/ids.ts";
import { describeExit, type InvocationOutcome } from "../core/invocation.ts";
import { INIT_MS_MAX } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import { runtimeVersionOf } from "../core/runtime-version.ts";
import {
  type Channel,
  InitFailed,
  type ProtocolAdapter,
  type ResolvedRuntime,
} from "../protocol/protocol.ts";
import type { InitPhase } from "../records/platform-events.ts";
import type { Records } from "../records/records.ts";
import type { Sandbox } from "../sandbox/driver.ts";
import { type BeginParts, BeginRefused, beginIn } from "./begin.ts";
import { functionEnvironment, type Identity, newLogStreamName } from "./environment.ts";
import { Instance } from "./instance.ts";
import { findOptFiles } from "./opt-files.ts";
import type { Packs } from "./packs.ts";

export interface StarterParts extends BeginParts {
  readonly depot: Pick<CodeDepot, "openTree">;
  readonly resolveRuntime: (config: FunctionConfig) => Promise<ResolvedRuntime>;
  /** May have to load it first. */
  readonly adapterOf: (config: FunctionConfig) => Promise<ProtocolAdapter>;
  /** What is made of code beforehand; starts do without as well. */
  readonly packs?: Pick<Packs, "find"> | undefined;
  readonly records: Records;
  readonly identity: Identity;
  readonly log: Log;
  /** How long an initialisation may take before it is begun anew within the first call; 10 s if left out. */
  readonly initMsMax?: number | undefined;
}

export interface StartHooks {
  readonly liveVersion: number | undefined;
  /** One call may be handed over before it has started; if that fails, the call has not been served. */
  readonly takesEarly?: (instance: Instance) => void;
  readonly freed: (instance: Instance) => void;
  readonly left: (instance: Instance) => void;
  /** Variables of this instance alone. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** Lines for `/etc/hosts` of this instance alone. */
  readonly hosts?: string | undefined;
}

/** An instance that could not be made ready by the function's own fault; `outcome` is what its callers get. */
export class StartFailed extends Error {
  override readonly name = "StartFailed";
  readonly outcome: InvocationOutcome;
  readonly sandboxId: SandboxId;
  readonly afterMs: number;

  constructor(outcome: InvocationOutcome, sandboxId: SandboxId, afterMs: number) {
    super("the function could not be initialised");
    this.outcome = outcome;
    this.sandboxId = sandboxId;
    this.afterMs = afterMs;
  }
}

/**
 * Starts one instance and waits until it can take a call.
 *
 * @throws StartFailed if the program says why it cannot start, exits, or takes longer than its time.
 * @throws PlatformError if code, runtime or sandbox are not to be had.
 */
export async function startInstance(
  parts: StarterParts,
  version: Version,
  hooks: StartHooks,
  { signal }: { readonly signal: AbortSignal },
): Promise<Instance> {
  const { entry, timeoutMs } = version.config;
  const initMsMax = parts.initMsMax ?? INIT_MS_MAX;
  if (entry.kind !== "handler") {
    const withinMs = Math.max(initMsMax, timeoutMs);
    return startOnce(parts, version, hooks, { phase: "init", withinMs, signal });
  }
  try {
    return await startOnce(parts, version, hooks, { phase: "init", withinMs: initMsMax, signal });
  } catch (error) {
    if (!(error instanceof StartFailed && error.outcome.kind === "timed-out")) throw error;
    // As on Lambda: once more from the beginning, in the first call's own time.
    return startOnce(parts, version, hooks, { phase: "invoke", withinMs: timeoutMs, signal });
  }
}

async function startOnce(
  parts: StarterParts,
  version: Version,
  hooks: StartHooks,
  how: { readonly phase: InitPhase; readonly withinMs: number; readonly signal: AbortSignal },
): Promise<Instance> {
  const { config } = version;
  const { phase, withinMs, signal } = how;
  const startedAt = performance.now();
  const [codeDir, runtime, adapter, opt] = await Promise.all([
    // An image brings its own files; the tree is only what it was built of.
    version.code.image ? "" : parts.depot.openTree(version.code.treeId),
    parts.resolveRuntime(config),
    parts.adapterOf(config),
    findOptFiles(parts.depot, config),
  ]);
  const environment = () => ({
    ...functionEnvironment(version, parts.identity, newLogStreamName(version.label, Date.now())),
    ...hooks.environment,
  });
  const findPack = () => parts.packs?.find(version, { adapter, runtime });
  const begin = {
    version,
    codeDir,
    opt,
    runtime,
    adapter,
    environment,
    hosts: hooks.hosts,
    findPack,
    signal,
  };
  const { sandbox, channel, goOn } = await beginIn(parts, begin).catch((error: unknown) => {
    // A channel refuses what it can see without starting anything: a missing bootstrap, say.
    if (!(error instanceof BeginRefused)) throw error;
    throw new StartFailed(threw(error.reason), error.sandboxId, performance.now() - startedAt);
  });
  const failed = (outcome: InvocationOutcome) =>
    new StartFailed(outcome, sandbox.id, performance.now() - startedAt);
  const instance = new Instance({
    ...hooks,
    version,
    sandbox,
    channel,
    records: parts.records,
    log: parts.log,
  });
  const { telemetry } = instance;
  let isOver = false;
  const started = () => {
    if (isOver) return;
    isOver = true;
    const tookMs = performance.now() - startedAt;
    parts.ready?.started(version, adapter);
    for (const line of telemetry.initEnded(phase, undefined, tookMs)) instance.platformLine(line);
    if (phase === "init") instance.started(tookMs);
    else instance.started(undefined, tookMs);
  };
  try {
    const line = telemetry.initStarted(phase, runtimeVersionOf(config.runtime, parts.identity.region));
    if (line !== undefined) instance.platformLine(line);
    goOn();
    channel.tellReady?.(started);
    // What is spent of the call's own time is known only then.
    if (phase === "init" && channel.takesEarly) hooks.takesEarly?.(instance);
    await becomesReady(channel, sandbox, { withinMs, signal, failed });
    started();
    return instance;
  } catch (error) {
    isOver = true;
    if (error instanceof StartFailed) {
      for (const line of telemetry.initEnded(phase, error.outcome, error.afterMs)) {
        instance.platformLine(line);
      }
    }
    await instance[Symbol.asyncDispose]();
    throw error;
  }
}

async function becomesReady(
  channel: Channel,
  sandbox: Sandbox,
  wait: {
    readonly withinMs: number;
    readonly signal: AbortSignal;
    readonly failed: (outcome: InvocationOutcome) => StartFailed;
  },
): Promise<void> {
  const { withinMs, signal, failed } = wait;
  let timer: NodeJS.Timeout | undefined;
  let stop: (() => void) | undefined;
  const late = new Promise<never>((_, reject) => {
    const outcome = { kind: "timed-out", afterMs: withinMs, isStreamed: false } as const;
    timer = setTimeout(() => reject(failed(outcome)), withinMs);
  });
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
  });
  const exited = sandbox.exited.then(async (exit): Promise<never> => {
    // Its last message may still be in the socket; it says more than the exit does.
    await new Promise((resolve) => setTimeout(resolve, LAST_WORDS_MS));
    const message = describeExit(exit);
    throw failed({ kind: "crashed", errorType: "Runtime.ExitError", message, isStreamed: false });
  });
  const broken = channel.failed?.then((failure): never => {
    throw failed({ kind: "crashed", ...failure, isStreamed: false });
  });
  broken?.catch(() => undefined);
  try {
    await Promise.race([channel.ready, exited, late, stopped, ...(broken === undefined ? [] : [broken])]);
  } catch (error) {
    throw error instanceof InitFailed ? failed(threw(error)) : error;
  } finally {
    clearTimeout(timer);
    if (stop) signal.removeEventListener("abort", stop);
    exited.catch(() => undefined);
  }
}

const LAST_WORDS_MS = 25;

function threw(failure: InitFailed): InvocationOutcome {
  return { kind: "threw", payload: failure.payload, errorType: failure.errorType, isStreamed: false };
}
