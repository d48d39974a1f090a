/**
 * Values as JSON text in a column, and back. What is undefined is left out of the text; parsing puts it back, so that
 * a value read equals the value saved. Text is trusted once its checksum holds: nobody but us has written it.
 */
import { crc32 } from "node:zlib";
import { PlatformError } from "../../core/errors.ts";
import type { Alias, CodeRef, FunctionRecord, FunctionUrl, Version } from "../../core/function.ts";
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

/** What to select so that a row can be parsed. */
export const FUNCTION_ROW = [...FUNCTION_COLUMNS, "document", "checksum"].join(", ");
export const VERSION_ROW = [...VERSION_COLUMNS, "document", "checksum"].join(", ");
export const KEY_ROW = [...KEY_COLUMNS, "document", "checksum"].join(", ");

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

export function parseFunction(row: Row): FunctionRecord {
  const stored = JSON.parse(checkedText(row, FUNCTION_COLUMNS)) as FunctionRecord;
  return {
    ...stored,
    liveVersion: stored.liveVersion,
    concurrencyMax: stored.concurrencyMax,
    aliases: stored.aliases.map(parseAlias),
    urls: stored.urls.map(parseUrl),
  };
}

export function parseVersion(row: Row): Version {
  return JSON.parse(checkedText(row, VERSION_COLUMNS)) as Version;
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

/** The code that the row of a function or a version refers to. */
export function parseCode(row: Row): Pick<CodeRef, "treeId" | "archiveSha256"> {
  checkedText(row, "generation" in row ? FUNCTION_COLUMNS : VERSION_COLUMNS);
  return { treeId: String(row.tree_id), archiveSha256: String(row.archive_sha256) };
}

function parseAlias(stored: Alias): Alias {
  return { ...stored, split: stored.split };
}

function parseUrl(stored: FunctionUrl): FunctionUrl {
  return { ...stored, qualifier: stored.qualifier, cors: stored.cors };
}

function newDocument(value: FunctionRecord | Version | KeyRecord, columns: Columns): Document {
  const text = JSON.stringify(value);
  return { text, checksum: checksumOf(columns, text) };
}

/** @throws PlatformError `StoreUnavailable` if the row is not what was saved. */
function checkedText(row: Row, columns: readonly string[]): string {
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
