/**
 * The operations on event source mappings: https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html
 * A change is answered with the state that it leads through, and made by whoever polls soon after.
 */
import { isPlatformError, PlatformError } from "../../../core/errors.ts";
import { parseSourceId, type SourceId } from "../../../core/ids.ts";
import { isOfLiveRelease } from "../../../core/project.ts";
import { originArn, type Source, type SourceStatus } from "../../../core/source.ts";
import type { SourceBook } from "../../../registry/source-book.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, type Handler, jsonReply, type Reply } from "../route.ts";
import { destinationShape } from "./event-configs.ts";
import { type Account, functionArn, parseFunctionReference } from "./names.ts";
import { decodeMarker, encodeMarker } from "./paging.ts";
import { parseCreateMapping, parseUpdateMapping } from "./source-wire.ts";
import { checkTags, parsePage, parseTags } from "./wire.ts";

export type MappingOperation =
  | "CreateEventSourceMapping"
  | "GetEventSourceMapping"
  | "ListEventSourceMappings"
  | "UpdateEventSourceMapping"
  | "DeleteEventSourceMapping";

/** Tags are on several kinds of things. */
export interface MappingHandlers {
  readonly operations: Readonly<Record<MappingOperation, Handler>>;
  /** The handlers for `TagResource`, `UntagResource`, `ListTags` of a mapping. */
  readonly tags: {
    readonly set: Handler;
    readonly remove: Handler;
    readonly list: Handler;
  };
}

const BATCH_DEFAULT = 10;
const MAPPINGS_PER_PAGE = 100;
const RULES = { hidesForTimeout: true };
const NOT_FOUND = "The resource you requested does not exist.";

export function mappingHandlers(
  parts: Pick<ControlParts, "account" | "region" | "sourceWork">,
  book: SourceBook,
): MappingHandlers {
  /** The mapping, if the key is good for its function. */
  async function getOwn(request: ControlRequest, id: SourceId | undefined): Promise<Source> {
    if (!id) throw new PlatformError("ResourceNotFound", NOT_FOUND);
    const source = await book.get(id).catch(inAwsWords);
    refuseOthers(parts, request, source.functionName);
    return source;
  }
  const named = (request: ControlRequest) => getOwn(request, parseSourceId(request.params.UUID ?? ""));
  const tagged = (request: ControlRequest) => getOwn(request, mappingIn(request.params.Resource ?? ""));
  const show = (source: Source) => mappingShape(parts, source, stateOf(source, parts.sourceWork));
  const accepted = (source: Source, State: string): Reply =>
    jsonReply(202, { ...mappingShape(parts, source, undefined), State });

  return {
    operations: {
      async CreateEventSourceMapping(request) {
        const { functionName, origin, change, tags } = parseCreateMapping(request.json, parts);
        const target = functionIn(functionName, parts);
        const wanted = {
          ...target,
          origin,
          batchMax: BATCH_DEFAULT,
          windowMs: 0,
          concurrencyMax: undefined,
          reportsFailures: false,
          filters: [],
          onFailure: undefined,
          isPaused: false,
          ...change,
          tags,
        };
        return accepted(await book.create(wanted, RULES).catch(inAwsWords), "Creating");
      },
      GetEventSourceMapping: async (request) => jsonReply(200, show(await named(request))),
      async ListEventSourceMappings({ query, caller }) {
        const { marker, itemsMax } = parsePage(query);
        const wantedArn = query.get("EventSourceArn");
        const asked = query.get("FunctionName");
        const target = asked === null ? undefined : functionIn(asked, parts);
        const limit = Math.min(itemsMax ?? MAPPINGS_PER_PAGE, MAPPINGS_PER_PAGE);
        const found: Source[] = [];
        let after = decodeMarker(marker);
        // One more than asked for tells whether there is a next page.
        while (found.length <= limit) {
          const page = await book.list({ functionName: target?.functionName, after, limit: limit + 1 });
          const isWanted = (source: Source) =>
            caller.mayUse(source.functionName) &&
            (target?.qualifier === undefined || target.qualifier === source.qualifier) &&
            (wantedArn === null || wantedArn === originArn(source.origin, parts));
          found.push(...page.filter(isWanted));
          after = page.at(-1)?.id;
          if (page.length <= limit) break;
        }
        const shown = found.slice(0, limit);
        const last = shown.at(-1);
        return jsonReply(200, {
          EventSourceMappings: shown.map(show),
          ...(last && found.length > limit && { NextMarker: encodeMarker(last.id) }),
        });
      },
      async UpdateEventSourceMapping(request) {
        const source = await named(request);
        const { functionName, change } = parseUpdateMapping(request.json);
        const target = functionName === undefined ? undefined : functionIn(functionName, parts);
        if (target) refuseOthers(parts, request, target.functionName);
        const made = await book.update(source.id, { ...target, ...change }, RULES).catch(inAwsWords);
        return accepted(made, "Updating");
      },
      async DeleteEventSourceMapping(request) {
        const { id } = await named(request);
        return accepted(await book.remove(id).catch(inAwsWords), "Deleting");
      },
    },
    tags: {
      async set(request) {
        const { id, tags } = await tagged(request);
        await book.update(id, { tags: checkTags({ ...tags, ...parseTags(request.json) }) }, RULES);
        return emptyReply(204);
      },
      async remove(request) {
        const { id, tags } = await tagged(request);
        const keys = new Set(request.query.getAll("tagKeys"));
        const left = Object.entries(tags).filter(([key]) => !keys.has(key));
        await book.update(id, { tags: Object.fromEntries(left) }, RULES);
        return emptyReply(204);
      },
      list: async (request) => jsonReply(200, { Tags: (await tagged(request)).tags }),
    },
  };
}

