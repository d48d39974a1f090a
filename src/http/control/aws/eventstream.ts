/**
 * Amazon event stream encoding, as much as InvokeWithResponseStream answers need. One message, all big-endian:
 *
 *   total length u32 │ headers length u32 │ CRC32 of those 8 bytes │ headers │ payload │ CRC32 of everything before
 *   header: name length u8 │ name │ type u8 (7: string) │ value length u16 │ value
 */
import { crc32 } from "../../../core/crc32.ts";

/** Larger payloads go out in several messages; the protocol allows 16 MiB. */
const CHUNK_BYTES_MAX = 1024 * 1024;

/** A piece of the function's response. */
export function payloadChunks(bytes: Uint8Array): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES_MAX) {
    const piece = bytes.subarray(at, at + CHUNK_BYTES_MAX);
    messages.push(encodeMessage("PayloadChunk", "application/octet-stream", piece));
  }
  return messages;
}

/** The end of a response; members that are empty are left out. */
export function invokeComplete(result: {
  readonly errorCode?: string;
  readonly errorDetails?: string;
  readonly logResult?: string;
}): Buffer {
  const body = {
    ...(result.errorCode && { ErrorCode: result.errorCode }),
    ...(result.errorDetails && { ErrorDetails: result.errorDetails }),
    ...(result.logResult && { LogResult: result.logResult }),
  };
  return encodeMessage("InvokeComplete", "application/json", Buffer.from(JSON.stringify(body)));
}

function encodeMessage(eventType: string, contentType: string, payload: Uint8Array): Buffer {
  const headers = Buffer.concat([
    encodeHeader(":message-type", "event"),
    encodeHeader(":event-type", eventType),
    encodeHeader(":content-type", contentType),
  ]);
  const total = 12 + headers.length + payload.length + 4;
  const message = Buffer.allocUnsafe(total);
  message.writeUInt32BE(total, 0);
  message.writeUInt32BE(headers.length, 4);
  message.writeUInt32BE(crc32(message.subarray(0, 8)), 8);
  message.set(headers, 12);
  message.set(payload, 12 + headers.length);
  message.writeUInt32BE(crc32(message.subarray(0, total - 4)), total - 4);
  return message;
}

const STRING = 7;

function encodeHeader(name: string, value: string): Buffer {
  const nameBytes = Buffer.from(name);
  const valueBytes = Buffer.from(value);
  return Buffer.concat([
    Buffer.of(nameBytes.length),
    nameBytes,
    Buffer.of(STRING, valueBytes.length >> 8, valueBytes.length & 0xff),
    valueBytes,
  ]);
}
