/**
 * Values as JSON text in a column, and back. What is undefined is left out of the text; parsing puts it back, so that
 * a value read equals the value saved. Text is trusted once its checksum holds: nobody but us has written it.
 */
import { crc32 } from "../../core/crc32.ts";
import { PlatformError } from "../../core/errors.ts";
import type { Destination, EventInvokeConfig } from "../../core/event.ts";
import {
  type Alias,
  type CodeRef,
  type FunctionRecord,
  type FunctionUrl,
  type LayerVersion,
  TEXT_LOGGING,
  type Version,
} from "../../core/function.ts";
import { type FunctionSettings, SETTINGS_DEFAULT } from "../../core/function-settings.ts";
import type { Hook, RepoCredential } from "../../core/hook.ts";
import type { ProjectRecord, Release } from "../../core/release.ts";
import type { HttpRoute } from "../../core/route.ts";
import type { Rule, Schedule } from "../../core/schedule.ts";
import type { Source } from "../../core/source.ts";
import type { KeyRecord } from "../store.ts";
import type { Row } from "./connection.ts";

export interface Document {
  readonly text: string;
  /** CRC-32 of the searched columns and the text in UTF-8. */
  readonly checksum: number;
}

/** What the rows of a table are searched by: the columns that the checksum covers beside the document. */
type Columns = readonly (string | number)[];

const FUNCTION_COLUMNS = ["name", "generation", "tree_id", "archive_sha256"] as const;
const VERSION_COLUMNS = ["function_name", "number", "tree_id", "archive_sha256"] as const;
const KEY_COLUMNS = ["id"] as const;
const SCHEDULE_COLUMNS = ["id", "function_name"] as const;
const RULE_COLUMNS = ["name"] as const;
const SOURCE_COLUMNS = ["id", "function_name", "generation"] as const;
const PROJECT_COLUMNS = ["name", "generation"] as const;
const RELEASE_COLUMNS = ["project", "number"] as const;
const HOOK_COLUMNS = ["id", "name", "function_name"] as const;
const LAYER_COLUMNS = ["layer_name", "number", "tree_id", "archive_sha256"] as const;

/** What to select so that a row can be parsed. */
export const FUNCTION_ROW = [...FUNCTION_COLUMNS, "document", "checksum"].join(", ");
export const VERSION_ROW = [...VERSION_COLUMNS, "document", "checksum"].join(", ");
export const KEY_ROW = [...KEY_COLUMNS, "document", "checksum"].join(", ");
export const SCHEDULE_ROW = [...SCHEDULE_COLUMNS, "instant_at", "next_at", "document", "checksum"].join(", ");
export const RULE_ROW = [...RULE_COLUMNS, "document", "checksum"].join(", ");
export const SOURCE_ROW = [...SOURCE_COLUMNS, "document", "checksum"].join(", ");
export const HOOK_ROW = [...HOOK_COLUMNS, "document", "checksum"].join(", ");
export const LAYER_ROW = [...LAYER_COLUMNS, "document", "checksum"].join(", ");
export const PROJECT_ROW = [...PROJECT_COLUMNS, "document", "checksum"].join(", ");
export const RELEASE_ROW = [...RELEASE_COLUMNS, "document", "checksum"].join(", ");

export function functionDocument(record: FunctionRecord): Document {
  const { code } = record.latest;
  return newDocument(record, [record.name, record.generation, code.treeId, code.archiveSha256]);
}

export function versionDocument(version: Version): Document {
  const { functionName, label, code } = version;
  return newDocument(version, [functionName, label, code.treeId, code.archiveSha256]);
}

export function keyDocument(key: KeyRecord): Document {
  return newDocument(key, [key.id]);
}

export function layerDocument(layer: LayerVersion): Document {
  const { layerName, number, code } = layer;
  return newDocument(layer, [layerName, number, code.treeId, code.archiveSha256]);
}

/** What it fires at next moves with every firing and is in columns only. */
export function scheduleDocument(schedule: Schedule): Document {
  return newDocument(schedule, [schedule.name, schedule.functionName]);
}

export function parseSchedule(row: Row): Schedule {
  const stored = JSON.parse(checkedText(row, SCHEDULE_COLUMNS)) as Schedule;
  const { timing } = stored;
  return {
    ...stored,
    qualifier: stored.qualifier,
    timing: { ...timing, startAt: timing.startAt, endAt: timing.endAt },
    input: stored.input,
    lateMsMax: stored.lateMsMax,
  };
}

export function ruleDocument(rule: Rule): Document {
  return newDocument(rule, [rule.name]);
}

