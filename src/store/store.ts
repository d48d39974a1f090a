import type { FunctionRecord, LayerVersion, Version } from "../core/function.ts";
import type { FunctionName, KeyId } from "../core/ids.ts";
import type { EventLedger, EventQueue } from "./event-queue.ts";
import type { Deployments, Hooks } from "./hooks.ts";
import type { Projects } from "./projects.ts";
import type { Routes } from "./routes.ts";
import type { Rules, Schedules } from "./schedules.ts";
import type { Sources } from "./sources.ts";

/** What survives a restart. Each port is an interface of its own, so that a part sees only what it needs. */
export interface Store extends AsyncDisposable {
  readonly registry: Registry;
  readonly keys: KeyStore;
  readonly layers: Layers;
  readonly events: EventQueue & EventLedger;
  readonly schedules: Schedules;
  readonly rules: Rules;
  readonly sources: Sources;
  readonly projects: Projects;
  readonly hooks: Hooks;
  readonly deployments: Deployments;
  readonly routes: Routes;
}

/**
 * Functions and their published versions. Writes are durable when the promise resolves (synced to disk), and each
 * is one step: after a crash it has happened or not.
 *
 * @throws PlatformError `StoreUnavailable` from any of them when the disk fails, `StorageFull` when it is full.
 */
export interface Registry {
  findFunction(name: FunctionName): Promise<FunctionRecord | undefined>;
  /** By name, ascending; `after` is exclusive. */
  listFunctions(page: {
    readonly after: string | undefined;
    readonly limit: number;
  }): Promise<FunctionRecord[]>;
  countFunctions(): Promise<number>;
  /**
   * Stores `record` and, in the same step, `publish` as a new numbered version. `record.generation` must be one more
   * than what is stored (1 for a new function).
   *
   * @throws PlatformError `FunctionExists` if generation 1 is stored already, `FunctionNotFound` if a later one is
   * saved of a function that is gone, `ResourceConflict` if somebody else saved in between.
   */
  saveFunction(record: FunctionRecord, publish?: Version): Promise<void>;
  /** Removes the function, its versions, aliases and URLs. False if there was none. */
  deleteFunction(name: FunctionName): Promise<boolean>;
  findVersion(name: FunctionName, number: number): Promise<Version | undefined>;
  /** Numbered versions, ascending; `after` is exclusive, 0 for all. */
  listVersions(
    name: FunctionName,
    page: { readonly after: number; readonly limit: number },
  ): Promise<Version[]>;
  deleteVersion(name: FunctionName, number: number): Promise<boolean>;
  /** The function a function URL belongs to. */
  findFunctionByUrlId(urlId: string): Promise<FunctionRecord | undefined>;
  /** Tree ids and archive hashes (base64) that some version or layer still needs; what is not named may be collected. */
  codeInUse(): Promise<{ readonly treeIds: ReadonlySet<string>; readonly archives: ReadonlySet<string> }>;
}

export type Scope = "invoke" | "read" | "replay" | "deploy" | "admin";

/** What is kept of a key. Secrets are derived from the master key, or, if brought along, encrypted under it. */
export interface KeyRecord {
  readonly id: KeyId;
  readonly description: string;
  readonly scopes: readonly Scope[];
  /** Glob over function names; `*` is all. */
  readonly functions: string;
  readonly createdAt: number;
  readonly expiresAt: number | undefined;
  readonly revokedAt: number | undefined;
  /** Base64 of an imported secret, encrypted (AES-256-GCM: 12 bytes nonce, ciphertext, 16 bytes tag). */
  readonly importedSecret: string | undefined;
}

export interface KeyStore {
  findKey(id: KeyId): Promise<KeyRecord | undefined>;
  listKeys(): Promise<KeyRecord[]>;
  /** Creates or replaces. */
  saveKey(key: KeyRecord): Promise<void>;
}

/** Layers by name and number. Writes are durable when the promise resolves; errors as `Registry`. */
export interface Layers {
  /** Stores it as the layer's next number, and gives that. Numbers count from 1 and are never used again. */
  publish(layer: Omit<LayerVersion, "number">): Promise<number>;
  findVersion(layerName: string, number: number): Promise<LayerVersion | undefined>;
  /** Newest first; `before` is exclusive. */
  listVersions(
    layerName: string,
    page: { readonly before: number | undefined; readonly limit: number },
  ): Promise<LayerVersion[]>;
  /** Names of the layers that have a version, ascending; `after` is exclusive. */
  listNames(page: { readonly after: string | undefined; readonly limit: number }): Promise<string[]>;
  /** False if it was not there. */
  deleteVersion(layerName: string, number: number): Promise<boolean>;
}
