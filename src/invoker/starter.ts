import type { CodeDepot } from "../code/depot.ts";
import type { FunctionConfig, Version } from "../core/function.ts";
import { newSandboxId, type SandboxId } from "../core/ids.ts";
import { describeExit, type InvocationOutcome } from "../core/invocation.ts";
import { INIT_MS_MAX, MEMORY_MIB_PER_CPU, PIDS_MAX } from "../core/limits.ts";
import type { Log } from "../core/log.ts";
import {
  type Channel,
  InitFailed,
  type ProtocolAdapter,
  type ResolvedRuntime,
} from "../protocol/protocol.ts";
import type { Records } from "../records/records.ts";
import type { Driver, Sandbox } from "../sandbox/driver.ts";
import { functionEnvironment, type Identity, newLogStreamName } from "./environment.ts";
import { Instance } from "./instance.ts";

export interface StarterParts {
  readonly driver: Driver;
  readonly depot: Pick<CodeDepot, "openTree">;
  readonly resolveRuntime: (config: FunctionConfig) => Promise<ResolvedRuntime>;
  /** May have to load it first. */
  readonly adapterOf: (config: FunctionConfig) => Promise<ProtocolAdapter>;
  readonly records: Records;
  readonly identity: Identity;
  readonly log: Log;
}

export interface StartHooks {
  readonly liveVersion: number | undefined;
  readonly freed: (instance: Instance) => void;
  readonly left: (instance: Instance) => void;
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
  const { config } = version;
  const startedAt = performance.now();
  const [codeDir, runtime, adapter] = await Promise.all([
    // An image brings its own files; the tree is only what it was built of.
    version.code.image ? "" : parts.depot.openTree(version.code.treeId),
    parts.resolveRuntime(config),
    parts.adapterOf(config),
  ]);
  const sandboxId = newSandboxId();
  const failed = (outcome: InvocationOutcome) =>
    new StartFailed(outcome, sandboxId, performance.now() - startedAt);
  const channel = adapter.open(version, runtime);
  const environment = functionEnvironment(
    version,
    parts.identity,
    newLogStreamName(version.label, Date.now()),
  );
  const sandbox = await startSandbox(parts, channel, {
    sandboxId,
    version,
    codeDir,
    runtime,
    environment,
    signal,
    failed,
  });
  const instance = new Instance({
    ...hooks,
    version,
    sandbox,
    channel,
    records: parts.records,
    log: parts.log,
  });
  try {
    channel.attach(sandbox);
    await becomesReady(channel, sandbox, {
      withinMs: Math.max(INIT_MS_MAX, config.timeoutMs),
      signal,
      failed,
    });
    instance.started(performance.now() - startedAt);
    return instance;
  } catch (error) {
    await instance[Symbol.asyncDispose]();
    if (error instanceof StartFailed) recordFailure(parts.records, instance, hooks, error);
    throw error;
  }
}

async function startSandbox(
  parts: StarterParts,
  channel: Channel,
  start: {
    readonly sandboxId: SandboxId;
    readonly version: Version;
    readonly codeDir: string;
    readonly runtime: ResolvedRuntime;
    readonly environment: Readonly<Record<string, string>>;
    readonly signal: AbortSignal;
    readonly failed: (outcome: InvocationOutcome) => StartFailed;
  },
): Promise<Sandbox> {
  const { config } = start.version;
  try {
    return await parts.driver.start(
      {
        id: start.sandboxId,
        image: start.version.code.image,
        codeDir: start.codeDir,
        runtimeDir: start.runtime.runtimeDir,
        toolDirs: start.runtime.toolDirs,
        memoryMib: config.memoryMib,
        cpus: Math.max(config.memoryMib / MEMORY_MIB_PER_CPU, CPUS_MIN),
        pidsMax: PIDS_MAX,
        tmpMib: config.tmpMib,
        network: config.network,
        hasInput: channel.hasInput,
        hasPort: channel.hasPort,
        onRuntimeApiConnection: channel.onRuntimeApiConnection,
        launch: (places) => channel.launch(places, start.environment),
      },
      { signal: start.signal },
    );
  } catch (error) {
    await channel[Symbol.asyncDispose]();
    // A channel refuses in `launch` what it can see without starting anything: a missing bootstrap, say.
    if (error instanceof InitFailed) throw start.failed(threw(error));
    throw error;
  }
}

/** Lambda's 128 MB functions get 7 % of a CPU, which makes starts take seconds; we give a floor instead. */
const CPUS_MIN = 1;

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
  try {
    await Promise.race([channel.ready, exited, late, stopped]);
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

/** Lambda's line for it: `INIT_REPORT Init Duration: 150.79 ms	Phase: init	Status: error	Error Type: Runtime.ExitError`. */
function recordFailure(records: Records, instance: Instance, hooks: StartHooks, failure: StartFailed): void {
  const { outcome, afterMs } = failure;
  const status = outcome.kind === "timed-out" ? "timeout" : "error";
  const type =
    outcome.kind === "threw" || outcome.kind === "crashed" ? `\tError Type: ${outcome.errorType}` : "";
  records.line(
    {
      functionName: instance.version.functionName,
      version: instance.version.label,
      liveVersion: hooks.liveVersion,
      sandboxId: instance.id,
    },
    "platform",
    `INIT_REPORT Init Duration: ${afterMs.toFixed(2)} ms\tPhase: init\tStatus: ${status}${type}`,
  );
}