/** The mapping that an ARN names. */
export function mappingIn(arn: string): SourceId | undefined {
  const id = /^arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:event-source-mapping:([0-9a-fA-F-]{36})$/.exec(
    arn,
  )?.[1];
  return id === undefined ? undefined : parseSourceId(id);
}

/** @throws PlatformError as `parseFunctionReference`; `InvalidRequest` in AWS's words if there can be no such function. */
function functionIn(text: string, own: Account) {
  const { name, qualifier } = parseFunctionReference(text, own);
  if (!name) throw new PlatformError("InvalidRequest", "Function does not exist");
  return { functionName: name, qualifier };
}

function refuseOthers(own: Account, { caller, route }: ControlRequest, functionName: string): void {
  if (caller.mayUse(functionName)) return;
  throw new PlatformError(
    "Forbidden",
    `key ${caller.key?.id} is not authorized to perform ${route.name} on ${functionArn(own, functionName)}`,
  );
}

function inAwsWords(error: unknown): never {
  if (isPlatformError(error, "ResourceNotFound")) {
    throw new PlatformError("ResourceNotFound", NOT_FOUND, { cause: error });
  }
  if (isPlatformError(error, "FunctionNotFound")) {
    throw new PlatformError("InvalidRequest", "Function does not exist", { cause: error });
  }
  throw error;
}

interface MappingState {
  readonly text: string;
  readonly status: SourceStatus | undefined;
}

function stateOf(source: Source, work: Pick<ControlParts["sourceWork"], "status">): MappingState {
  const status = work.status(source.id);
  return { text: stateText(source, status), status };
}

/** AWS's words. A mapping that has trouble with its queue is enabled; `LastProcessingResult` tells of the trouble. */
function stateText(source: Source, status: SourceStatus | undefined): string {
  const isOff = source.isPaused || !isOfLiveRelease(source);
  switch (status?.activity) {
    case "polling":
    case "waiting":
      // It was polled under settings that are no longer these.
      return isOff ? "Disabling" : "Enabled";
    case "stopping":
      return isOff ? "Disabling" : "Updating";
    case "starting":
    case "stopped":
    case undefined:
      if (isOff) return "Disabled";
      return source.generation === 1 ? "Creating" : "Updating";
  }
}

function mappingShape(
  own: Account,
  source: Source,
  state: MappingState | undefined,
): Record<string, unknown> {
  const { id, origin, concurrencyMax, filters, onFailure } = source;
  const attemptsMax = origin.kind === "nats" ? origin.attemptsMax : undefined;
  return {
    UUID: id,
    BatchSize: source.batchMax,
    MaximumBatchingWindowInSeconds: source.windowMs / 1_000,
    EventSourceArn: originArn(origin, own),
    ...(filters.length > 0 && { FilterCriteria: { Filters: filters.map((Pattern) => ({ Pattern })) } }),
    FunctionArn: functionArn(own, source.functionName, source.qualifier),
    LastModified: source.modifiedAt / 1_000,
    ...(state && { State: state.text }),
    ...(state?.status?.lastResult && { LastProcessingResult: state.status.lastResult.text }),
    StateTransitionReason: "USER_INITIATED",
    ...(onFailure && { DestinationConfig: { OnFailure: destinationShape(own, onFailure) } }),
    ...(attemptsMax !== undefined && { MaximumRetryAttempts: attemptsMax - 1 }),
    FunctionResponseTypes: source.reportsFailures ? ["ReportBatchItemFailures"] : [],
    ...(concurrencyMax !== undefined && { ScalingConfig: { MaximumConcurrency: concurrencyMax } }),
    EventSourceMappingArn: `arn:aws:lambda:${own.region}:${own.account}:event-source-mapping:${id}`,
  };
}
