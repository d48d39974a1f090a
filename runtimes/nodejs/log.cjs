// console.* of a function: each call is one record on the log descriptor, tied to its request, however many lines it has.
//
//   u32 type │ u32 length │ u64 microseconds since epoch │ message      (big-endian)
//
// The type's low bits carry the level. Without the descriptor records go to stdout, with their inner line ends as \r.
"use strict";

const { writeSync } = require("node:fs");
const { format } = require("node:util");

const TEXT_TYPE = 0xa55a0003;
const JSON_TYPE = 0xa55a0002;
const HEAD_BYTES = 16;
/** A longer message becomes several records; the reader refuses what is much longer. */
const RECORD_BYTES_MAX = 256 * 1024;
const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

let requestId = "-";
let isJson = false;

/** @param {string} id */
function setRequestId(id) {
  requestId = id;
}

/**
 * @param {number | undefined} descriptor
 * @param {string} noRequestId what stands for the id before the first call
 */
function patchConsole(descriptor, noRequestId) {
  requestId = noRequestId;
  isJson = process.env.AWS_LAMBDA_LOG_FORMAT?.toUpperCase() === "JSON";
  const lowest = Math.max(0, LEVELS.indexOf(process.env.AWS_LAMBDA_LOG_LEVEL?.toUpperCase() ?? ""));
  const write =
    descriptor === undefined ? writeToStdout : (rank, line) => writeRecord(descriptor, rank, line);
  const logAt = (rank) => {
    if (rank < lowest) return () => {};
    const level = LEVELS[rank];
    return (...values) => {
      const now = new Date().toISOString();
      const line = isJson
        ? jsonLine(now, level, values)
        : `${now}\t${requestId}\t${level}\t${format(...values)}`;
      write(rank, line);
    };
  };
  const [trace, debug, info, warn, error, fatal] = LEVELS.map((_, rank) => logAt(rank));
  Object.assign(console, { trace, debug, info, log: info, warn, error, fatal });
}

/**
 * The line that Lambda's runtime writes when a call or the start fails.
 *
 * @param {string} what
 * @param {unknown} error
 */
function logError(what, error) {
  if (isJson) console.error(error instanceof Error ? error : new Error(String(error)));
  else console.error(what, `\t${require("./errors.cjs").errorForLog(error)}`);
}

/**
 * @param {string} timestamp
 * @param {string} level
 * @param {unknown[]} values
 */
function jsonLine(timestamp, level, values) {
  const record = { timestamp, level, requestId };
  if (values.length === 1) {
    try {
      return JSON.stringify({ ...record, message: values[0] }, (_key, value) =>
        value instanceof Error ? { ...errorMembers(value), ...value } : value,
      );
    } catch {
      return JSON.stringify({ ...record, message: format(values[0]) });
    }
  }
  const error = values.find((value) => value instanceof Error);
  return JSON.stringify({ ...record, message: format(...values), ...(error && errorMembers(error)) });
}

/** @param {Error} error */
function errorMembers(error) {
  return {
    errorType: error.constructor?.name ?? "UnknownError",
    errorMessage: error.message,
    stackTrace: typeof error.stack === "string" ? error.stack.split("\n") : [],
  };
}

/**
 * @param {number} _rank
 * @param {string} line
 */
function writeToStdout(_rank, line) {
  process.stdout.write(`${line.replaceAll("\n", "\r")}\n`);
}

/**
 * @param {number} descriptor
 * @param {number} rank
 * @param {string} line
 */
function writeRecord(descriptor, rank, line) {
  const type = ((isJson ? JSON_TYPE : TEXT_TYPE) | ((rank + 1) << 2)) >>> 0;
  const bytes = Buffer.byteLength(line);
  const record = Buffer.allocUnsafe(HEAD_BYTES + bytes);
  record.write(line, HEAD_BYTES);
  if (bytes <= RECORD_BYTES_MAX) {
    writeHead(record, type, bytes);
    writeAll(descriptor, record);
    return;
  }
  const head = Buffer.allocUnsafe(HEAD_BYTES);
  for (let at = HEAD_BYTES; at < record.length; at += RECORD_BYTES_MAX) {
    const piece = record.subarray(at, at + RECORD_BYTES_MAX);
    writeHead(head, type, piece.length);
    writeAll(descriptor, Buffer.concat([head, piece]));
  }
}

/**
 * @param {Buffer} head
 * @param {number} type
 * @param {number} length
 */
function writeHead(head, type, length) {
  const micros = Date.now() * 1000;
  head.writeUInt32BE(type, 0);
  head.writeUInt32BE(length, 4);
  head.writeUInt32BE(Math.floor(micros / 2 ** 32), 8);
  head.writeUInt32BE(micros % 2 ** 32, 12);
}

/**
 * Synchronous, so that the last words of a process that dies are out. A full pipe is waited for; one that nobody reads
 * any more loses the record, since a function must not fail by logging.
 *
 * @param {number} descriptor
 * @param {Buffer} bytes
 */
function writeAll(descriptor, bytes) {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(descriptor, bytes, at);
    } catch (error) {
      if (error.code !== "EAGAIN") return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

module.exports = { setRequestId, patchConsole, logError };
