/** What AWS clients send, turned into our words. AWS's spelling, units and defaults stop at this file. */
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";
import type { Architecture, Logging, VersionLabel } from "../../../core/function.ts";
import {
  MEMORY_MIB_MAX,
  MEMORY_MIB_MIN,
  TIMEOUT_MS_MAX,
  TMP_MIB_DEFAULT,
  TMP_MIB_MAX,
} from "../../../core/limits.ts";
import { checkEnvironment } from "../environment-rules.ts";
import { type KeptChange, KeptConfiguration, keptChange } from "./kept-wire.ts";
import { LAYER_VERSION_ARN } from "./layer-names.ts";
import { refuseCodeSource, refuseUnsupported, unsupported } from "./refusals.ts";
import { checkCompatibleRuntimes, checkRuntimeName } from "./runtime-names.ts";
import { oneOf, optional, parse, stringMap, text, whole } from "./validation.ts";

const ROLE = "arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+";
const ALIAS_NAME = "(?!^[0-9]+$)([a-zA-Z0-9-_]+)";
const VERSION = "\\$LATEST|[0-9]+";
const ZIP_BYTES_MAX = 52_428_800;

const Configuration = {
  Role: optional(text({ pattern: ROLE })),
  Runtime: optional(z.string()),
  Handler: optional(text({ max: 128, pattern: "[^\\s]+" })),
  Description: optional(text({ max: 256 })),
  Timeout: optional(whole(1, TIMEOUT_MS_MAX / 1000)),
  MemorySize: optional(whole(MEMORY_MIB_MIN, MEMORY_MIB_MAX)),
  Environment: optional(z.object({ Variables: optional(stringMap("[a-zA-Z]([a-zA-Z0-9_])+")) })),
  EphemeralStorage: optional(z.object({ Size: whole(TMP_MIB_DEFAULT, TMP_MIB_MAX) })),
  Layers: optional(z.array(text({ min: 1, max: 2_048, pattern: LAYER_VERSION_ARN }))),
  LoggingConfig: optional(
    z.object({
      LogFormat: optional(oneOf(["JSON", "Text"])),
      ApplicationLogLevel: optional(oneOf(["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"])),
      SystemLogLevel: optional(oneOf(["DEBUG", "INFO", "WARN"])),
      LogGroup: optional(text({ min: 1, max: 512, pattern: "[\\.\\-_/#A-Za-z0-9]+" })),
    }),
  ),
  ...KeptConfiguration,
};

export const Architectures = optional(
  z.array(oneOf(["x86_64", "arm64"])).length(1, "Member must have length equal to 1"),
);

/** The part of it that does not depend on what the code is; image-wire.ts has its own `Code`. */
export const CreateFunctionRequest = z.object({
  ...Configuration,
  FunctionName: text({ min: 1, max: 140 }),
  Role: text({ pattern: ROLE }),
  Code: z.object({ ZipFile: optional(z.string()) }),
  PackageType: optional(oneOf(["Zip", "Image"])),
  Architectures,
  Publish: optional(z.boolean()),
  Tags: optional(stringMap(undefined)),
});

/** What a request sets; what it leaves out is undefined. */
export interface ConfigurationChange {
  readonly role: string | undefined;
  readonly runtime: string | undefined;
  readonly handler: string | undefined;
  readonly description: string | undefined;
  readonly timeoutMs: number | undefined;
  readonly memoryMib: number | undefined;
  readonly tmpMib: number | undefined;
  readonly environment: Readonly<Record<string, string>> | undefined;
  /** ARNs of layer versions. */
  readonly layers: readonly string[] | undefined;
  readonly logging: LoggingChange | undefined;
  readonly kept: KeptChange;
}

/** Members left out are undefined. */
export type LoggingChange = Partial<{ readonly [Member in keyof Logging]: Logging[Member] | undefined }>;

