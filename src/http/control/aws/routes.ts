/**
 * The 88 operations of the AWS Lambda API (as of `@aws-sdk/client-lambda` 3.1162) as one table. Those that are not
 * supported are known by name, so that the refusal can say what was asked for; docs/compatibility.md has a row each.
 */
import { PAYLOAD_BYTES_MAX } from "../../../core/limits.ts";
import type { Scope } from "../../../store/store.ts";
import type { BodyRule, Route } from "../route.ts";

type Method = "GET" | "POST" | "PUT" | "DELETE";

interface Operation<Name extends string> {
  readonly name: Name;
  readonly method: Method;
  /** With `?NAME=VALUE` where only the query tells two operations apart. */
  readonly path: string;
  readonly access: Scope;
}

function operation<Name extends string>(
  name: Name,
  method: Method,
  path: string,
  access: Scope,
): Operation<Name> {
  return { name, method, path, access };
}

const SUPPORTED = [
  operation("CreateFunction", "POST", "/2015-03-31/functions", "deploy"),
  operation("GetFunction", "GET", "/2015-03-31/functions/{FunctionName}", "read"),
  operation("GetFunctionConfiguration", "GET", "/2015-03-31/functions/{FunctionName}/configuration", "read"),
  operation("ListFunctions", "GET", "/2015-03-31/functions", "read"),
  operation("UpdateFunctionCode", "PUT", "/2015-03-31/functions/{FunctionName}/code", "deploy"),
  operation(
    "UpdateFunctionConfiguration",
    "PUT",
    "/2015-03-31/functions/{FunctionName}/configuration",
    "deploy",
  ),
  operation("DeleteFunction", "DELETE", "/2015-03-31/functions/{FunctionName}", "deploy"),
  operation("Invoke", "POST", "/2015-03-31/functions/{FunctionName}/invocations", "invoke"),
  operation(
    "InvokeWithResponseStream",
    "POST",
    "/2021-11-15/functions/{FunctionName}/response-streaming-invocations",
    "invoke",
  ),
  operation("PublishVersion", "POST", "/2015-03-31/functions/{FunctionName}/versions", "deploy"),
  operation("ListVersionsByFunction", "GET", "/2015-03-31/functions/{FunctionName}/versions", "read"),
  operation("CreateAlias", "POST", "/2015-03-31/functions/{FunctionName}/aliases", "deploy"),
  operation("GetAlias", "GET", "/2015-03-31/functions/{FunctionName}/aliases/{Name}", "read"),
  operation("ListAliases", "GET", "/2015-03-31/functions/{FunctionName}/aliases", "read"),
  operation("UpdateAlias", "PUT", "/2015-03-31/functions/{FunctionName}/aliases/{Name}", "deploy"),
  operation("DeleteAlias", "DELETE", "/2015-03-31/functions/{FunctionName}/aliases/{Name}", "deploy"),
  operation(
    "GetFunctionCodeSigningConfig",
    "GET",
    "/2020-06-30/functions/{FunctionName}/code-signing-config",
    "read",
  ),
  operation("CreateFunctionUrlConfig", "POST", "/2021-10-31/functions/{FunctionName}/url", "deploy"),
  operation("GetFunctionUrlConfig", "GET", "/2021-10-31/functions/{FunctionName}/url", "read"),
  operation("UpdateFunctionUrlConfig", "PUT", "/2021-10-31/functions/{FunctionName}/url", "deploy"),
  operation("DeleteFunctionUrlConfig", "DELETE", "/2021-10-31/functions/{FunctionName}/url", "deploy"),
  operation("ListFunctionUrlConfigs", "GET", "/2021-10-31/functions/{FunctionName}/urls", "read"),
  operation("PutFunctionConcurrency", "PUT", "/2017-10-31/functions/{FunctionName}/concurrency", "deploy"),
  operation("GetFunctionConcurrency", "GET", "/2019-09-30/functions/{FunctionName}/concurrency", "read"),
  operation(
    "DeleteFunctionConcurrency",
    "DELETE",
    "/2017-10-31/functions/{FunctionName}/concurrency",
    "deploy",
  ),
  operation("TagResource", "POST", "/2017-03-31/tags/{Resource}", "deploy"),
  operation("UntagResource", "DELETE", "/2017-03-31/tags/{Resource}", "deploy"),
  operation("ListTags", "GET", "/2017-03-31/tags/{Resource}", "read"),
  operation("GetAccountSettings", "GET", "/2016-08-19/account-settings", "read"),
  operation("PublishLayerVersion", "POST", "/2018-10-31/layers/{LayerName}/versions", "deploy"),
  operation("GetLayerVersion", "GET", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}", "read"),
  operation("GetLayerVersionByArn", "GET", "/2018-10-31/layers?find=LayerVersion", "read"),
  operation("ListLayerVersions", "GET", "/2018-10-31/layers/{LayerName}/versions", "read"),
  operation("ListLayers", "GET", "/2018-10-31/layers", "read"),
  operation(
    "DeleteLayerVersion",
    "DELETE",
    "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}",
    "deploy",
  ),
  operation("AddPermission", "POST", "/2015-03-31/functions/{FunctionName}/policy", "deploy"),
  operation("GetPolicy", "GET", "/2015-03-31/functions/{FunctionName}/policy", "read"),
  operation(
    "RemovePermission",
    "DELETE",
    "/2015-03-31/functions/{FunctionName}/policy/{StatementId}",
    "deploy",
  ),
  operation(
    "PutProvisionedConcurrencyConfig",
    "PUT",
    "/2019-09-30/functions/{FunctionName}/provisioned-concurrency",
    "deploy",
  ),
  operation(
    "GetProvisionedConcurrencyConfig",
    "GET",
    "/2019-09-30/functions/{FunctionName}/provisioned-concurrency",
    "read",
  ),
  operation(
    "ListProvisionedConcurrencyConfigs",
    "GET",
    "/2019-09-30/functions/{FunctionName}/provisioned-concurrency?List=ALL",
    "read",
  ),
  operation(
    "DeleteProvisionedConcurrencyConfig",
    "DELETE",
    "/2019-09-30/functions/{FunctionName}/provisioned-concurrency",
    "deploy",
  ),
  operation(
    "GetRuntimeManagementConfig",
    "GET",
    "/2021-07-20/functions/{FunctionName}/runtime-management-config",
    "read",
  ),
  operation(
    "PutRuntimeManagementConfig",
    "PUT",
    "/2021-07-20/functions/{FunctionName}/runtime-management-config",
    "deploy",
  ),
  operation(
    "GetFunctionRecursionConfig",
    "GET",
    "/2024-08-31/functions/{FunctionName}/recursion-config",
    "read",
  ),
  operation(
    "PutFunctionRecursionConfig",
    "PUT",
    "/2024-08-31/functions/{FunctionName}/recursion-config",
    "deploy",
  ),
  operation("InvokeAsync", "POST", "/2014-11-13/functions/{FunctionName}/invoke-async", "invoke"),
  operation("GetResourcePolicy", "GET", "/2026-07-09/resource-policy/{ResourceArn}", "read"),
  operation("PutResourcePolicy", "PUT", "/2026-07-09/resource-policy/{ResourceArn}", "deploy"),
  operation("DeleteResourcePolicy", "DELETE", "/2026-07-09/resource-policy/{ResourceArn}", "deploy"),
  operation(
    "PutFunctionEventInvokeConfig",
    "PUT",
    "/2019-09-25/functions/{FunctionName}/event-invoke-config",
    "deploy",
  ),
  operation(
    "UpdateFunctionEventInvokeConfig",
    "POST",
    "/2019-09-25/functions/{FunctionName}/event-invoke-config",
    "deploy",
  ),
  operation(
    "GetFunctionEventInvokeConfig",
    "GET",
    "/2019-09-25/functions/{FunctionName}/event-invoke-config",
    "read",
  ),
  operation(
    "DeleteFunctionEventInvokeConfig",
    "DELETE",
    "/2019-09-25/functions/{FunctionName}/event-invoke-config",
    "deploy",
  ),
  operation(
    "ListFunctionEventInvokeConfigs",
    "GET",
    "/2019-09-25/functions/{FunctionName}/event-invoke-config/list",
    "read",
  ),
  operation("CreateEventSourceMapping", "POST", "/2015-03-31/event-source-mappings", "deploy"),
  operation("GetEventSourceMapping", "GET", "/2015-03-31/event-source-mappings/{UUID}", "read"),
  operation("ListEventSourceMappings", "GET", "/2015-03-31/event-source-mappings", "read"),
  operation("UpdateEventSourceMapping", "PUT", "/2015-03-31/event-source-mappings/{UUID}", "deploy"),
  operation("DeleteEventSourceMapping", "DELETE", "/2015-03-31/event-source-mappings/{UUID}", "deploy"),
] as const;

