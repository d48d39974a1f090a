import type { FunctionRecord } from "../../../core/function.ts";
import type { FunctionName } from "../../../core/ids.ts";
import { withProvisioned } from "../aws/provisioned.ts";
import type { ControlParts } from "../parts.ts";

/** Has so many instances of what is live kept started, if the request says so; gives the record as it is then. */
export async function keepInstances(
  { functions, clock }: Pick<ControlParts, "functions" | "clock">,
  name: FunctionName,
  record: FunctionRecord,
  concurrencyMin: number | undefined,
): Promise<FunctionRecord> {
  if (concurrencyMin === undefined || concurrencyMin === (keptInstances(record) ?? 0)) return record;
  const qualifier = "$LATEST";
  const made = { qualifier, instances: concurrencyMin, modifiedAt: clock.now() };
  return await functions.changeSettings(name, ({ settings }) =>
    withProvisioned(settings, qualifier, concurrencyMin > 0 ? made : undefined),
  );
}

export function keptInstances({ settings }: FunctionRecord): number | undefined {
  return settings.provisioned.find(({ qualifier }) => qualifier === "$LATEST")?.instances;
}
