import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { isPlatformError } from "../core/errors.ts";
import type { DeployRule, Hook } from "../core/hook.ts";
import { inBackground } from "../core/scope.ts";
import type { CommitCode, DeployOrder, WorkOptions } from "../events/hook-deployer.ts";
import type { ControlParts } from "../http/control/parts.ts";
import { HOOK_SECRETS, openCredential } from "../registry/hook-secrets.ts";
import type { Deployments } from "../store/hooks.ts";
import type { Environment } from "./host.ts";

/** A moment later than the start, which is waited for. */
const AFTER_START_MS = 250;
/** After a write that failed: the disk is full, or fails. */
const PAUSE_MS = 5_000;

export interface HookDeployments extends AsyncDisposable {
  readonly failed: Promise<never>;
  /** There is something to deploy. */
  waits(): void;
}

/**
 * Works on what pushes bring. What does the work is loaded when there is some: most daemons never deploy by a hook.
 */
export function startHookDeployments(parts: {
  readonly dataDir: string;
  readonly environment: Environment;
  readonly deployments: Deployments;
  /** What deploys, as soon as it is there. */
  readonly control: Promise<ControlParts>;
}): HookDeployments {
  const { deployments } = parts;
  const found = Promise.withResolvers<void>();
  let wake = found.resolve;
  const work = inBackground(async (signal) => {
    const control = await parts.control;
    const { clock, log } = control;
    const sleep = (ms: number) => clock.sleep(ms, { signal }).catch(() => undefined);
    signal.addEventListener("abort", () => found.resolve());
    /** Undefined once we are stopping. */
    async function untilDone<T>(read: () => Promise<T>): Promise<T | undefined> {
      while (!signal.aborted) {
        try {
          return await read();
        } catch (error) {
          if (!isPlatformError(error)) throw error;
          log.warn("deployments by hooks cannot be read; trying again", { error });
          await sleep(PAUSE_MS);
        }
      }
      return undefined;
    }
    await sleep(AFTER_START_MS);
    if (signal.aborted) return;
    await untilDone(() => deployments.recover());
    const waiting = await untilDone(() => deployments.waiting());
    if (waiting?.length === 0) await found.promise;
    if (signal.aborted) return;
    const { newHookDeployer } = await import("../events/hook-deployer.ts");
    const deployer = newHookDeployer({
      deployments,
      hooks: control.hooks,
      fetch: (hook, rule, commit, options) => fetchCode(parts, control, hook, rule, commit, options),
      deploy: (order, options) => deployCode(control, order, options),
      async liveVersionBy(name, delivery) {
        const record = await control.functions.get(name).catch((error: unknown) => {
          if (isPlatformError(error, "FunctionNotFound")) return undefined;
          throw error;
        });
        const isOurs = record?.latest.code.source?.delivery === delivery;
        return isOurs ? record.liveVersion : undefined;
      },
      clock,
      log,
    });
    wake = deployer.wake;
    while (!signal.aborted) {
      try {
        await deployer.run({ signal });
      } catch (error) {
        if (!isPlatformError(error)) throw error;
        log.warn("deployments by hooks cannot be looked for; trying again", { error });
        await sleep(PAUSE_MS);
      }
    }
  });
  return {
    failed: work.failed,
    waits: () => wake(),
    [Symbol.asyncDispose]: () => work[Symbol.asyncDispose](),
  };
}

async function fetchCode(
  { dataDir, environment }: { readonly dataDir: string; readonly environment: Environment },
  control: ControlParts,
  hook: Hook,
  rule: DeployRule,
  commit: string,
  options: WorkOptions,
): Promise<CommitCode> {
  const [{ fetchCommit }, { buildEnvironment }] = await Promise.all([
    import("../code/git-source.ts"),
    import("../code/build/tool.ts"),
  ]);
  // Below the depot, which clears it at its start.
  const staging = join(dataDir, "code", "staging");
  await mkdir(staging, { recursive: true });
  const dir = await mkdtemp(join(staging, "push-"));
  const remove = () => rm(dir, { recursive: true, force: true });
  try {
    const box = control.keys.sealerFor(HOOK_SECRETS);
    const credential = rule.credential && openCredential(box, hook.id, rule.credential);
    const source = {
      environment: {
        ...buildEnvironment(environment),
        ...(environment.GIT_SSL_CAINFO && { GIT_SSL_CAINFO: environment.GIT_SSL_CAINFO }),
      },
      knownHostsFile: join(dataDir, "hook-known-hosts"),
    };
    const fetched = await fetchCommit(source, dir, { ...rule, commit, credential }, options);
    return { ...fetched, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** What a function has apart from its code stays; a new one has what is detected. */
async function deployCode(
  control: ControlParts,
  { name, file, bytes, source, confirm }: DeployOrder,
  { signal, output }: WorkOptions,
) {
  const [{ deploy }, { parseDeployOptions }] = await Promise.all([
    import("../http/control/v1/deploy.ts"),
    import("../http/control/v1/wire.ts"),
  ]);
  return await deploy(control, {
    name,
    settings: parseDeployOptions(null),
    upload: { file, bytes },
    signal,
    caller: undefined,
    source,
    confirm,
    send(line) {
      if (line.type === "output") output(String(line.text));
      if (line.type === "step") {
        const detail = line.detail === undefined ? "" : `: ${line.detail}`;
        output(`[${line.step}/${line.of}] ${line.title}${detail}`);
      }
    },
  });
}