/** Operations of features that there are not here: answered as for an account that has none of them (absent.ts). */
const ABSENT = [
  operation(
    "GetLayerVersionPolicy",
    "GET",
    "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy",
    "read",
  ),
  operation(
    "AddLayerVersionPermission",
    "POST",
    "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy",
    "deploy",
  ),
  operation(
    "RemoveLayerVersionPermission",
    "DELETE",
    "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy/{StatementId}",
    "deploy",
  ),
  operation("ListCodeSigningConfigs", "GET", "/2020-04-22/code-signing-configs", "read"),
  operation("CreateCodeSigningConfig", "POST", "/2020-04-22/code-signing-configs", "deploy"),
  operation(
    "DeleteCodeSigningConfig",
    "DELETE",
    "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}",
    "deploy",
  ),
  operation("GetCodeSigningConfig", "GET", "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", "read"),
  operation(
    "UpdateCodeSigningConfig",
    "PUT",
    "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}",
    "deploy",
  ),
  operation(
    "ListFunctionsByCodeSigningConfig",
    "GET",
    "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}/functions",
    "read",
  ),
  operation(
    "DeleteFunctionCodeSigningConfig",
    "DELETE",
    "/2020-06-30/functions/{FunctionName}/code-signing-config",
    "deploy",
  ),
  operation(
    "PutFunctionCodeSigningConfig",
    "PUT",
    "/2020-06-30/functions/{FunctionName}/code-signing-config",
    "deploy",
  ),
  operation("ListCapacityProviders", "GET", "/2025-11-30/capacity-providers", "read"),
  operation("CreateCapacityProvider", "POST", "/2025-11-30/capacity-providers", "deploy"),
  operation(
    "DeleteCapacityProvider",
    "DELETE",
    "/2025-11-30/capacity-providers/{CapacityProviderName}",
    "deploy",
  ),
  operation("GetCapacityProvider", "GET", "/2025-11-30/capacity-providers/{CapacityProviderName}", "read"),
  operation(
    "UpdateCapacityProvider",
    "PUT",
    "/2025-11-30/capacity-providers/{CapacityProviderName}",
    "deploy",
  ),
  operation(
    "ListFunctionVersionsByCapacityProvider",
    "GET",
    "/2025-11-30/capacity-providers/{CapacityProviderName}/function-versions",
    "read",
  ),
  operation(
    "GetFunctionScalingConfig",
    "GET",
    "/2025-11-30/functions/{FunctionName}/function-scaling-config",
    "read",
  ),
  operation(
    "PutFunctionScalingConfig",
    "PUT",
    "/2025-11-30/functions/{FunctionName}/function-scaling-config",
    "deploy",
  ),
  operation(
    "SendDurableExecutionCallbackFailure",
    "POST",
    "/2025-12-01/durable-execution-callbacks/{CallbackId}/fail",
    "deploy",
  ),
  operation(
    "SendDurableExecutionCallbackHeartbeat",
    "POST",
    "/2025-12-01/durable-execution-callbacks/{CallbackId}/heartbeat",
    "deploy",
  ),
  operation(
    "SendDurableExecutionCallbackSuccess",
    "POST",
    "/2025-12-01/durable-execution-callbacks/{CallbackId}/succeed",
    "deploy",
  ),
  operation("GetDurableExecution", "GET", "/2025-12-01/durable-executions/{DurableExecutionArn}", "read"),
  operation(
    "CheckpointDurableExecution",
    "POST",
    "/2025-12-01/durable-executions/{DurableExecutionArn}/checkpoint",
    "deploy",
  ),
  operation(
    "GetDurableExecutionHistory",
    "GET",
    "/2025-12-01/durable-executions/{DurableExecutionArn}/history",
    "read",
  ),
  operation(
    "GetDurableExecutionState",
    "GET",
    "/2025-12-01/durable-executions/{DurableExecutionArn}/state",
    "read",
  ),
  operation(
    "StopDurableExecution",
    "POST",
    "/2025-12-01/durable-executions/{DurableExecutionArn}/stop",
    "deploy",
  ),
  operation(
    "ListDurableExecutionsByFunction",
    "GET",
    "/2025-12-01/functions/{FunctionName}/durable-executions",
    "read",
  ),
] as const;

