/**
 * A body that was signed piece by piece (`x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD`, `aws-chunked`):
 *
 *   SIZE-IN-HEX;chunk-signature=SIGNATURE CRLF BYTES CRLF … 0;chunk-signature=SIGNATURE CRLF CRLF
 *
 * Each signature covers its piece and the signature before it, the first that of the request.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { PlatformError } from "../../core/errors.ts";

export const CHUNKED_PAYLOAD = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";

const HEAD_MAX = 200;
const NOTHING = createHash("sha256").digest("hex");

/**
 * The body without what it was wrapped in.
 *
 * @throws PlatformError `SignatureInvalid` for a piece that was not signed so, or a body that is not made so.
 */
export function decodeSignedChunks(
  body: Buffer,
  signed: {
    readonly key: Buffer;
    readonly instant: string;
    readonly scope: string;
    /** Of the request, hex. */
    readonly signature: string;
  },
): Buffer {
  const pieces: Buffer[] = [];
  let before = signed.signature;
  let at = 0;
  for (;;) {
    const headEnd = body.indexOf("\r\n", at, "latin1");
    const head = headEnd < 0 || headEnd - at > HEAD_MAX ? "" : body.toString("latin1", at, headEnd);
    const [, size = "", signature = ""] =
      /^([0-9a-f]{1,8});chunk-signature=([0-9a-f]{64})$/i.exec(head) ?? [];
    const start = headEnd + 2;
    const end = start + Number.parseInt(size, 16);
    if (signature === "" || body.toString("latin1", end, end + 2) !== "\r\n")
      throw invalid("the body is not chunked as it says");
    const piece = body.subarray(start, end);
    const hash = createHash("sha256").update(piece).digest("hex");
    const text = ["AWS4-HMAC-SHA256-PAYLOAD", signed.instant, signed.scope, before, NOTHING, hash].join("\n");
    const expected = createHmac("sha256", signed.key).update(text).digest();
    if (!timingSafeEqual(expected, Buffer.from(signature, "hex"))) {
      throw invalid("the signature of a chunk does not match what was computed");
    }
    before = signature;
    at = end + 2;
    if (piece.length === 0) break;
    pieces.push(piece);
  }
  if (at !== body.length) throw invalid("there is something behind the last chunk");
  return Buffer.concat(pieces);
}

function invalid(why: string): PlatformError {
  return new PlatformError("SignatureInvalid", `x-amz-content-sha256: ${CHUNKED_PAYLOAD}: ${why}`);
}
