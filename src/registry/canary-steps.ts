/** How a canary begins and ends: what is checked on the newest record, and the step that follows. */
import type { CanaryDecision, CanaryPlan } from "../core/canary.ts";
import type { FunctionRecord, Version } from "../core/function.ts";
import type { Registry } from "../store/store.ts";
import { conflict, refuseMember } from "./change-checks.ts";
import type { Decide } from "./function-changes.ts";
import { endCanary, startCanary } from "./function-states.ts";
import { versionNotFound } from "./not-found.ts";

type Versions = Pick<Registry, "findVersion">;

export function toCanary(versions: Versions, version: number, plan: CanaryPlan): Decide {
  return async (current, stamp) => {
    refuseMember(current);
    await published(versions, current, version);
    return startCanary(current, version, plan, stamp);
  };
}

export function fromCanary(versions: Versions, version: number, decision: CanaryDecision): Decide {
  return async (current, stamp) => {
    const { name } = current;
    const [canary] = current.canaries ?? [];
    if (!canary || canary.version !== version || canary.decision) {
      throw conflict(
        `version ${version} of "${name}" is no canary any more; lambda canary ${name} shows why`,
      );
    }
    if (decision.outcome !== "promoted") return endCanary(current, undefined, decision, stamp);
    refuseMember(current);
    return endCanary(current, await published(versions, current, version), decision, stamp);
  };
}

async function published(versions: Versions, { name }: FunctionRecord, number: number): Promise<Version> {
  const version = await versions.findVersion(name, number);
  if (!version) throw versionNotFound(name, number);
  return version;
}
