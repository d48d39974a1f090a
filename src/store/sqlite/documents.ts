/**
 * Values as JSON text in a column, and back. What is undefined is left out of the text; parsing puts it back, so that
 * a value read equals the value saved. Text is trusted once its checksum holds: nobody but us has written it.
 */
import { crc32 } from "node:zlib";
import { PlatformError } from "../../core/errors.ts";
import type { Alias, FunctionRecord, FunctionUrl, Version } from "../../core/function.ts";
import type { KeyRecord } from "../store.ts";
import type { Row } from "./connection.ts";

export interface Document {
  readonly text: string;
  /** CRC-32 of the text in UTF-8. */
  readonly checksum: number;
}

export function toDocument(value: FunctionRecord | Version | KeyRecord): Document {
  const text = JSON.stringify(value);
  return { text, checksum: crc32(text) };
}

export function parseFunction(row: Row): FunctionRecord {
  const stored = checkedText(row) as FunctionRecord;
  return {
    ...stored,
    liveVersion: stored.liveVersion,
    concurrencyMax: stored.concurrencyMax,
    aliases: stored.aliases.map(parseAlias),
    urls: stored.urls.map(parseUrl),
  };
}

export function parseVersion(row: Row): Version {
  return checkedText(row) as Version;
}

export function parseKey(row: Row): KeyRecord {
  const stored = checkedText(row) as KeyRecord;
  return {
    ...stored,
    expiresAt: stored.expiresAt,
    revokedAt: stored.revokedAt,
    importedSecret: stored.importedSecret,
  };
}

function parseAlias(stored: Alias): Alias {
  return { ...stored, split: stored.split };
}

function parseUrl(stored: FunctionUrl): FunctionUrl {
  return { ...stored, qualifier: stored.qualifier, cors: stored.cors };
}

/** @throws PlatformError `StoreUnavailable` if the text is not what was saved. */
function checkedText(row: Row): unknown {
  const { document, checksum } = row;
  if (typeof document !== "string" || crc32(document) !== checksum) {
    throw new PlatformError(
      "StoreUnavailable",
      "a record in the database is damaged (checksum); stop lambdad and restore lambdad.db from a backup",
    );
  }
  return JSON.parse(document);
}
