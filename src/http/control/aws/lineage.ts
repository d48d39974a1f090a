/**
 * The guard against functions that call themselves for ever, over others or not. AWS's SDKs send the trace header of the
 * call they were made in along with each call they make; in it the platform counts how often each function has been
 * called on the way: `Root=1-…;Lineage=HASH:COUNT|HASH:COUNT`.
 */
import { createHash } from "node:crypto";
import { PlatformError } from "../../../core/errors.ts";
import type { FunctionRecord } from "../../../core/function.ts";

/** Calls of one function on the way to one of it before that counts as a loop: Lambda's figure. */
const VISITS_MAX = 16;
/** Beyond these the oldest are forgotten; a loop over more functions than that is not seen. */
const FUNCTIONS_MAX = 8;

/**
 * The trace header that a call goes on with.
 *
 * @throws PlatformError `RecursiveLoop` if the function has been called too often on the way, unless it allows that.
 */
export function withLineage(traceId: string, record: Pick<FunctionRecord, "name" | "settings">): string {
  const fields = traceId.split(";").filter((field) => field !== "");
  const others = fields.filter((field) => !field.startsWith("Lineage="));
  const visits = parseLineage(fields.find((field) => field.startsWith("Lineage=")));
  const hash = createHash("sha256").update(record.name).digest("hex").slice(0, 8);
  const before = visits.get(hash) ?? 0;
  if (before >= VISITS_MAX && record.settings.recursiveLoop === "Terminate") {
    throw new PlatformError(
      "RecursiveLoop",
      "Lambda has detected your function being invoked in a recursive loop with other AWS resources and stopped your function's invocation.",
    );
  }
  // The one called last goes to the end, where it is kept longest.
  visits.delete(hash);
  visits.set(hash, before + 1);
  const lineage = [...visits].slice(-FUNCTIONS_MAX).map(([key, count]) => `${key}:${count}`);
  return [...others, `Lineage=${lineage.join("|")}`].join(";");
}

/** What a caller made up counts for nothing but itself: it can only shorten its own way. */
function parseLineage(field: string | undefined): Map<string, number> {
  const visits = new Map<string, number>();
  for (const [, hash = "", count] of (field ?? "").matchAll(/([0-9a-f]{8}):(\d{1,4})/g)) {
    visits.set(hash, Number(count));
  }
  return visits;
}
