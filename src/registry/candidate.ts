import { randomUUID } from "node:crypto";
import type { FunctionRecord } from "../core/function.ts";
import { createFunction, deployOver } from "./function-states.ts";
import type { NewFunction } from "./functions.ts";
import type { Target } from "./target.ts";

/**
 * What calls would run if that were deployed, so that an instance of it can be started before. A deploy that is given the
 * `revisionId` of the target's version takes that instance over.
 */
export function candidateOf(
  deployed: NewFunction,
  before: FunctionRecord | undefined,
  now: number,
): Target & { readonly revisionId: string } {
  const stamp = { now, newRevision: randomUUID };
  const { record } = before ? deployOver(before, deployed, stamp) : createFunction(deployed, stamp);
  return { record, version: record.latest, qualifier: undefined, revisionId: record.latest.revisionId };
}
