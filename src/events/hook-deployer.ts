/**
 * Builds and deploys what pushes bring, until disposed. What there is to do is in the store: killed at any moment, the
 * next one begins anew with what was being built, and a version that had been published is not published again.
 *
 *   waiting ─► fetch ─► is the branch still there? ─► build ─► publish ─► deployed
 *
 * Deployments of one function come one after the other, and of several functions few at once.
 */
import type { Clock } from "../core/clock.ts";
import { isPlatformError, PlatformError } from "../core/errors.ts";
import type { CodeSource } from "../core/function.ts";
import type { DeployRule, Hook, HookDelivery } from "../core/hook.ts";
import type { FunctionName } from "../core/ids.ts";
import type { Log } from "../core/log.ts";
import type { DeploymentEnding, Deployments, Hooks } from "../store/hooks.ts";
import { BuildLog } from "./build-log.ts";

/** Code of a commit that is here until it is disposed. */
export interface CommitCode extends AsyncDisposable {
  /** Where the branch is now; undefined if it is gone. */
  readonly tip: string | undefined;
  pack(): Promise<{ readonly file: string; readonly bytes: number; readonly files: number }>;
}

export interface WorkOptions {
  readonly signal: AbortSignal;
  readonly output: (line: string) => void;
}

export interface DeployOrder {
  readonly name: FunctionName;
  readonly file: string;
  readonly bytes: number;
  readonly source: CodeSource;
  /** Asked just before it is published; what it throws stops that. */
  readonly confirm: () => Promise<void>;
}

export interface HookDeployerParts {
  readonly deployments: Deployments;
  readonly hooks: Pick<Hooks, "findDelivery">;
  /** @throws PlatformError `BuildFailed` */
  fetch(hook: Hook, rule: DeployRule, commit: string, options: WorkOptions): Promise<CommitCode>;
  /** Builds and publishes it as the next version, live at once. @throws PlatformError: nothing has changed then. */
  deploy(
    order: DeployOrder,
    options: WorkOptions,
  ): Promise<{ readonly version: number; readonly readyError?: string }>;
  /** The number of the live version, if a delivery has brought it. */
  liveVersionBy(name: FunctionName, delivery: string): Promise<number | undefined>;
  /** How long it waits before each further try to fetch. */
  readonly fetchAgainAfterMs?: readonly number[];
  readonly clock: Clock;
  readonly log: Log;
}

/** At once, over all functions: builds are heavy. */
const AT_ONCE_MAX = 2;
/** A daemon that goes away so often in the middle of one may do so because of it. */
const ATTEMPTS_MAX = 3;
/** From the fetch to the version; a build has a limit of its own besides. */
const DEPLOYMENT_MS_MAX = 30 * 60_000;
const LOG_EVERY_MS = 1_000;
const WRITE_AGAIN_AFTER_MS = 1_000;
const FETCH_AGAIN_AFTER_MS: readonly number[] = [2_000, 10_000];

export interface HookDeployer {
  /** Looks for work now. */
  wake(): void;
  /**
   * Works until `signal` aborts; what is being built then waits for the next one.
   *
   * @throws PlatformError `StoreUnavailable` if it cannot look for work; it may be run again then.
   */
  run(options: { readonly signal: AbortSignal }): Promise<void>;
}

export function newHookDeployer(parts: HookDeployerParts): HookDeployer {
  const { deployments, log } = parts;
  const busy = new Map<FunctionName, Promise<void>>();
  let wakeUp = Promise.withResolvers<void>();
  const wake = () => wakeUp.resolve();

  return {
    wake,
    async run({ signal }) {
      signal.addEventListener("abort", wake);
      while (!signal.aborted) {
        wakeUp = Promise.withResolvers<void>();
        // In the order in which they came.
        for (const { hook, delivery } of await deployments.waiting()) {
          const { functionName } = hook;
          if (busy.size >= AT_ONCE_MAX) break;
          if (busy.has(functionName) || signal.aborted) continue;
          const work = deployOne(parts, hook, delivery, signal)
            .catch((error: unknown) => {
              log.error("a deployment by a hook could not be written down", { hook: hook.name, error });
            })
            .finally(() => {
              busy.delete(functionName);
              wake();
            });
          busy.set(functionName, work);
        }
        await wakeUp.promise;
      }
      await Promise.all(busy.values());
    },
  };
}

async function deployOne(
  parts: HookDeployerParts,
  hook: Hook,
  delivery: HookDelivery,
  stopping: AbortSignal,
): Promise<void> {
  const { deployments, clock, log } = parts;
  if (!(await isOurs(parts, hook, delivery, stopping))) return;
  const lines = new BuildLog();
  await using writing = writeBehind(() => deployments.log(delivery.id, lines.text()), LOG_EVERY_MS);
  const output = (line: string) => {
    lines.add(line);
    writing.changed();
  };
  const limit = AbortSignal.timeout(DEPLOYMENT_MS_MAX);
  const ending = await deployed(parts, hook, delivery, {
    signal: AbortSignal.any([stopping, limit]),
    output,
  }).catch((error: unknown): Omit<DeploymentEnding, "log" | "endedAt"> => {
    if (stopping.aborted) {
      return {
        outcome: "waiting",
        note: "the daemon stopped in the middle; tried again",
        version: undefined,
      };
    }
    if (!isPlatformError(error) && !limit.aborted) {
      log.error("a deployment by a hook failed unexpectedly", {
        hook: hook.name,
        delivery: delivery.id,
        error,
      });
    }
    return { outcome: "failed", note: reasonOf(error, limit), version: undefined };
  });
  if (ending.outcome === "failed" && ending.note !== undefined) output(ending.note);
  await writing[Symbol.asyncDispose]();
  const end = { ...ending, log: lines.text(), endedAt: clock.now() };
  await untilWritten(parts, stopping, () => deployments.end(delivery.id, end));
  log.info("a deployment by a hook has ended", {
    hook: hook.name,
    function: hook.functionName,
    delivery: delivery.id,
    commit: delivery.deployment?.commit,
    outcome: ending.outcome,
    version: ending.version,
  });
}

