import type { ResourcePolicy } from "./permission.ts";
import type { RecordingSettings } from "./recording.ts";

/** What belongs to a function beside its code and configuration; versions do not freeze it. */
export interface FunctionSettings {
  /** At most one for each qualifier. */
  readonly policies: readonly ResourcePolicy[];
  /** At most one for each qualifier. */
  readonly provisioned: readonly Provisioned[];
  /** At most one for each qualifier; those that are not here are `Auto`. Kept and shown only. */
  readonly runtimeUpdates: readonly RuntimeUpdates[];
  /** What becomes of a call when the function has called itself, over others or not, too often. */
  readonly recursiveLoop: "Allow" | "Terminate";
  /** Log lines older than that are removed; undefined keeps them until there is no more room. */
  readonly logRetentionDays: number | undefined;
  /** Left out where nothing was ever recorded. */
  readonly recording?: RecordingSettings | undefined;
}

export const SETTINGS_DEFAULT: FunctionSettings = {
  policies: [],
  provisioned: [],
  runtimeUpdates: [],
  recursiveLoop: "Terminate",
  logRetentionDays: undefined,
};

/** Instances that are kept started of what a qualifier leads to. */
export interface Provisioned {
  /** An alias, a number, or `$LATEST`. */
  readonly qualifier: string;
  /** At least 1. */
  readonly instances: number;
  /** When it was asked for (ms since epoch). */
  readonly modifiedAt: number;
}

export interface RuntimeUpdates {
  /** An alias or a number; undefined is `$LATEST`. */
  readonly qualifier: string | undefined;
  readonly mode: "Auto" | "FunctionUpdate" | "Manual";
  /** Of a runtime version, as it was given. */
  readonly runtimeArn: string | undefined;
}

/** The settings without all that belongs to an alias or number that is no more; the same object if that is nothing. */
export function withoutQualifier(settings: FunctionSettings, qualifier: string): FunctionSettings {
  const isOther = (kept: { readonly qualifier: string | undefined }) => kept.qualifier !== qualifier;
  const { policies, provisioned, runtimeUpdates } = settings;
  if ([...policies, ...provisioned, ...runtimeUpdates].every(isOther)) return settings;
  return {
    ...settings,
    policies: policies.filter(isOther),
    provisioned: provisioned.filter(isOther),
    runtimeUpdates: runtimeUpdates.filter(isOther),
  };
}
