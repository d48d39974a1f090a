/** Our words turned into what AWS clients expect. The other direction is wire.ts. */
import type {
  Alias,
  Entry,
  FunctionRecord,
  FunctionUrl,
  ImageOverrides,
  LayerVersion,
  Logging,
  Version,
} from "../../../core/function.ts";
import { runtimeVersionOf } from "../../../core/runtime-version.ts";
import { keptShape } from "./kept-wire.ts";
import { layerVersionArn } from "./layer-names.ts";
import { type Account, functionArn } from "./names.ts";

/**
 * When a configuration is shown. AWS answers a change with the state it is in then, although clients that poll find
 * the end of it at once; lists leave states out.
 */
export type Moment = "creating" | "updating" | "settled" | "listed";

const STATES: Readonly<Record<Moment, Readonly<Record<string, string>>>> = {
  creating: {
    State: "Pending",
    StateReason: "The function is being created.",
    StateReasonCode: "Creating",
  },
  updating: {
    State: "Active",
    LastUpdateStatus: "InProgress",
    LastUpdateStatusReason: "The function is being created.",
    LastUpdateStatusReasonCode: "Creating",
  },
  settled: { State: "Active", LastUpdateStatus: "Successful" },
  listed: {},
};

/** `qualifier` is what the ARN ends in: what the caller asked for, or the number of a version. */
export function functionConfiguration(
  version: Version,
  account: Account,
  shown: { readonly qualifier: string | undefined; readonly moment: Moment },
): Record<string, unknown> {
  const { config, code } = version;
  return {
    FunctionName: version.functionName,
    FunctionArn: functionArn(account, version.functionName, shown.qualifier),
    // An image brings both.
    ...(!code.image && { Runtime: config.runtime, Handler: handlerText(config.entry) }),
    Role: config.role,
    CodeSize: code.image ? 0 : code.archiveBytes,
    Description: config.description,
    Timeout: Math.ceil(config.timeoutMs / 1000),
    MemorySize: config.memoryMib,
    LastModified: lastModified(version.modifiedAt),
    CodeSha256: code.image ? code.image.id.replace("sha256:", "") : code.archiveSha256,
    Version: version.label,
    ...(Object.keys(config.environment).length > 0 && { Environment: { Variables: config.environment } }),
    ...keptShape(config.kept),
    RevisionId: version.revisionId,
    ...STATES[shown.moment],
    PackageType: code.image ? "Image" : "Zip",
    ...(code.image?.overrides && { ImageConfigResponse: { ImageConfig: imageConfig(code.image.overrides) } }),
    Architectures: [config.architecture],
    EphemeralStorage: { Size: config.tmpMib },
    SnapStart: { ApplyOn: "None", OptimizationStatus: "Off" },
    ...(config.layers.length > 0 && {
      Layers: config.layers.map(({ arn, code }) => ({ Arn: arn, CodeSize: code.archiveBytes })),
    }),
    ...(!code.image &&
      shown.moment !== "listed" && {
        RuntimeVersionConfig: { RuntimeVersionArn: runtimeVersionOf(config.runtime, account.region).arn },
      }),
    LoggingConfig: loggingShape(config.logging, version.functionName),
  };
}

function imageConfig({ entryPoint, command, workingDir }: ImageOverrides): Record<string, unknown> {
  return {
    ...(entryPoint && { EntryPoint: entryPoint }),
    ...(command && { Command: command }),
    ...(workingDir !== undefined && { WorkingDirectory: workingDir }),
  };
}

/** `Code` of a function whose code is an image; undefined for others. */
export function imageLocation({ code: { image } }: Version): Record<string, unknown> | undefined {
  if (!image) return undefined;
  return { RepositoryType: "ECR", ImageUri: image.source || image.id, ResolvedImageUri: image.id };
}

function loggingShape(logging: Logging, functionName: string): Record<string, unknown> {
  const { format, applicationLevel, systemLevel, group } = logging;
  return {
    LogFormat: format,
    ...(applicationLevel !== undefined && { ApplicationLogLevel: applicationLevel }),
    ...(systemLevel !== undefined && { SystemLogLevel: systemLevel }),
    LogGroup: group ?? `/aws/lambda/${functionName}`,
  };
}

export function layerVersionShape(layer: LayerVersion, account: Account): Record<string, unknown> {
  return {
    LayerVersionArn: layerVersionArn(account, layer.layerName, layer.number),
    Version: layer.number,
    Description: layer.description,
    CreatedDate: lastModified(layer.createdAt),
    CompatibleRuntimes: layer.compatibleRuntimes,
    ...(layer.compatibleArchitectures.length > 0 && {
      CompatibleArchitectures: layer.compatibleArchitectures,
    }),
    ...(layer.license !== undefined && { LicenseInfo: layer.license }),
  };
}

/** `Handler` of functions that are no handlers: the module or program; AWS allows no spaces there, so no arguments. */
export function handlerText(entry: Entry): string {
  switch (entry.kind) {
    case "handler":
      return entry.handler;
    case "lifecycle":
      return entry.module;
    case "server":
    case "filter":
      return entry.command[0];
  }
}

export function aliasShape(alias: Alias, record: FunctionRecord, account: Account): Record<string, unknown> {
  return {
    AliasArn: functionArn(account, record.name, alias.name),
    Name: alias.name,
    FunctionVersion: alias.version,
    Description: alias.description,
    ...(alias.split && {
      RoutingConfig: { AdditionalVersionWeights: { [alias.split.version]: alias.split.weight } },
    }),
    RevisionId: alias.revisionId,
  };
}

export function urlShape(
  url: FunctionUrl,
  record: FunctionRecord,
  account: Account,
  address: string,
): Record<string, unknown> {
  return {
    FunctionUrl: address,
    FunctionArn: functionArn(account, record.name, url.qualifier),
    AuthType: url.authType,
    ...(url.cors && { Cors: url.cors }),
    CreationTime: new Date(url.createdAt).toISOString(),
    LastModifiedTime: new Date(url.modifiedAt).toISOString(),
    InvokeMode: url.invokeMode,
  };
}

/** `2025-11-25T02:26:50.123+0000` */
export function lastModified(at: number): string {
  return new Date(at).toISOString().replace("Z", "+0000");
}
