import assert from "node:assert/strict";
import {
  type FunctionRecord,
  type LayerVersion,
  TEXT_LOGGING,
  type Version,
  type VersionLabel,
} from "../core/function.ts";
import { SETTINGS_DEFAULT } from "../core/function-settings.ts";
import { type FunctionName, type KeyId, parseFunctionName, parseKeyId } from "../core/ids.ts";
import type { KeyRecord } from "./store.ts";

export function sampleName(text: string): FunctionName {
  const name = parseFunctionName(text);
  assert.ok(name, `${text} is no function name`);
  return name;
}

export function sampleKeyId(text: string): KeyId {
  const id = parseKeyId(text);
  assert.ok(id, `${text} is no key id`);
  return id;
}

/** A version with a code that follows from `code`. */
export function sampleVersion(name: string, label: VersionLabel = "$LATEST", code = "a"): Version {
  return {
    functionName: sampleName(name),
    label,
    revisionId: `revision-${label}-${code}`,
    code: { treeId: `tree-${code}`, archiveSha256: `archive-${code}`, archiveBytes: 10, treeBytes: 20 },
    config: {
      runtime: "nodejs24.x",
      entry: { kind: "handler", handler: "index.handler" },
      description: "",
      memoryMib: 128,
      timeoutMs: 3_000,
      tmpMib: 512,
      environment: { GREETING: 'grüß \u0000 "dich"' },
      network: "host",
      slotsPerInstance: 1,
      architecture: "x86_64",
      role: "",
      layers: [],
      optTreeId: undefined,
      logging: TEXT_LOGGING,
    },
    modifiedAt: 1,
  };
}

export function sampleFunction(name: string, more: Partial<FunctionRecord> = {}): FunctionRecord {
  return {
    name: sampleName(name),
    generation: 1,
    createdAt: 1,
    latest: sampleVersion(name),
    liveVersion: undefined,
    nextVersion: 1,
    aliases: [],
    urls: [],
    eventInvokeConfigs: [],
    concurrencyMax: undefined,
    tags: {},
    settings: SETTINGS_DEFAULT,
    ...more,
  };
}

export function sampleKey(id: string, more: Partial<KeyRecord> = {}): KeyRecord {
  return {
    id: sampleKeyId(id),
    description: "laptop",
    scopes: ["invoke", "read"],
    functions: "*",
    createdAt: 1,
    expiresAt: undefined,
    revokedAt: undefined,
    importedSecret: undefined,
    ...more,
  };
}

export function sampleLayer(layerName: string, code = "a"): Omit<LayerVersion, "number"> {
  return {
    layerName,
    description: "dépendances",
    license: undefined,
    compatibleRuntimes: ["nodejs24.x"],
    compatibleArchitectures: [],
    code: {
      treeId: `layer-tree-${code}`,
      archiveSha256: `layer-archive-${code}`,
      archiveBytes: 1,
      treeBytes: 2,
    },
    createdAt: 1,
  };
}
