/** Members of a configuration that mean nothing here, but that AWS's tools expect to read back as they wrote them. */
import * as z from "zod";
import type { KeptMembers } from "../../../core/function.ts";
import { oneOf, optional, text } from "./validation.ts";

const SUBNETS_MAX = 16;
const GROUPS_MAX = 5;

export const KeptConfiguration = {
  VpcConfig: optional(
    z.object({
      SubnetIds: optional(
        z
          .array(text({ max: 1_024, pattern: "subnet-[0-9a-z]*" }))
          .max(SUBNETS_MAX, `Member must have length less than or equal to ${SUBNETS_MAX}`),
      ),
      SecurityGroupIds: optional(
        z
          .array(text({ max: 1_024, pattern: "sg-[0-9a-zA-Z]*" }))
          .max(GROUPS_MAX, `Member must have length less than or equal to ${GROUPS_MAX}`),
      ),
      Ipv6AllowedForDualStack: optional(z.boolean()),
    }),
  ),
  KMSKeyArn: optional(text({ max: 10_000, pattern: "(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()" })),
  TracingConfig: optional(z.object({ Mode: optional(oneOf(["Active", "PassThrough"])) })),
};

/** Members left out stay as they are; `null` clears one. */
export type KeptChange = { readonly [Member in keyof KeptMembers]?: KeptMembers[Member] | null };

export function keptChange(request: {
  readonly VpcConfig?: z.output<typeof KeptConfiguration.VpcConfig>;
  readonly KMSKeyArn?: string | undefined;
  readonly TracingConfig?: z.output<typeof KeptConfiguration.TracingConfig>;
}): KeptChange {
  const { VpcConfig, KMSKeyArn, TracingConfig } = request;
  const subnetIds = VpcConfig?.SubnetIds ?? [];
  const securityGroupIds = VpcConfig?.SecurityGroupIds ?? [];
  const allowsIpv6 = VpcConfig?.Ipv6AllowedForDualStack ?? false;
  const isEmpty = subnetIds.length === 0 && securityGroupIds.length === 0;
  return {
    ...(VpcConfig && { vpc: isEmpty ? null : { subnetIds, securityGroupIds, allowsIpv6 } }),
    ...(KMSKeyArn !== undefined && { kmsKeyArn: KMSKeyArn === "" ? null : KMSKeyArn }),
    ...(TracingConfig?.Mode && { tracing: TracingConfig.Mode === "Active" ? "Active" : null }),
  };
}

/** Undefined where nothing is left, so that a configuration without such members always looks the same. */
export function changedKept(before: KeptMembers | undefined, change: KeptChange): KeptMembers | undefined {
  const members = Object.entries({ ...before, ...change }).filter(([, value]) => value !== null);
  return members.length > 0 ? Object.fromEntries(members) : undefined;
}

export function keptShape(kept: KeptMembers | undefined): Record<string, unknown> {
  const { vpc, kmsKeyArn, tracing } = kept ?? {};
  return {
    ...(vpc && {
      VpcConfig: {
        SubnetIds: vpc.subnetIds,
        SecurityGroupIds: vpc.securityGroupIds,
        VpcId: "",
        Ipv6AllowedForDualStack: vpc.allowsIpv6,
      },
    }),
    ...(kmsKeyArn !== undefined && { KMSKeyArn: kmsKeyArn }),
    TracingConfig: { Mode: tracing ?? "PassThrough" },
  };
}