export type SupportedOperation = (typeof SUPPORTED)[number]["name"];
export type AbsentOperation = (typeof ABSENT)[number]["name"];
export type AwsOperationName = SupportedOperation | AbsentOperation;

/** Every operation with what becomes of it; the documentation is compared with this. */
export const AWS_OPERATIONS: readonly {
  readonly name: AwsOperationName;
  readonly method: Method;
  readonly path: string;
  readonly status: "supported" | "absent";
}[] = [
  ...SUPPORTED.map(({ name, method, path }) => ({ name, method, path, status: "supported" as const })),
  ...ABSENT.map(({ name, method, path }) => ({ name, method, path, status: "absent" as const })),
];

/** AWS's own limit for a request that carries an archive in base64. */
const CODE_REQUEST_BYTES_MAX = 70_167_211;
const JSON_BYTES_MAX = 1024 * 1024;

const BODIES: Partial<Record<AwsOperationName, BodyRule>> = {
  CreateFunction: { kind: "json", bytesMax: CODE_REQUEST_BYTES_MAX },
  UpdateFunctionCode: { kind: "json", bytesMax: CODE_REQUEST_BYTES_MAX },
  PublishLayerVersion: { kind: "json", bytesMax: CODE_REQUEST_BYTES_MAX },
  Invoke: { kind: "bytes", bytesMax: PAYLOAD_BYTES_MAX },
  InvokeWithResponseStream: { kind: "bytes", bytesMax: PAYLOAD_BYTES_MAX },
  InvokeAsync: { kind: "bytes", bytesMax: PAYLOAD_BYTES_MAX },
};