export interface FunctionCreation {
  readonly configuration: ConfigurationChange & {
    readonly role: string;
    readonly runtime: string;
    readonly handler: string;
  };
  readonly zip: Buffer;
  readonly publish: boolean;
  readonly tags: Readonly<Record<string, string>>;
}

/** The architecture of this host: code for another would be accepted and then not start. */
export interface Host {
  readonly architecture: Architecture;
}

export function parseCreateFunction(body: unknown, functionName: string, host: Host): FunctionCreation {
  const request = parse(CreateFunctionRequest, body);
  refuseUnsupported(body, functionName);
  refuseCodeSource(Reflect.get(Object(body), "Code"));
  checkArchitecture(request.Architectures, host);
  const { Runtime, Handler } = request;
  if (Runtime === undefined || Handler === undefined) {
    throw new PlatformError(
      "InvalidRequest",
      "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
    );
  }
  if (request.Code.ZipFile === undefined) {
    throw new PlatformError("InvalidRequest", "Please provide a source for function code.");
  }
  return {
    configuration: { ...configurationOf(request), role: request.Role, runtime: Runtime, handler: Handler },
    zip: decodeZip(request.Code.ZipFile),
    publish: request.Publish ?? false,
    tags: checkTags(request.Tags ?? {}),
  };
}

const UpdateFunctionConfigurationRequest = z.object({ ...Configuration, RevisionId: optional(z.string()) });

export function parseUpdateConfiguration(
  body: unknown,
  functionName: string,
): ConfigurationChange & { readonly ifRevision: string | undefined } {
  const request = parse(UpdateFunctionConfigurationRequest, body);
  refuseUnsupported(body, functionName);
  return { ...configurationOf(request), ifRevision: request.RevisionId };
}

const UpdateFunctionCodeRequest = z.object({
  ZipFile: optional(z.string()),
  Architectures,
  Publish: optional(z.boolean()),
  DryRun: optional(z.boolean()),
  RevisionId: optional(z.string()),
});

export interface CodeUpdate {
  readonly zip: Buffer;
  readonly publish: boolean;
  readonly isDryRun: boolean;
  readonly ifRevision: string | undefined;
}

export function parseUpdateCode(body: unknown, functionName: string, host: Host): CodeUpdate {
  const request = parse(UpdateFunctionCodeRequest, body);
  refuseUnsupported(body, functionName);
  if (Reflect.get(Object(body), "ImageUri")) {
    throw new PlatformError(
      "UnsupportedMember",
      "Please don't provide ImageUri when updating a function with packageType Zip.",
    );
  }
  refuseCodeSource(body);
  checkArchitecture(request.Architectures, host);
  if (request.ZipFile === undefined) {
    throw new PlatformError("InvalidRequest", "Please provide a source for function code.");
  }
  return {
    zip: decodeZip(request.ZipFile),
    publish: request.Publish ?? false,
    isDryRun: request.DryRun ?? false,
    ifRevision: request.RevisionId,
  };
}

const PublishLayerRequest = z.object({
  Content: z.object({ ZipFile: optional(z.string()) }),
  Description: optional(text({ max: 256 })),
  LicenseInfo: optional(text({ max: 512 })),
  CompatibleRuntimes: optional(
    z.array(z.string()).max(15, "Member must have length less than or equal to 15"),
  ),
  CompatibleArchitectures: optional(
    z.array(oneOf(["x86_64", "arm64"])).max(2, "Member must have length less than or equal to 2"),
  ),
});

export function parsePublishLayer(body: unknown): {
  readonly zip: Buffer;
  readonly description: string;
  readonly license: string | undefined;
  readonly compatibleRuntimes: readonly string[];
  readonly compatibleArchitectures: readonly string[];
} {
  const request = parse(PublishLayerRequest, body);
  refuseCodeSource(Reflect.get(Object(body), "Content"));
  checkCompatibleRuntimes(request.CompatibleRuntimes ?? []);
  if (request.Content.ZipFile === undefined) {
    throw new PlatformError("InvalidRequest", "Please provide a source for layer content.");
  }
  return {
    zip: decodeZip(request.Content.ZipFile),
    description: request.Description ?? "",
    license: request.LicenseInfo,
    compatibleRuntimes: request.CompatibleRuntimes ?? [],
    compatibleArchitectures: request.CompatibleArchitectures ?? [],
  };
}

