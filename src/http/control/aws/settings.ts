/** The operations on what belongs to a function as a whole: concurrency, tags, code signing; and on the account. */
import { PlatformError } from "../../../core/errors.ts";
import type { FunctionRecord } from "../../../core/function.ts";
import type { FunctionName } from "../../../core/ids.ts";
import { CODE_BYTES_MAX } from "../../../core/limits.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, jsonReply, type Reply } from "../route.ts";
import { type Named, namedBy, unqualified } from "./lookup.ts";
import { checkTags, parsePutConcurrency, parseTags } from "./wire.ts";

export async function putFunctionConcurrency(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = unqualified(request);
  const max = parsePutConcurrency(request.json);
  await checkUnreserved(parts, name, max);
  await parts.functions.setConcurrency(name, max);
  return jsonReply(200, { ReservedConcurrentExecutions: max });
}

/** With a limit on calls over all functions, reservations must leave some of it to those without one. */
async function checkUnreserved(parts: ControlParts, name: FunctionName, max: number): Promise<void> {
  const { concurrencyMax, unreservedMin } = parts.quotas;
  await parts.functions.get(name);
  if (concurrencyMax === undefined) return;
  let reserved = max;
  for await (const record of eachFunction(parts)) {
    if (record.name !== name) reserved += record.concurrencyMax ?? 0;
  }
  if (concurrencyMax - reserved >= unreservedMin) return;
  throw new PlatformError(
    "InvalidRequest",
    `Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [${unreservedMin}].`,
  );
}

export async function getFunctionConcurrency(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = unqualified(request);
  const { concurrencyMax } = await parts.functions.get(name);
  return jsonReply(200, concurrencyMax === undefined ? {} : { ReservedConcurrentExecutions: concurrencyMax });
}

export async function deleteFunctionConcurrency(
  parts: ControlParts,
  request: ControlRequest,
): Promise<Reply> {
  const { name } = unqualified(request);
  await parts.functions.setConcurrency(name, undefined);
  return emptyReply(204);
}

export async function getFunctionCodeSigningConfig(
  parts: ControlParts,
  request: ControlRequest,
): Promise<Reply> {
  const { name } = namedBy(request);
  await parts.functions.get(name);
  return jsonReply(200, { FunctionName: name });
}

export async function tagResource(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = taggable(request);
  const added = parseTags(request.json);
  const { tags } = await parts.functions.get(name);
  await parts.functions.setTags(name, checkTags({ ...tags, ...added }));
  return emptyReply(204);
}

export async function untagResource(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = taggable(request);
  const keys = new Set(request.query.getAll("tagKeys"));
  if (keys.size === 0) {
    throw new PlatformError(
      "ValidationFailed",
      "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null",
    );
  }
  const { tags } = await parts.functions.get(name);
  await parts.functions.setTags(
    name,
    Object.fromEntries(Object.entries(tags).filter(([key]) => !keys.has(key))),
  );
  return emptyReply(204);
}

export async function listTags(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = taggable(request);
  const { tags } = await parts.functions.get(name);
  return jsonReply(200, { Tags: tags });
}

function taggable(request: ControlRequest): Named {
  const named = namedBy(request);
  if (named.reference.qualifier !== undefined) {
    throw new PlatformError(
      "InvalidRequest",
      "Tags on function aliases and versions are not supported. Please specify a function ARN.",
    );
  }
  return named;
}

const FUNCTIONS_PER_STEP = 500;

async function* eachFunction({ functions }: Pick<ControlParts, "functions">): AsyncGenerator<FunctionRecord> {
  let after: string | undefined;
  for (;;) {
    const page = await functions.list({ after, limit: FUNCTIONS_PER_STEP });
    yield* page;
    if (page.length < FUNCTIONS_PER_STEP) return;
    after = page.at(-1)?.name;
  }
}

/** What AWS gives an account. */
const CONCURRENCY_OF_AWS = 1_000;

/** Limits are AWS's where none is set, of which code sizes hold here too; what is used counts `$LATEST` of each function. */
export async function getAccountSettings(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  let count = 0;
  let bytes = 0;
  let reserved = 0;
  for await (const record of eachFunction(parts)) {
    reserved += record.concurrencyMax ?? 0;
    if (!request.caller.mayUse(record.name)) continue;
    count++;
    bytes += record.latest.code.archiveBytes;
  }
  const concurrency = parts.quotas.concurrencyMax ?? CONCURRENCY_OF_AWS;
  return jsonReply(200, {
    AccountLimit: {
      TotalCodeSize: 80_530_636_800,
      CodeSizeUnzipped: CODE_BYTES_MAX,
      CodeSizeZipped: 52_428_800,
      ConcurrentExecutions: concurrency,
      UnreservedConcurrentExecutions: Math.max(0, concurrency - reserved),
    },
    AccountUsage: { TotalCodeSize: bytes, FunctionCount: count },
  });
}