/** Begins it. A store that failed may have begun it all the same: nobody else begins deployments of this function. */
async function isOurs(
  parts: HookDeployerParts,
  hook: Hook,
  { id }: HookDelivery,
  stopping: AbortSignal,
): Promise<boolean> {
  const { deployments, hooks, clock } = parts;
  let hasFailed = false;
  return await untilWritten(parts, stopping, async () => {
    if (hasFailed && (await hooks.findDelivery(hook.id, id))?.outcome === "building") return true;
    hasFailed = true;
    return await deployments.begin(id, clock.now());
  });
}

/** Again and again while the disk does not take it: what is not written down would be built for ever. */
async function untilWritten<T>(
  { clock, log }: HookDeployerParts,
  stopping: AbortSignal,
  write: () => Promise<T>,
): Promise<T> {
  for (;;) {
    try {
      return await write();
    } catch (error) {
      if (!isPlatformError(error) || error.code === "ShuttingDown" || stopping.aborted) throw error;
      log.warn("a deployment by a hook cannot be written down; trying again", { error });
      await clock.sleep(WRITE_AGAIN_AFTER_MS, { signal: stopping });
    }
  }
}

async function deployed(
  parts: HookDeployerParts,
  hook: Hook,
  { id, repeats, deployment }: HookDelivery,
  options: WorkOptions,
): Promise<Omit<DeploymentEnding, "log" | "endedAt">> {
  const { deploy: rule, functionName } = hook;
  if (!rule || !deployment)
    throw new PlatformError("Internal", "a hook that does not deploy has a deployment");
  const { commit, branch, attempts } = deployment;
  // Published before the daemon went away: all that was left was to say so.
  const version = attempts > 0 ? await parts.liveVersionBy(functionName, id) : undefined;
  if (version !== undefined) return { outcome: "deployed", note: undefined, version };
  if (attempts >= ATTEMPTS_MAX) {
    throw new PlatformError(
      "BuildFailed",
      `the daemon went away ${attempts} times in the middle of it; redeliver it`,
    );
  }

  await using code = await fetched(parts, hook, rule, commit, options);
  const { tip } = code;
  // A push that comes late, or again: what the branch is at has had its turn already.
  const isPast = tip !== commit && tip !== undefined && repeats === undefined;
  if (isPast && (await parts.deployments.hasTried(hook.id, tip))) {
    return { outcome: "superseded", note: `${branch} is at ${tip} by now`, version: undefined };
  }
  const { file, bytes, files } = await code.pack();
  options.output(`packed ${files} files, ${bytes} bytes`);
  const order: DeployOrder = {
    name: functionName,
    file,
    bytes,
    source: { repo: rule.repo, branch, commit, delivery: id },
    async confirm() {
      if ((await parts.hooks.findDelivery(hook.id, id))?.outcome === "building") return;
      throw new PlatformError("BuildFailed", "the hook was deleted meanwhile");
    },
  };
  const made = await parts.deploy(order, options);
  options.output(`version ${made.version} of ${functionName} is live`);
  const note = made.readyError === undefined ? undefined : `it does not start: ${made.readyError}`;
  return { outcome: "deployed", note, version: made.version };
}

/** Hosts take a moment until what was pushed can be fetched everywhere. */
async function fetched(
  { fetch, fetchAgainAfterMs = FETCH_AGAIN_AFTER_MS, clock }: HookDeployerParts,
  hook: Hook,
  rule: DeployRule,
  commit: string,
  options: WorkOptions,
): Promise<CommitCode> {
  const { signal, output } = options;
  for (let tries = 0; ; tries += 1) {
    try {
      output(`fetching ${commit} of ${rule.repo}`);
      return await fetch(hook, rule, commit, options);
    } catch (error) {
      const againMs = fetchAgainAfterMs[tries];
      if (againMs === undefined || !isPlatformError(error, "BuildFailed")) throw error;
      output(`${error.message}; trying again in ${againMs / 1_000} s`);
      await clock.sleep(againMs, { signal });
    }
  }
}

function reasonOf(error: unknown, limit: AbortSignal): string {
  if (limit.aborted) return `it took longer than ${DEPLOYMENT_MS_MAX / 60_000} minutes`;
  if (isPlatformError(error) && error.code !== "Internal") return error.message;
  return "internal error; the daemon's log has more";
}

/** Has something written down after changes, at most once in each span. */
function writeBehind(write: () => Promise<unknown>, spanMs: number): AsyncDisposable & { changed(): void } {
  let timer: NodeJS.Timeout | undefined;
  let written: Promise<unknown> = Promise.resolve();
  let isOver = false;
  return {
    changed() {
      if (isOver) return;
      timer ??= setTimeout(() => {
        timer = undefined;
        // What it could not write, the end of the deployment writes.
        written = write().catch(() => undefined);
      }, spanMs);
    },
    async [Symbol.asyncDispose]() {
      isOver = true;
      clearTimeout(timer);
      await written;
    },
  };
}
