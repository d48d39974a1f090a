import { PlatformError } from "../../../core/errors.ts";

/** The names AWS takes, as recorded, with those its model has added since. Whether one is on this host is another matter. */
const CURRENT: readonly string[] = [
  "nodejs16.x",
  "nodejs18.x",
  "nodejs20.x",
  "nodejs22.x",
  "nodejs24.x",
  "nodejs26.x",
  "python3.8",
  "python3.9",
  "python3.10",
  "python3.11",
  "python3.12",
  "python3.13",
  "python3.14",
  "python3.15",
  "java8.al2",
  "java11",
  "java17",
  "java21",
  "java25",
  "dotnet6",
  "dotnet8",
  "dotnet10",
  "ruby3.2",
  "ruby3.3",
  "ruby3.4",
  "ruby4.0",
  "provided.al2",
  "provided.al2023",
];

const DEPRECATED: ReadonlySet<string> = new Set([
  "nodejs",
  "nodejs4.3",
  "nodejs6.10",
  "nodejs8.10",
  "nodejs10.x",
  "nodejs12.x",
  "nodejs14.x",
  "python2.7",
  "python3.6",
  "python3.7",
  "java8",
  "dotnetcore1.0",
  "dotnetcore2.0",
  "dotnetcore2.1",
  "dotnetcore3.1",
  "dotnet5.0",
  "dotnet7",
  "ruby2.5",
  "ruby2.7",
  "go1.x",
  "provided",
]);

/** @throws PlatformError `InvalidRequest` with AWS's texts for unknown and for retired names. */
export function checkRuntimeName(runtime: string): void {
  if (DEPRECATED.has(runtime)) {
    throw new PlatformError(
      "InvalidRequest",
      `The runtime parameter of ${runtime} is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime while creating or updating functions.`,
    );
  }
  if (!CURRENT.includes(runtime)) {
    throw new PlatformError(
      "InvalidRequest",
      `Value ${runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [${CURRENT.join(", ")}] or be a valid ARN`,
    );
  }
}

/** Layers may name retired runtimes, too. @throws PlatformError `ValidationFailed` */
export function checkCompatibleRuntimes(runtimes: readonly string[]): void {
  const unknown = runtimes.find((runtime) => !CURRENT.includes(runtime) && !DEPRECATED.has(runtime));
  if (unknown === undefined) return;
  throw new PlatformError(
    "ValidationFailed",
    `1 validation error detected: Value '[${runtimes.join(", ")}]' at 'compatibleRuntimes' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [${CURRENT.join(", ")}]]`,
  );
}
