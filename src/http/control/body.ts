import { createHash, type Hash, randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { PlatformError } from "../../core/errors.ts";
import type { BodyRule } from "./route.ts";

/** Of requests that need no body; read only so that the connection can go on and signatures can be checked. */
const FORGOTTEN_BYTES_MAX = 64 * 1024;

/** A body as received, before anybody trusts it. */
export interface ReceivedBody {
  /** Empty when the body went to a file. */
  readonly bytes: Buffer;
  readonly upload: { readonly file: string; readonly bytes: number } | undefined;
  /** Hex SHA-256; empty unless asked for. */
  readonly sha256: string;
}

/**
 * Reads a body up to its limit.
 *
 * @throws PlatformError `PayloadTooLarge` with `tooLarge(limit)`, `InvalidRequest` for an encoded body, `StorageFull`,
 * `StoreUnavailable`, `CallerGone` if the connection ended before the body did.
 */
export async function receiveBody(
  request: IncomingMessage,
  rule: BodyRule,
  options: {
    readonly uploadDir: string;
    readonly wantsHash: boolean;
    /** `aws-chunked`, which the signature takes off. */
    readonly isChunked?: boolean;
    readonly tooLarge: (bytesMax: number) => string;
    readonly signal: AbortSignal;
  },
): Promise<ReceivedBody> {
  const bytesMax = rule.kind === "none" ? FORGOTTEN_BYTES_MAX : rule.bytesMax;
  const encoding = request.headers["content-encoding"];
  const isUnwrapped = options.isChunked === true && encoding === "aws-chunked";
  if (encoding !== undefined && encoding !== "identity" && !isUnwrapped) {
    throw new PlatformError(
      "InvalidRequest",
      `content-encoding ${JSON.stringify(encoding)} is not supported: send the body as it is`,
    );
  }
  if (Number(request.headers["content-length"] ?? 0) > bytesMax) {
    throw new PlatformError("PayloadTooLarge", options.tooLarge(bytesMax));
  }
  const hash = options.wantsHash ? createHash("sha256") : undefined;
  const pieces = bounded(request, bytesMax, hash, options.tooLarge);
  const upload = rule.kind === "file" ? await toFile(pieces, options.uploadDir, options.signal) : undefined;
  const bytes = rule.kind === "file" ? Buffer.alloc(0) : await toBuffer(pieces);
  return { bytes, upload, sha256: hash?.digest("hex") ?? "" };
}

async function* bounded(
  request: IncomingMessage,
  bytesMax: number,
  hash: Hash | undefined,
  tooLarge: (bytesMax: number) => string,
): AsyncGenerator<Buffer> {
  let received = 0;
  try {
    // The stream stays usable when we stop early, so that an answer can still go out.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      const piece: Buffer = chunk;
      received += piece.length;
      if (received > bytesMax) throw new PlatformError("PayloadTooLarge", tooLarge(bytesMax));
      hash?.update(piece);
      yield piece;
    }
  } catch (cause) {
    if (request.complete || cause instanceof PlatformError) throw cause;
    throw new PlatformError("CallerGone", "the connection ended before the body was complete", { cause });
  }
}

async function toBuffer(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

async function toFile(
  pieces: AsyncIterable<Buffer>,
  dir: string,
  signal: AbortSignal,
): Promise<{ readonly file: string; readonly bytes: number }> {
  const file = join(dir, `upload-${randomUUID()}`);
  const { pipeline } = await import("node:stream/promises");
  let bytes = 0;
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await pipeline(
      pieces,
      async function* count(source: AsyncIterable<Buffer>) {
        for await (const piece of source) {
          bytes += piece.length;
          yield piece;
        }
      },
      createWriteStream(file, { flags: "wx", mode: 0o600 }),
      { signal },
    );
  } catch (error) {
    // A disk that cannot be written to keeps what is there; why is in the error.
    await rm(file, { force: true }).catch(() => undefined);
    throw asUploadError(error, dir);
  }
  return { file, bytes };
}

function asUploadError(error: unknown, dir: string): unknown {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (["ENOSPC", "EDQUOT"].includes(code)) {
    return new PlatformError("StorageFull", `no space left in ${dir} for the upload`, { cause: error });
  }
  if (["EROFS", "EIO"].includes(code)) {
    const message = `cannot write the upload to ${dir} (${code}); check the disk of the data folder`;
    return new PlatformError("StoreUnavailable", message, { cause: error });
  }
  return error;
}
