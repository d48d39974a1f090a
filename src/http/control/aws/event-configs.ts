/** The operations on what a function asks for its events: retries, age, and who is told of their end. */
import { PlatformError } from "../../../core/errors.ts";
import type { Destination, EventInvokeConfig } from "../../../core/event.ts";
import type { FunctionName } from "../../../core/ids.ts";
import type { ControlParts } from "../parts.ts";
import { type ControlRequest, emptyReply, jsonReply, type Reply } from "../route.ts";
import { type EventConfigChange, parseEventConfig } from "./event-config-wire.ts";
import { namedBy } from "./lookup.ts";
import { type Account, functionArn } from "./names.ts";
import { pageOf } from "./paging.ts";
import { parsePage } from "./wire.ts";

const CONFIGS_PER_PAGE = 50;

export async function putEventConfig(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = addressed(request);
  const made = configOf(parts, qualifier, parseEventConfig(request.json, name, parts));
  await parts.functions.setEventInvokeConfig(name, made);
  return jsonReply(200, configShape(parts, name, made));
}

/** What the request leaves out stays as it was; without a configuration yet, it makes one. */
export async function updateEventConfig(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = addressed(request);
  const change = parseEventConfig(request.json, name, parts);
  const known = await findConfig(parts, name, qualifier);
  const made = configOf(parts, qualifier, {
    retriesMax: change.retriesMax ?? known?.retriesMax,
    eventAgeMsMax: change.eventAgeMsMax ?? known?.eventAgeMsMax,
    onSuccess: change.onSuccess === undefined ? known?.onSuccess : change.onSuccess,
    onFailure: change.onFailure === undefined ? known?.onFailure : change.onFailure,
  });
  await parts.functions.setEventInvokeConfig(name, made);
  return jsonReply(200, configShape(parts, name, made));
}

export async function getEventConfig(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = addressed(request);
  const known = await findConfig(parts, name, qualifier);
  if (!known) throw notConfigured(parts, name, qualifier);
  return jsonReply(200, configShape(parts, name, known));
}

export async function deleteEventConfig(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name, qualifier } = addressed(request);
  if (!(await findConfig(parts, name, qualifier))) throw notConfigured(parts, name, qualifier);
  await parts.functions.removeEventInvokeConfig(name, qualifier);
  return emptyReply(204);
}

export async function listEventConfigs(parts: ControlParts, request: ControlRequest): Promise<Reply> {
  const { name } = namedBy(request);
  const { marker, itemsMax } = parsePage(request.query);
  const { eventInvokeConfigs } = await parts.functions.get(name);
  const page = { marker, itemsMax: Math.min(itemsMax ?? CONFIGS_PER_PAGE, CONFIGS_PER_PAGE) };
  const { items, next } = pageOf(eventInvokeConfigs, page, ({ qualifier }) => qualifier ?? "$LATEST");
  const shapes = items.map((config) => configShape(parts, name, config));
  return jsonReply(200, { FunctionEventInvokeConfigs: shapes, ...next });
}

/** Events that name no qualifier and those that name `$LATEST` are the same. */
function addressed(request: ControlRequest): {
  readonly name: FunctionName;
  readonly qualifier: string | undefined;
} {
  const { name, qualifier } = namedBy(request);
  return { name, qualifier: qualifier === "$LATEST" ? undefined : qualifier };
}

async function findConfig(
  parts: ControlParts,
  name: FunctionName,
  qualifier: string | undefined,
): Promise<EventInvokeConfig | undefined> {
  const { eventInvokeConfigs } = await parts.functions.get(name);
  return eventInvokeConfigs.find((config) => config.qualifier === qualifier);
}

function configOf(
  parts: ControlParts,
  qualifier: string | undefined,
  change: EventConfigChange,
): EventInvokeConfig {
  return {
    qualifier,
    retriesMax: change.retriesMax,
    eventAgeMsMax: change.eventAgeMsMax,
    onSuccess: change.onSuccess ?? undefined,
    onFailure: change.onFailure ?? undefined,
    modifiedAt: parts.clock.now(),
  };
}

function configShape(
  parts: ControlParts,
  name: FunctionName,
  config: EventInvokeConfig,
): Record<string, unknown> {
  return {
    LastModified: config.modifiedAt / 1_000,
    FunctionArn: functionArn(parts, name, config.qualifier ?? "$LATEST"),
    ...(config.retriesMax !== undefined && { MaximumRetryAttempts: config.retriesMax }),
    ...(config.eventAgeMsMax !== undefined && { MaximumEventAgeInSeconds: config.eventAgeMsMax / 1_000 }),
    DestinationConfig: {
      OnSuccess: destinationShape(parts, config.onSuccess),
      OnFailure: destinationShape(parts, config.onFailure),
    },
  };
}

export function destinationShape(
  parts: Account,
  destination: Destination | undefined,
): Record<string, unknown> {
  switch (destination?.kind) {
    case undefined:
      return {};
    case "url":
      return { Destination: destination.url };
    case "function":
      return { Destination: functionArn(parts, destination.functionName, destination.qualifier) };
  }
}

function notConfigured(
  parts: ControlParts,
  name: FunctionName,
  qualifier: string | undefined,
): PlatformError {
  const arn = functionArn(parts, name, qualifier ?? "$LATEST");
  return new PlatformError("ResourceNotFound", `The function ${arn} doesn't have an EventInvokeConfig`);
}
