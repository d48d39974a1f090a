import { createHash } from "node:crypto";

export interface RuntimeVersion {
  /** `nodejs:24.v1` */
  readonly version: string;
  readonly arn: string;
}

/** What INIT_START and `RuntimeVersionConfig` say of a runtime: one version of each name, whatever interpreter runs it. */
export function runtimeVersionOf(runtime: string, region: string): RuntimeVersion {
  const [, family = runtime, release = ""] = /^([a-z]+)\.?(.*?)(?:\.x)?$/.exec(runtime) ?? [];
  const hash = createHash("sha256").update(runtime).digest("hex");
  return { version: `${family}:${release}.v1`, arn: `arn:aws:lambda:${region}::runtime:${hash}` };
}