export interface LayerFilter {
  readonly runtime: string | undefined;
  readonly architecture: string | undefined;
}

/** @throws PlatformError `ValidationFailed`. */
export function parseLayerFilter(query: URLSearchParams): LayerFilter {
  const runtime = query.get("CompatibleRuntime") ?? undefined;
  if (runtime !== undefined) checkCompatibleRuntimes([runtime]);
  const Filter = z.object({ CompatibleArchitecture: optional(oneOf(["x86_64", "arm64"])) });
  const asked = query.get("CompatibleArchitecture");
  const { CompatibleArchitecture } = parse(Filter, { CompatibleArchitecture: asked });
  return { runtime, architecture: CompatibleArchitecture };
}

const PublishVersionRequest = z.object({
  CodeSha256: optional(z.string()),
  Description: optional(text({ max: 256 })),
  RevisionId: optional(z.string()),
});

export function parsePublishVersion(body: unknown): {
  readonly description: string | undefined;
  readonly ifRevision: string | undefined;
  readonly ifArchiveSha256: string | undefined;
} {
  const request = parse(PublishVersionRequest, body);
  refuseUnsupported(body, "");
  return {
    description: request.Description,
    ifRevision: request.RevisionId,
    ifArchiveSha256: request.CodeSha256,
  };
}

const RoutingConfig = optional(
  z.object({ AdditionalVersionWeights: optional(z.record(z.string(), z.number())) }),
);

const AliasMembers = {
  Description: optional(text({ max: 256 })),
  RoutingConfig,
};

const CreateAliasRequest = z.object({
  ...AliasMembers,
  Name: text({ min: 1, max: 128, pattern: ALIAS_NAME }),
  FunctionVersion: text({ min: 1, max: 1024, pattern: VERSION }),
});

const UpdateAliasRequest = z.object({
  ...AliasMembers,
  FunctionVersion: optional(text({ min: 1, max: 1024, pattern: VERSION })),
  RevisionId: optional(z.string()),
});

/** The second version of an alias: none (`undefined`), or one with its share. */
export type Split = { readonly version: VersionLabel; readonly weight: number } | undefined;

export function parseCreateAlias(body: unknown): {
  readonly name: string;
  readonly version: VersionLabel;
  readonly description: string;
  readonly split: Split;
} {
  const request = parse(CreateAliasRequest, body);
  return {
    name: request.Name,
    version: versionLabel(request.FunctionVersion),
    description: request.Description ?? "",
    split: splitOf(request.RoutingConfig?.AdditionalVersionWeights ?? {}),
  };
}

/** `split` is in the result only if the request says something about it. */
export function parseUpdateAlias(body: unknown): {
  readonly version?: VersionLabel;
  readonly description?: string;
  readonly split?: Split;
  readonly ifRevision?: string | undefined;
} {
  const request = parse(UpdateAliasRequest, body);
  return {
    ...(request.FunctionVersion !== undefined && { version: versionLabel(request.FunctionVersion) }),
    ...(request.Description !== undefined && { description: request.Description }),
    ...(request.RoutingConfig && { split: splitOf(request.RoutingConfig.AdditionalVersionWeights ?? {}) }),
    ifRevision: request.RevisionId,
  };
}

const Origins = optional(
  z.array(text({ min: 1, max: 253 })).max(100, "Member must have length less than or equal to 100"),
);
const HeaderNames = optional(
  z.array(text({ min: 1, max: 1024 })).max(100, "Member must have length less than or equal to 100"),
);

const Cors = optional(
  z.object({
    AllowCredentials: optional(z.boolean()),
    AllowHeaders: HeaderNames,
    AllowMethods: optional(
      z
        .array(oneOf(["GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*"]))
        .max(6, "Member must have length less than or equal to 6"),
    ),
    AllowOrigins: Origins,
    ExposeHeaders: HeaderNames,
    MaxAge: optional(whole(0, 86_400)),
  }),
);