export function parseRule(row: Row): Rule {
  const stored = JSON.parse(checkedText(row, RULE_COLUMNS)) as Rule;
  return { ...stored, roleArn: stored.roleArn };
}

export function sourceDocument(source: Source): Document {
  return newDocument(source, [source.id, source.functionName, source.generation]);
}

export function parseSource(row: Row): Source {
  const stored = JSON.parse(checkedText(row, SOURCE_COLUMNS)) as Source;
  return {
    ...stored,
    qualifier: stored.qualifier,
    origin: parseOrigin(stored.origin),
    concurrencyMax: stored.concurrencyMax,
    onFailure: parseDestination(stored.onFailure),
    owner: stored.owner,
  };
}

function parseOrigin(stored: Source["origin"]): Source["origin"] {
  if (stored.kind === "sqs") return { ...stored, endpoint: stored.endpoint, login: stored.login };
  const { login } = stored;
  return {
    ...stored,
    subject: stored.subject,
    attemptsMax: stored.attemptsMax,
    login: login && { ...login, user: login.user },
  };
}

export function projectDocument(project: ProjectRecord): Document {
  return newDocument(project, [project.name, project.generation]);
}

export function parseProject(row: Row): ProjectRecord {
  const stored = JSON.parse(checkedText(row, PROJECT_COLUMNS)) as ProjectRecord;
  const switches = stored.switches.map((each) => ({ ...each, from: each.from }));
  return { ...stored, liveRelease: stored.liveRelease, switches };
}

export function releaseDocument(release: Release): Document {
  return newDocument(release, [release.project, release.number]);
}

export function parseRelease(row: Row): Release {
  const stored = JSON.parse(checkedText(row, RELEASE_COLUMNS)) as Release;
  return {
    ...stored,
    functions: stored.functions.map((each) => ({ ...each, concurrencyMax: each.concurrencyMax })),
    schedules: stored.schedules.map((each) => ({
      ...each,
      qualifier: each.qualifier,
      timing: { ...each.timing, startAt: each.timing.startAt, endAt: each.timing.endAt },
      input: each.input,
      lateMsMax: each.lateMsMax,
    })),
    routes: stored.routes ?? [],
    hooks: (stored.hooks ?? []).map((each) => ({ ...each, hmac: parseHmac(each.hmac) })),
    sources: (stored.sources ?? []).map((each) => ({
      ...each,
      origin: parseOrigin(each.origin),
      concurrencyMax: each.concurrencyMax,
      onFailure: parseDestination(each.onFailure),
    })),
    madeOver: stored.madeOver,
    commit: stored.commit,
  };
}

export function hookDocument(hook: Hook): Document {
  return newDocument(hook, [hook.id, hook.name, hook.functionName]);
}

export function parseHook(row: Row): Hook {
  const stored = JSON.parse(checkedText(row, HOOK_COLUMNS)) as Hook;
  const { deploy } = stored;
  return {
    ...stored,
    qualifier: stored.qualifier,
    hmac: parseHmac(stored.hmac),
    secrets: stored.secrets.map((secret) => ({ ...secret, expiresAt: secret.expiresAt })),
    deploy: deploy && { ...deploy, credential: parseCredential(deploy.credential) },
    owner: stored.owner,
  };
}

function parseHmac(stored: Hook["hmac"]): Hook["hmac"] {
  return stored && { ...stored, idHeader: stored.idHeader, timestampHeader: stored.timestampHeader };
}

function parseCredential(stored: RepoCredential | undefined): RepoCredential | undefined {
  return stored?.kind === "ssh-key" ? { ...stored, knownHosts: stored.knownHosts } : stored;
}

export function parseFunction(row: Row): FunctionRecord {
  const stored = JSON.parse(checkedText(row, FUNCTION_COLUMNS)) as FunctionRecord;
  return {
    ...stored,
    latest: completed(stored.latest),
    liveVersion: stored.liveVersion,
    concurrencyMax: stored.concurrencyMax,
    aliases: stored.aliases.map(parseAlias),
    urls: stored.urls.map(parseUrl),
    settings: parseSettings(stored),
    eventInvokeConfigs: parseEventConfigs(stored),
    ...(stored.membership && { membership: { ...stored.membership, release: stored.membership.release } }),
  };
}

export function parseVersion(row: Row): Version {
  return completed(JSON.parse(checkedText(row, VERSION_COLUMNS)) as Version);
}

