/** What becomes of a function's aliases, and of what is said of one of them: decided on the newest record. */
import { PlatformError } from "../core/errors.ts";
import type { EventInvokeConfig } from "../core/event.ts";
import type { Alias, FunctionRecord, FunctionUrl } from "../core/function.ts";
import { withoutQualifier } from "../core/function-settings.ts";
import type { Registry } from "../store/store.ts";
import { ALIASES_MAX, checkAlias, findAlias, requireAlias } from "./alias-rules.ts";
import { checkRevision } from "./change-checks.ts";
import type { Decide } from "./function-changes.ts";
import { changeRecord } from "./function-states.ts";
import type { AliasChange, NewAlias } from "./functions.ts";
import { versionNotFound } from "./not-found.ts";

type Versions = Pick<Registry, "findVersion">;

/** One for each qualifier that matters; the record is read as a whole. */
const EVENT_CONFIGS_MAX = 100;

export function withAlias(versions: Versions, alias: NewAlias): Decide {
  return async (current, stamp) => {
    const { name } = current;
    if (findAlias(current, alias.name)) {
      throw new PlatformError(
        "AliasExists",
        `alias "${alias.name}" of "${name}" exists already; update it instead`,
      );
    }
    if (current.aliases.length >= ALIASES_MAX) {
      throw new PlatformError(
        "InvalidRequest",
        `"${name}" has ${ALIASES_MAX} aliases already; remove one first`,
      );
    }
    await checkPointsSomewhere(versions, current, alias);
    return changeRecord(current, {
      aliases: [...current.aliases, { ...alias, revisionId: stamp.newRevision() }],
    });
  };
}

export function withAliasChanged(
  versions: Versions,
  alias: string,
  { ifRevision, ...members }: AliasChange,
): Decide {
  return async (current, stamp) => {
    const before = requireAlias(current, alias);
    checkRevision(before.revisionId, ifRevision);
    const after: Alias = { ...before, ...members, revisionId: stamp.newRevision() };
    checkAlias(after);
    await checkPointsSomewhere(versions, current, after);
    return changeRecord(current, {
      aliases: current.aliases.map((other) => (other === before ? after : other)),
    });
  };
}

/** With the alias goes all that was said of it. */
export function withoutAlias(alias: string): Decide {
  return (current) => {
    if (!findAlias(current, alias)) return undefined;
    return changeRecord(current, {
      aliases: current.aliases.filter((other) => other.name !== alias),
      urls: current.urls.filter(({ qualifier }) => qualifier !== alias),
      settings: withoutQualifier(current.settings, alias),
      eventInvokeConfigs: current.eventInvokeConfigs.filter(({ qualifier }) => qualifier !== alias),
    });
  };
}

export function withUrl(url: FunctionUrl): Decide {
  return (current) => {
    if (url.qualifier !== undefined) requireAlias(current, url.qualifier);
    const others = current.urls.filter(({ qualifier }) => qualifier !== url.qualifier);
    return changeRecord(current, { urls: [...others, url] });
  };
}

export function withoutUrl(qualifier: string | undefined): Decide {
  return (current) => {
    const urls = current.urls.filter((url) => url.qualifier !== qualifier);
    if (urls.length === current.urls.length) {
      throw new PlatformError(
        "ResourceNotFound",
        `"${current.name}" has no URL for ${qualifier ?? "$LATEST"}; create one first`,
      );
    }
    return changeRecord(current, { urls });
  };
}

export function withEventConfig(versions: Versions, config: EventInvokeConfig): Decide {
  return async (current) => {
    await checkQualifier(versions, current, config.qualifier);
    const others = otherConfigs(current, config.qualifier);
    if (others.length >= EVENT_CONFIGS_MAX) {
      throw new PlatformError(
        "InvalidRequest",
        `"${current.name}" has ${EVENT_CONFIGS_MAX} event invoke configurations already; remove one first`,
      );
    }
    return changeRecord(current, { eventInvokeConfigs: [...others, config] });
  };
}

export function withoutEventConfig(qualifier: string | undefined): Decide {
  return (current) => {
    const others = otherConfigs(current, qualifier);
    if (others.length === current.eventInvokeConfigs.length) {
      throw new PlatformError(
        "ResourceNotFound",
        `"${current.name}" has no event invoke configuration for ${qualifier ?? "$LATEST"}; create one first`,
      );
    }
    return changeRecord(current, { eventInvokeConfigs: others });
  };
}

/** @throws PlatformError `VersionNotFound` for the first version that is not there. */
async function checkPointsSomewhere(
  versions: Versions,
  { name }: FunctionRecord,
  { version, split }: Pick<Alias, "version" | "split">,
): Promise<void> {
  for (const label of [version, split?.version]) {
    if (label === undefined || label === "$LATEST") continue;
    if (!(await versions.findVersion(name, Number(label)))) throw versionNotFound(name, Number(label));
  }
}

/** @throws PlatformError `AliasNotFound`, `VersionNotFound` for what is not there. */
async function checkQualifier(
  versions: Versions,
  record: FunctionRecord,
  qualifier: string | undefined,
): Promise<void> {
  if (qualifier === undefined) return;
  if (!/^\d+$/.test(qualifier)) requireAlias(record, qualifier);
  else if (!(await versions.findVersion(record.name, Number(qualifier)))) {
    throw versionNotFound(record.name, Number(qualifier));
  }
}

function otherConfigs(record: FunctionRecord, qualifier: string | undefined): EventInvokeConfig[] {
  return record.eventInvokeConfigs.filter((config) => config.qualifier !== qualifier);
}
