/** How settings become a configuration: given values win, then those before, then defaults. */

import type { CodeSettings } from "../../../code/prepare.ts";
import { PlatformError } from "../../../core/errors.ts";
import {
  type Entry,
  type EntryKind,
  type FunctionConfig,
  IMAGE_RUNTIME,
  type Network,
  TEXT_LOGGING,
} from "../../../core/function.ts";
import { MEMORY_MIB_DEFAULT, TIMEOUT_MS_DEFAULT, TMP_MIB_DEFAULT } from "../../../core/limits.ts";
import type { ControlParts } from "../parts.ts";
import type { ConfigurationSettings } from "./wire.ts";

/** Calls at once in one instance of a program that can serve several. */
const SLOTS_DEFAULT = 10;

const SERVES_SEVERAL: Readonly<Record<EntryKind, boolean>> = {
  handler: false,
  filter: false,
  lifecycle: true,
  server: true,
};

/** @throws PlatformError `InvalidRequest` for more slots than the kind can have. */
export function configOf(
  settings: ConfigurationSettings,
  before: FunctionConfig | undefined,
  made: {
    readonly runtime: string;
    readonly entry: Entry;
    readonly environment: Readonly<Record<string, string>> | undefined;
    /** Those that it had, if left out. */
    readonly opt?: Pick<FunctionConfig, "layers" | "optTreeId">;
  },
  parts: Pick<ControlParts, "architecture" | "account">,
): FunctionConfig {
  return {
    runtime: made.runtime,
    entry: made.entry,
    description: settings.description ?? before?.description ?? "",
    memoryMib: settings.memoryMib ?? before?.memoryMib ?? MEMORY_MIB_DEFAULT,
    cpus: settings.cpus === undefined ? before?.cpus : (settings.cpus ?? undefined),
    timeoutMs: settings.timeoutMs ?? before?.timeoutMs ?? TIMEOUT_MS_DEFAULT,
    tmpMib: settings.tmpMib ?? before?.tmpMib ?? TMP_MIB_DEFAULT,
    environment: made.environment ?? before?.environment ?? {},
    network: networkOf(settings.network, before, made.runtime === IMAGE_RUNTIME),
    slotsPerInstance: slotsOf(settings.slotsPerInstance, before, made.entry.kind),
    architecture: parts.architecture,
    role: before?.role ?? `arn:aws:iam::${parts.account}:role/lambdad`,
    layers: (made.opt ?? before)?.layers ?? [],
    optTreeId: (made.opt ?? before)?.optTreeId,
    logging: before?.logging ?? TEXT_LOGGING,
    mayInvoke: (settings.mayInvoke ?? before?.mayInvoke)?.length
      ? (settings.mayInvoke ?? before?.mayInvoke)
      : undefined,
    kept: before?.kept,
  };
}

/** @throws PlatformError `InvalidRequest` for one that this sort of code cannot have. */
function networkOf(
  given: Network | undefined,
  before: FunctionConfig | undefined,
  isImage: boolean,
): Network {
  const open = isImage ? "public" : "host";
  if (given === undefined) return before?.network === "none" ? "none" : open;
  if (given === "none" || given === open) return given;
  throw new PlatformError(
    "InvalidRequest",
    isImage
      ? "network: containers do not share this host's network; give public or none"
      : "network: public is for images only so far; give host or none",
  );
}

function slotsOf(given: number | undefined, before: FunctionConfig | undefined, kind: EntryKind): number {
  if (!SERVES_SEVERAL[kind]) {
    if (given !== undefined && given !== 1) {
      throw new PlatformError(
        "InvalidRequest",
        `slotsPerInstance: an instance of a ${kind} serves one call at a time, got ${given}`,
      );
    }
    return 1;
  }
  const kept = before && SERVES_SEVERAL[before.entry.kind] ? before.slotsPerInstance : undefined;
  return given ?? kept ?? SLOTS_DEFAULT;
}

/**
 * The entry after a change of settings without new code.
 *
 * @throws PlatformError `InvalidHandler` if the kind lacks what it runs, or something is given that it has no use for.
 */
export function changedEntry(before: Entry, given: CodeSettings): Entry {
  const kind = given.kind ?? before.kind;
  const entry = entryOf(kind, before, given);
  const useless = USELESS[kind].find((member) => given[member] !== undefined);
  if (useless !== undefined) {
    throw new PlatformError(
      "InvalidHandler",
      `${useless}: a ${kind} has none; give --kind as well to make it another`,
    );
  }
  return entry;
}

const USELESS: Readonly<Record<EntryKind, readonly ("handler" | "module" | "command")[]>> = {
  handler: ["module", "command"],
  lifecycle: ["handler", "command"],
  server: ["handler", "module"],
  filter: ["handler", "module"],
};

function entryOf(kind: EntryKind, before: Entry, given: CodeSettings): Entry {
  switch (kind) {
    case "handler": {
      const handler = given.handler ?? (before.kind === "handler" ? before.handler : undefined);
      if (handler === undefined) throw missing(kind, "handler");
      return { kind, handler };
    }
    case "lifecycle": {
      const module = given.module ?? (before.kind === "lifecycle" ? before.module : undefined);
      if (module === undefined) throw missing(kind, "module");
      return { kind, module };
    }
    case "server":
    case "filter": {
      const hasCommand = before.kind === "server" || before.kind === "filter";
      const [program, ...rest] = given.command ?? (hasCommand ? before.command : []);
      if (program === undefined || program === "") throw missing(kind, "command");
      return { kind, command: [program, ...rest] };
    }
  }
}

function missing(kind: EntryKind, member: string): PlatformError {
  return new PlatformError("InvalidHandler", `kind ${kind}: its ${member} is missing; give it as well`);
}
