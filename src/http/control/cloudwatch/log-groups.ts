/** Log groups, which functions name: `/aws/lambda/NAME`, or one of their own, which several may share. */
import { PlatformError } from "../../../core/errors.ts";
import type { FunctionRecord } from "../../../core/function.ts";
import type { ControlParts } from "../parts.ts";
import type { Caller } from "../route.ts";

export interface LogGroup {
  readonly name: string;
  /** Those that write to it now, and that the caller may read. */
  readonly functions: readonly FunctionRecord[];
  readonly createdAt: number;
  readonly retentionDays: number | undefined;
}

const FUNCTIONS_PER_STEP = 500;

/** All groups that the caller may read, by name. */
export async function listGroups(
  parts: Pick<ControlParts, "functions">,
  caller: Caller,
): Promise<LogGroup[]> {
  const groups = new Map<string, FunctionRecord[]>();
  let after: string | undefined;
  for (;;) {
    const page = await parts.functions.list({ after, limit: FUNCTIONS_PER_STEP });
    for (const record of page) {
      after = record.name;
      if (!caller.mayUse(record.name)) continue;
      const name = groupOf(record);
      groups.set(name, [...(groups.get(name) ?? []), record]);
    }
    if (page.length < FUNCTIONS_PER_STEP) break;
  }
  return [...groups]
    .map(([name, functions]) => newGroup(name, functions))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** By name or ARN. @throws PlatformError `ResourceNotFound`. */
export async function getGroup(
  parts: Pick<ControlParts, "functions">,
  caller: Caller,
  nameOrArn: string,
): Promise<LogGroup> {
  const name = /^arn:[^:]+:logs:[^:]*:\d*:log-group:([^:]+)(:\*)?$/.exec(nameOrArn)?.[1] ?? nameOrArn;
  const found = (await listGroups(parts, caller)).find((group) => group.name === name);
  if (!found) throw new PlatformError("ResourceNotFound", "The specified log group does not exist.");
  return found;
}

function newGroup(name: string, functions: readonly FunctionRecord[]): LogGroup {
  const days = functions.flatMap(({ settings }) => settings.logRetentionDays ?? []);
  return {
    name,
    functions,
    createdAt: Math.min(...functions.map(({ createdAt }) => createdAt)),
    // Of functions that share a group and were told differently, the longest: nothing is hidden too early.
    retentionDays: days.length === functions.length ? Math.max(...days) : undefined,
  };
}

function groupOf({ name, latest }: FunctionRecord): string {
  return latest.config.logging.group ?? `/aws/lambda/${name}`;
}
