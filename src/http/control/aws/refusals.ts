/**
 * Members of AWS's requests that nothing here would act on. A value that asks for something is refused with a
 * sentence; one that asks for nothing (empty, or AWS's default) is fine. Members that we do not know are ignored, as
 * AWS does.
 */
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";
import { optional, parse } from "./validation.ts";

interface Refusal {
  /** Whether the value asks for what we do not have. */
  asks(value: unknown, functionName: string): boolean;
  readonly why: string;
}

const isFilled = (value: unknown): boolean =>
  value !== undefined && value !== null && value !== "" && !isEmptyTree(value);

/** Objects and lists that hold nothing but empty ones. */
function isEmptyTree(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    Object.values(value).every((member) => !isFilled(member) || member === false)
  );
}

const member = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;

/** True unless the member is left out or has the value that changes nothing. */
const differs = (name: string, usual: string) => (value: unknown) =>
  isFilled(value) && isFilled(member(value, name)) && member(value, name) !== usual;

const REFUSALS: Readonly<Record<string, Refusal>> = {
  DeadLetterConfig: {
    asks: isFilled,
    why: "there are no SQS queues and no SNS topics; what failed stays in the dead-letter queue here",
  },
  FileSystemConfigs: { asks: isFilled, why: "functions have their code and /tmp" },
  ImageConfig: { asks: isFilled, why: "it is for functions whose PackageType is Image" },
  PackageType: {
    asks: (value) => isFilled(value) && value !== "Zip",
    why: "functions run from archives: use Zip",
  },
  CodeSigningConfigArn: { asks: isFilled, why: "signed code is not checked" },
  SnapStart: { asks: differs("ApplyOn", "None"), why: "instances are not restored from snapshots: use None" },
  TenancyConfig: { asks: isFilled, why: "there are no tenants" },
  CapacityProviderConfig: { asks: isFilled, why: "functions run on this host" },
  DurableConfig: { asks: isFilled, why: "there are no durable executions" },
  PublishTo: { asks: isFilled, why: "leave it out" },
};

const Text = optional(z.string());
const Texts = optional(z.array(z.string()));

/** What is refused for what it asks has to be of the right type all the same: `{}` is no empty text. */
const TYPES = z.object({
  DeadLetterConfig: optional(z.object({ TargetArn: Text })),
  FileSystemConfigs: optional(
    z.array(
      z.object({
        Arn: Text,
        LocalMountPath: Text,
        S3FilesConfig: optional(z.object({ DirectS3Read: Text })),
      }),
    ),
  ),
  ImageConfig: optional(z.object({ EntryPoint: Texts, Command: Texts, WorkingDirectory: Text })),
  PackageType: Text,
  CodeSigningConfigArn: Text,
  SnapStart: optional(z.object({ ApplyOn: Text })),
  TenancyConfig: optional(z.object({ TenantIsolationMode: Text })),
  CapacityProviderConfig: optional(
    z.object({
      LambdaManagedInstancesCapacityProviderConfig: optional(
        z.object({
          CapacityProviderArn: Text,
          PerExecutionEnvironmentMaxConcurrency: optional(z.int()),
          ExecutionEnvironmentMemoryGiBPerVCpu: optional(z.number()),
        }),
      ),
    }),
  ),
  DurableConfig: optional(
    z.object({
      KMSKeyArn: Text,
      RetentionPeriodInDays: optional(z.int()),
      ExecutionTimeout: optional(z.int()),
    }),
  ),
  PublishTo: Text,
});

const CODE_TYPES = z.object({
  S3Bucket: Text,
  S3Key: Text,
  S3ObjectVersion: Text,
  S3ObjectStorageMode: Text,
  ImageUri: Text,
  SourceKMSKeyArn: Text,
});

/** Where `Code`'s members may come from: inside `Code` on create, at the top on update. */
const CODE_REFUSALS: Readonly<Record<string, string>> = {
  S3Bucket: "there is no object store: send the archive as ZipFile",
  S3Key: "there is no object store: send the archive as ZipFile",
  S3ObjectVersion: "there is no object store: send the archive as ZipFile",
  S3ObjectStorageMode: "there is no object store: send the archive as ZipFile",
  ImageUri: "the code of this function is an archive: send one as ZipFile",
  SourceKMSKeyArn: "there is no key service",
};

/**
 * @throws PlatformError `UnsupportedMember` for the first member that asks for what we do not have, `InvalidPayload` for
 * one of another type.
 */
export function refuseUnsupported(request: unknown, functionName: string): void {
  parse(TYPES, request);
  for (const [name, { asks, why }] of Object.entries(REFUSALS)) {
    if (asks(member(request, name), functionName)) throw unsupported(name, why);
  }
}

/** @throws PlatformError as `refuseUnsupported`, for code that does not come as an archive. */
export function refuseCodeSource(code: unknown): void {
  parse(CODE_TYPES, code);
  for (const [name, why] of Object.entries(CODE_REFUSALS)) {
    if (isFilled(member(code, name))) throw unsupported(name, why);
  }
}

export function unsupported(name: string, why: string): PlatformError {
  return new PlatformError("UnsupportedMember", `${name} is not supported by lambdad: ${why}`);
}