const UrlMembers = { Cors, InvokeMode: optional(oneOf(["BUFFERED", "RESPONSE_STREAM"])) };
const AuthType = oneOf(["NONE", "AWS_IAM"]);
const CreateUrlRequest = z.object({ ...UrlMembers, AuthType });
const UpdateUrlRequest = z.object({ ...UrlMembers, AuthType: optional(AuthType) });

export interface UrlChange {
  readonly authType: "NONE" | "AWS_IAM" | undefined;
  readonly invokeMode: "BUFFERED" | "RESPONSE_STREAM" | undefined;
  /** In AWS's spelling, as it is kept and shown; members left out are not there. */
  readonly cors: Readonly<Record<string, unknown>> | undefined;
}

export function parseCreateUrl(body: unknown): UrlChange & { readonly authType: "NONE" | "AWS_IAM" } {
  const request = parse(CreateUrlRequest, body);
  return { ...urlChange(request), authType: request.AuthType };
}

export function parseUpdateUrl(body: unknown): UrlChange {
  const request = parse(UpdateUrlRequest, body);
  return { ...urlChange(request), authType: request.AuthType };
}

function urlChange(request: z.output<typeof UpdateUrlRequest>): UrlChange {
  const cors = request.Cors;
  return {
    authType: request.AuthType,
    invokeMode: request.InvokeMode,
    cors: cors && Object.fromEntries(Object.entries(cors).filter(([, value]) => value !== undefined)),
  };
}

const PutConcurrencyRequest = z.object({ ReservedConcurrentExecutions: whole(0, 1_000_000) });

export function parsePutConcurrency(body: unknown): number {
  return parse(PutConcurrencyRequest, body).ReservedConcurrentExecutions;
}

const TagsRequest = z.object({ Tags: stringMap(undefined) });

export function parseTags(body: unknown): Readonly<Record<string, string>> {
  return checkTags(parse(TagsRequest, body).Tags);
}

const TAGS_MAX = 50;

/** @throws PlatformError `InvalidRequest` for too many, `ValidationFailed` for a key or value that is too long. */
export function checkTags(tags: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const entries = Object.entries(tags);
  if (entries.length > TAGS_MAX)
    throw new PlatformError("InvalidRequest", "Number of tags exceeds resource tag limit.");
  for (const [key, value] of entries) {
    const isRight = key.length >= 1 && key.length <= 128 && value.length <= 256 && !/^aws:/i.test(key);
    if (!isRight) {
      throw new PlatformError(
        "InvalidRequest",
        `tag ${JSON.stringify(key.slice(0, 128))}: expected 1 to 128 characters that do not begin with aws:, and a value of at most 256`,
      );
    }
  }
  return tags;
}

const Page = z.object({
  MaxItems: optional(whole(1, 10_000)),
  Marker: optional(z.string()),
});

/** `Marker` and `MaxItems` of a list. @throws PlatformError `ValidationFailed`. */
export function parsePage(query: URLSearchParams): {
  readonly marker: string | undefined;
  readonly itemsMax: number | undefined;
} {
  const items = query.get("MaxItems");
  const page = parse(Page, {
    ...(items !== null && { MaxItems: Number(items) }),
    ...(query.has("Marker") && { Marker: query.get("Marker") }),
  });
  return { marker: page.Marker, itemsMax: page.MaxItems };
}

/** @throws PlatformError `ValidationFailed`. */
export function parseVersionFilter(value: string | null): VersionLabel | undefined {
  if (value === null) return undefined;
  return versionLabel(
    parse(z.object({ FunctionVersion: text({ pattern: VERSION }) }), { FunctionVersion: value })
      .FunctionVersion,
  );
}