export function parseLayer(row: Row): LayerVersion {
  const stored = JSON.parse(checkedText(row, LAYER_COLUMNS)) as LayerVersion;
  return { ...stored, license: stored.license };
}

export function parseKey(row: Row): KeyRecord {
  const stored = JSON.parse(checkedText(row, KEY_COLUMNS)) as KeyRecord;
  return {
    ...stored,
    expiresAt: stored.expiresAt,
    revokedAt: stored.revokedAt,
    importedSecret: stored.importedSecret,
  };
}

/** All code that the row of a function, a version or a layer refers to: its own, and that of the layers it uses. */
export function parseCode(row: Row): {
  readonly treeIds: readonly string[];
  readonly archives: readonly string[];
} {
  const text = checkedText(row, columnsOf(row));
  const own = { treeIds: [String(row.tree_id)], archives: [String(row.archive_sha256)] };
  // Most functions have no layers, and reading a document costs more than all the rest.
  if (!text.includes('"optTreeId":')) return own;
  const { config } = "generation" in row ? parseFunction(row).latest : parseVersion(row);
  const layers = config.layers.map(({ code }) => code);
  return {
    treeIds: [
      ...own.treeIds,
      ...layers.map(({ treeId }) => treeId),
      ...(config.optTreeId === undefined ? [] : [config.optTreeId]),
    ],
    archives: [...own.archives, ...layers.map(({ archiveSha256 }: CodeRef) => archiveSha256)],
  };
}

function columnsOf(row: Row): readonly string[] {
  if ("layer_name" in row) return LAYER_COLUMNS;
  return "generation" in row ? FUNCTION_COLUMNS : VERSION_COLUMNS;
}

/** Versions stored before there were layers and JSON logs have neither. */
function completed(stored: Version): Version {
  const config: Partial<Version["config"]> = stored.config;
  const logging = config.logging ?? TEXT_LOGGING;
  return {
    ...stored,
    config: {
      ...stored.config,
      layers: config.layers ?? [],
      optTreeId: config.optTreeId,
      logging: {
        ...logging,
        applicationLevel: logging.applicationLevel,
        systemLevel: logging.systemLevel,
        group: logging.group,
      },
    },
  };
}

function parseAlias(stored: Alias): Alias {
  return { ...stored, split: stored.split };
}

/** Functions stored before there were events have none. */
function parseEventConfigs({ eventInvokeConfigs }: Partial<FunctionRecord>): EventInvokeConfig[] {
  return (eventInvokeConfigs ?? []).map((config) => ({
    ...config,
    qualifier: config.qualifier,
    retriesMax: config.retriesMax,
    eventAgeMsMax: config.eventAgeMsMax,
    onSuccess: parseDestination(config.onSuccess),
    onFailure: parseDestination(config.onFailure),
  }));
}

function parseDestination(stored: Destination | undefined): Destination | undefined {
  return stored?.kind === "function" ? { ...stored, qualifier: stored.qualifier } : stored;
}

/** Functions stored before there were such settings have none. */
function parseSettings({ settings = SETTINGS_DEFAULT }: Partial<FunctionRecord>): FunctionSettings {
  return {
    ...settings,
    logRetentionDays: settings.logRetentionDays,
    policies: settings.policies.map((policy) => ({ ...policy, qualifier: policy.qualifier })),
    runtimeUpdates: settings.runtimeUpdates.map((updates) => ({
      ...updates,
      qualifier: updates.qualifier,
      runtimeArn: updates.runtimeArn,
    })),
  };
}

function parseUrl(stored: FunctionUrl): FunctionUrl {
  return { ...stored, qualifier: stored.qualifier, cors: stored.cors };
}

export function newDocument(
  value:
    | FunctionRecord
    | Version
    | KeyRecord
    | LayerVersion
    | Schedule
    | Rule
    | Source
    | ProjectRecord
    | Release
    | Hook
    | HttpRoute,
  columns: Columns,
): Document {
  const text = JSON.stringify(value);
  return { text, checksum: checksumOf(columns, text) };
}

/** @throws PlatformError `StoreUnavailable` if the row is not what was saved. */
export function checkedText(row: Row, columns: readonly string[]): string {
  const { document, checksum } = row;
  const values = columns.map((column) => String(row[column]));
  if (typeof document === "string" && checksumOf(values, document) === checksum) return document;
  throw new PlatformError(
    "StoreUnavailable",
    "a record in the database is damaged (checksum); stop lambdad and restore lambdad.db from a backup",
  );
}

function checksumOf(columns: Columns, text: string): number {
  return crc32(text, crc32(columns.join("\n")));
}
