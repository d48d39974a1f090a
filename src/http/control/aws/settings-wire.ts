/** Requests of the operations on provisioned concurrency, runtime updates and recursion. */
import * as z from "zod";
import { PlatformError } from "../../../core/errors.ts";
import type { RuntimeUpdates } from "../../../core/function-settings.ts";
import { oneOf, optional, parse, text, whole } from "./validation.ts";

const INSTANCES_MAX = 1_000_000;

export function parsePutProvisioned(body: unknown): number {
  const Request = z.object({ ProvisionedConcurrentExecutions: whole(1, INSTANCES_MAX) });
  return parse(Request, body).ProvisionedConcurrentExecutions;
}

const PutRuntimeManagementRequest = z.object({
  UpdateRuntimeOn: oneOf(["Auto", "Manual", "FunctionUpdate"]),
  RuntimeVersionArn: optional(
    text({
      min: 26,
      max: 2_048,
      pattern:
        "arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}::runtime:.+",
    }),
  ),
});

/** @throws PlatformError `InvalidRequest` for an ARN without `Manual`, and the reverse. */
export function parsePutRuntimeManagement(body: unknown): Omit<RuntimeUpdates, "qualifier"> {
  const { UpdateRuntimeOn: mode, RuntimeVersionArn: runtimeArn } = parse(PutRuntimeManagementRequest, body);
  if (mode === "Manual" && runtimeArn === undefined) {
    throw new PlatformError(
      "InvalidRequest",
      "You must provide a runtimeVersionArn when the runtime update mode is set to Manual.",
    );
  }
  if (mode !== "Manual" && runtimeArn !== undefined) {
    throw new PlatformError(
      "InvalidRequest",
      `You can't specify a runtimeVersionArn when the runtime update mode is set to ${mode}.`,
    );
  }
  return { mode, runtimeArn };
}

export function parsePutRecursion(body: unknown): "Allow" | "Terminate" {
  return parse(z.object({ RecursiveLoop: oneOf(["Allow", "Terminate"]) }), body).RecursiveLoop;
}