/** Operations whose request names its function in the body. */
const NAMED_IN_BODY: ReadonlySet<AwsOperationName> = new Set(["CreateFunction", "CreateEventSourceMapping"]);

export const AWS_ROUTES: readonly Route[] = [
  ...SUPPORTED.map((row) => routeOf(row, { kind: "json", bytesMax: JSON_BYTES_MAX })),
  ...ABSENT.map((row) => routeOf(row, { kind: "json", bytesMax: JSON_BYTES_MAX })),
];

const SUPPORTED_NAMES: ReadonlySet<string> = new Set(SUPPORTED.map(({ name }) => name));
const ABSENT_NAMES: ReadonlySet<string> = new Set(ABSENT.map(({ name }) => name));

export function isSupported(name: string): name is SupportedOperation {
  return SUPPORTED_NAMES.has(name);
}

export function isAbsent(name: string): name is AbsentOperation {
  return ABSENT_NAMES.has(name);
}

function routeOf(row: Operation<AwsOperationName>, usualBody: BodyRule): Route {
  const [path = "", query] = row.path.split("?");
  const namesFunction = ["{FunctionName}", "/tags/{Resource}", "{ResourceArn}"].some((part) =>
    path.includes(part),
  );
  const hasBody = row.method === "POST" || row.method === "PUT";
  return {
    name: row.name,
    dialect: "aws",
    method: row.method,
    path,
    ...(query !== undefined && { query }),
    access: row.access,
    subject: namesFunction ? "path" : NAMED_IN_BODY.has(row.name) ? "body" : "none",
    body: BODIES[row.name] ?? (hasBody ? usualBody : { kind: "none" }),
  };
}
