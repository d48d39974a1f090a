/**
 * What stands behind the routes of the AWS API. Loaded after the listener is up, since the schema library that the
 * requests are checked with takes longer to load than the rest of the daemon.
 */
import { PlatformError } from "../../../core/errors.ts";
import type { CodeLinks } from "../code-links.ts";
import type { ControlParts } from "../parts.ts";
import type { ControlRequest, Handler, Reply } from "../route.ts";
import { ABSENT } from "./absent.ts";
import { inAwsWords, type Subject } from "./errors.ts";
import * as eventConfigs from "./event-configs.ts";
import * as functions from "./functions.ts";
import * as images from "./images.ts";
import { invoke, invokeWithResponseStream } from "./invoke.ts";
import { invokeAsync } from "./invoke-async.ts";
import * as layers from "./layers.ts";
import * as permissions from "./permissions.ts";
import * as provisioned from "./provisioned.ts";
import * as resourcePolicies from "./resource-policies.ts";
import { isAbsent, isSupported, type SupportedOperation } from "./routes.ts";
import * as runtimeSettings from "./runtime-settings.ts";
import * as settings from "./settings.ts";
import { type MappingHandlers, mappingIn } from "./sources.ts";
import * as urls from "./urls.ts";
import * as versions from "./versions.ts";

type Operation = (parts: ControlParts, request: ControlRequest) => Promise<Reply>;

/** The handler of an AWS operation; those that are not supported refuse by name. */
export function awsHandlers(
  parts: ControlParts,
  links: CodeLinks,
  mappings: MappingHandlers,
): (operation: string) => Handler {
  /** Tags are on functions and on mappings. */
  const onEither =
    (ofFunction: Operation, ofMapping: Handler): Operation =>
    (own, request) =>
      mappingIn(request.params.Resource ?? "") ? ofMapping(request) : ofFunction(own, request);
  const { CreateEventSourceMapping, GetEventSourceMapping, ListEventSourceMappings } = mappings.operations;
  const { UpdateEventSourceMapping, DeleteEventSourceMapping } = mappings.operations;
  const operations: Readonly<Record<SupportedOperation, Operation>> = {
    CreateFunction: images.createAnyFunction,
    GetFunction: (own, request) => functions.getFunction(own, links, request),
    GetFunctionConfiguration: functions.getFunctionConfiguration,
    ListFunctions: functions.listFunctions,
    UpdateFunctionCode: images.updateAnyFunctionCode,
    UpdateFunctionConfiguration: images.updateAnyFunctionConfiguration,
    DeleteFunction: functions.deleteFunction,
    Invoke: invoke,
    InvokeWithResponseStream: invokeWithResponseStream,
    PublishVersion: versions.publishVersion,
    ListVersionsByFunction: versions.listVersionsByFunction,
    CreateAlias: versions.createAlias,
    GetAlias: versions.getAlias,
    ListAliases: versions.listAliases,
    UpdateAlias: versions.updateAlias,
    DeleteAlias: versions.deleteAlias,
    GetFunctionCodeSigningConfig: settings.getFunctionCodeSigningConfig,
    CreateFunctionUrlConfig: urls.createFunctionUrlConfig,
    GetFunctionUrlConfig: urls.getFunctionUrlConfig,
    UpdateFunctionUrlConfig: urls.updateFunctionUrlConfig,
    DeleteFunctionUrlConfig: urls.deleteFunctionUrlConfig,
    ListFunctionUrlConfigs: urls.listFunctionUrlConfigs,
    PutFunctionConcurrency: settings.putFunctionConcurrency,
    GetFunctionConcurrency: settings.getFunctionConcurrency,
    DeleteFunctionConcurrency: settings.deleteFunctionConcurrency,
    TagResource: onEither(settings.tagResource, mappings.tags.set),
    UntagResource: onEither(settings.untagResource, mappings.tags.remove),
    ListTags: onEither(settings.listTags, mappings.tags.list),
    GetAccountSettings: settings.getAccountSettings,
    PublishLayerVersion: (own, request) => layers.publishLayerVersion(own, links, request),
    GetLayerVersion: (own, request) => layers.getLayerVersion(own, links, request),
    GetLayerVersionByArn: (own, request) => layers.getLayerVersionByArn(own, links, request),
    ListLayerVersions: layers.listLayerVersions,
    ListLayers: layers.listLayers,
    DeleteLayerVersion: layers.deleteLayerVersion,
    AddPermission: permissions.addPermission,
    GetPolicy: permissions.getPolicy,
    RemovePermission: permissions.removePermission,
    PutProvisionedConcurrencyConfig: provisioned.putProvisioned,
    GetProvisionedConcurrencyConfig: provisioned.getProvisioned,
    ListProvisionedConcurrencyConfigs: provisioned.listProvisioned,
    DeleteProvisionedConcurrencyConfig: provisioned.deleteProvisioned,
    GetRuntimeManagementConfig: runtimeSettings.getRuntimeManagement,
    PutRuntimeManagementConfig: runtimeSettings.putRuntimeManagement,
    GetFunctionRecursionConfig: runtimeSettings.getRecursion,
    PutFunctionRecursionConfig: runtimeSettings.putRecursion,
    InvokeAsync: invokeAsync,
    PutFunctionEventInvokeConfig: eventConfigs.putEventConfig,
    UpdateFunctionEventInvokeConfig: eventConfigs.updateEventConfig,
    GetFunctionEventInvokeConfig: eventConfigs.getEventConfig,
    DeleteFunctionEventInvokeConfig: eventConfigs.deleteEventConfig,
    ListFunctionEventInvokeConfigs: eventConfigs.listEventConfigs,
    CreateEventSourceMapping: (_, request) => CreateEventSourceMapping(request),
    GetEventSourceMapping: (_, request) => GetEventSourceMapping(request),
    ListEventSourceMappings: (_, request) => ListEventSourceMappings(request),
    UpdateEventSourceMapping: (_, request) => UpdateEventSourceMapping(request),
    DeleteEventSourceMapping: (_, request) => DeleteEventSourceMapping(request),
    GetResourcePolicy: resourcePolicies.getResourcePolicy,
    PutResourcePolicy: resourcePolicies.putResourcePolicy,
    DeleteResourcePolicy: resourcePolicies.deleteResourcePolicy,
  };

  return (operation) => {
    const perform = isSupported(operation)
      ? operations[operation]
      : isAbsent(operation)
        ? ABSENT[operation]
        : undefined;
    if (!perform || !(isSupported(operation) || isAbsent(operation))) {
      return async () => {
        throw new PlatformError("RouteNotFound", `${operation} is not supported yet by lambdad`);
      };
    }
    return async (request) => {
      try {
        return await perform(parts, request);
      } catch (error) {
        throw inAwsWords(error, operation, subjectOf(request));
      }
    };
  };
}

/** What a request was about, as far as it says; only texts are made of it. */
function subjectOf(request: ControlRequest): Subject {
  const { reference, params, query, json } = request;
  return {
    name: reference?.text ?? "",
    arn: reference?.arn ?? "",
    qualifier: reference?.qualifier ?? query.get("Qualifier") ?? undefined,
    alias: params.Name ?? textMember(json, "Name"),
    version: textMember(json, "FunctionVersion"),
  };
}

function textMember(json: unknown, name: string): string | undefined {
  const value: unknown = typeof json === "object" && json !== null ? Reflect.get(json, name) : undefined;
  return typeof value === "string" ? value : undefined;
}