export function configurationOf(request: {
  readonly Role?: string | undefined;
  readonly Runtime?: string | undefined;
  readonly Handler?: string | undefined;
  readonly Description?: string | undefined;
  readonly Timeout?: number | undefined;
  readonly MemorySize?: number | undefined;
  readonly EphemeralStorage?: { readonly Size: number } | undefined;
  readonly Environment?: { readonly Variables?: Record<string, string> | undefined } | undefined;
  readonly Layers?: readonly string[] | undefined;
  readonly LoggingConfig?: z.output<typeof Configuration.LoggingConfig>;
  readonly VpcConfig?: z.output<typeof Configuration.VpcConfig>;
  readonly KMSKeyArn?: string | undefined;
  readonly TracingConfig?: z.output<typeof Configuration.TracingConfig>;
}): ConfigurationChange {
  if (request.Runtime !== undefined) checkRuntimeName(request.Runtime);
  return {
    role: request.Role,
    runtime: request.Runtime,
    handler: request.Handler,
    description: request.Description,
    timeoutMs: request.Timeout === undefined ? undefined : request.Timeout * 1000,
    memoryMib: request.MemorySize,
    tmpMib: request.EphemeralStorage?.Size,
    environment: request.Environment && checkEnvironment(request.Environment.Variables ?? {}),
    layers: request.Layers,
    logging: request.LoggingConfig && {
      format: request.LoggingConfig.LogFormat,
      applicationLevel: request.LoggingConfig.ApplicationLogLevel,
      systemLevel: request.LoggingConfig.SystemLogLevel,
      group: request.LoggingConfig.LogGroup,
    },
    kept: keptChange(request),
  };
}

/** @throws PlatformError `UnsupportedMember` for code for other machines. */
export function checkArchitecture(architectures: readonly string[] | undefined, host: Host): void {
  const [wanted] = architectures ?? [];
  if (wanted !== undefined && wanted !== host.architecture) {
    throw unsupported(`Architectures [${wanted}]`, `this host is ${host.architecture}`);
  }
}

/** @throws PlatformError `InvalidArchive` with AWS's text for what is not a zip; `PayloadTooLarge`. */
function decodeZip(base64: string): Buffer {
  const zip = Buffer.from(base64, "base64");
  if (zip.length > ZIP_BYTES_MAX) {
    throw new PlatformError("PayloadTooLarge", `Zipped size must be smaller than ${ZIP_BYTES_MAX} bytes`);
  }
  // Node skips what is not base64, so damage shows in the length only. An empty zip has nothing but its end record.
  const isWhole = zip.length === Math.floor((base64.replace(/=+$/, "").length * 3) / 4);
  const signature = zip.subarray(0, 4).toString("latin1");
  if (!isWhole || (signature !== "PK\x03\x04" && signature !== "PK\x05\x06")) {
    throw new PlatformError("InvalidArchive", BAD_ZIP);
  }
  return zip;
}

export const BAD_ZIP = "Could not unzip uploaded file. Please check your file, then try to upload again.";

function splitOf(weights: Readonly<Record<string, number>>): Split {
  const entries = Object.entries(weights);
  const [first] = entries;
  if (!first) return undefined;
  const [version, weight] = first;
  if (entries.length > 1) {
    throw new PlatformError(
      "InvalidRequest",
      "Number of items in AdditionalVersionWeights cannot be greater than 1.",
    );
  }
  if (!/^[0-9]+$/.test(version)) {
    throw new PlatformError(
      "InvalidRequest",
      `AdditionalVersionWeights: expected the number of a version, got '${version}'`,
    );
  }
  if (!(weight >= 0 && weight <= 1)) {
    throw new PlatformError(
      "InvalidRequest",
      `AdditionalVersionWeights: expected a weight from 0 to 1, got ${weight}`,
    );
  }
  return { version: versionLabel(version), weight };
}

/** The text has passed the pattern of versions. Leading zeros would make a second spelling of a number. */
function versionLabel(value: string): VersionLabel {
  return value === "$LATEST" ? "$LATEST" : (`${BigInt(value)}` as VersionLabel);
}
