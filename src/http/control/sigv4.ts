/**
 * AWS Signature Version 4, the verifying side (AWS General Reference, "Signature Version 4 signing process").
 *
 *   string to sign = "AWS4-HMAC-SHA256" \n instant \n DATE/REGION/SERVICE/aws4_request \n SHA-256(canonical request)
 *   canonical request = method \n path, encoded once more \n sorted query \n signed headers \n their names \n body hash
 *   key = HMAC(HMAC(HMAC(HMAC("AWS4" + secret, DATE), REGION), SERVICE), "aws4_request")
 *
 * The signature comes in the Authorization header or, presigned, in the query. Parsing and checking are two steps, so
 * that an unknown key or a stale date costs no body: `parseSignature` before the body is read, `verify` after.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { PlatformError } from "../../core/errors.ts";
import { CHUNKED_PAYLOAD, decodeSignedChunks } from "./sigv4-chunks.ts";

export interface SignedRequest {
  readonly method: string;
  /** Path and query as received. */
  readonly target: string;
  /** Names and values in turn. */
  readonly rawHeaders: readonly string[];
}

export interface Signature {
  readonly keyId: string;
  /** `DATE/REGION/SERVICE/aws4_request`. */
  readonly scope: string;
  readonly instant: string;
  readonly signedHeaders: readonly string[];
  /** Hex, 64 characters. */
  readonly signature: string;
  readonly isPresigned: boolean;
  /** `X-Amz-Security-Token`, which temporary keys must send. */
  readonly sessionToken: string | undefined;
  /** The body hash that was signed, if the request says it; `UNSIGNED-PAYLOAD` leaves the body unproven. */
  readonly declaredBodyHash: string | undefined;
}

/** How far a signer's clock may be off, as on AWS. */
const CLOCK_SKEW_MS = 15 * 60_000;
const PRESIGNED_SECONDS_MAX = 7 * 24 * 3600;
const ALGORITHM = "AWS4-HMAC-SHA256";
const UNSIGNED = "UNSIGNED-PAYLOAD";
const MISMATCH =
  "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";

/**
 * The signature a request claims to have; undefined if it does not claim one.
 *
 * @throws PlatformError `SignatureInvalid` if it is malformed, too old, from the future, or leaves out a header that
 * must be signed (`host` and every `x-amz-…`), or signed for another service than these.
 */
export function parseSignature(
  request: SignedRequest,
  now: number,
  services: readonly string[] = ["lambda"],
): Signature | undefined {
  const headers = headerMap(request.rawHeaders);
  const query = queryPairs(request.target);
  const authorization = headers.get("authorization");
  const inQuery = (name: string) => query.find(([key]) => key === name)?.[1];

  let signature: Signature;
  if (authorization?.startsWith(ALGORITHM)) {
    const fields =
      /^AWS4-HMAC-SHA256\s+Credential=([^,\s]+)\s*,\s*SignedHeaders=([^,\s]+)\s*,\s*Signature=([^,\s]+)\s*$/.exec(
        authorization,
      );
    const [, credential = "", signedHeaders = "", hex = ""] = fields ?? [];
    signature = {
      ...parseCredential(credential, services),
      instant: headers.get("x-amz-date") ?? "",
      signedHeaders: signedHeaders.split(";"),
      signature: hex,
      isPresigned: false,
      sessionToken: headers.get("x-amz-security-token"),
      declaredBodyHash: headers.get("x-amz-content-sha256"),
    };
  } else if (inQuery("X-Amz-Algorithm") === ALGORITHM) {
    signature = {
      ...parseCredential(inQuery("X-Amz-Credential") ?? "", services),
      instant: inQuery("X-Amz-Date") ?? "",
      signedHeaders: (inQuery("X-Amz-SignedHeaders") ?? "").split(";"),
      signature: inQuery("X-Amz-Signature") ?? "",
      isPresigned: true,
      sessionToken: inQuery("X-Amz-Security-Token") ?? headers.get("x-amz-security-token"),
      declaredBodyHash: inQuery("X-Amz-Content-Sha256") ?? headers.get("x-amz-content-sha256"),
    };
  } else {
    return undefined;
  }

  checkTime(signature, inQuery("X-Amz-Expires"), now);
  if (!/^[0-9a-f]{64}$/.test(signature.signature))
    throw invalid("Signature must be 64 hexadecimal characters");
  if (signature.declaredBodyHash?.startsWith("STREAMING-") && !isChunked(signature)) {
    throw invalid(
      `x-amz-content-sha256: chunks can be signed as ${CHUNKED_PAYLOAD}, without a trailer; or sign the whole body`,
    );
  }
  const signed = new Set(signature.signedHeaders);
  if (!signed.has("host")) throw invalid("'Host' must be a 'SignedHeader' in the AWS Authorization");
  for (const name of headers.keys()) {
    if (name.startsWith("x-amz-") && !signed.has(name)) {
      throw invalid(`There were headers present in the request which were not signed: ${name}`);
    }
  }
  return signature;
}

/** Whether the session token is the one that belongs to the key, or the key has none. */
export function hasSessionToken(
  usable: { readonly sessionToken?: string | undefined },
  signature: Signature,
): boolean {
  if (usable.sessionToken === undefined) return true;
  const [expected, given] = [usable.sessionToken, signature.sessionToken ?? ""].map(sha256);
  return expected !== undefined && given !== undefined && timingSafeEqual(expected, given);
}

export interface SignatureVerifier {
  /**
   * Checks signature and body. `bodySha256` is the hex hash of the body as received.
   *
   * @throws PlatformError `SignatureInvalid`.
   */
  verify(request: SignedRequest, signature: Signature, secret: string, bodySha256: string): void;
  /** What a body is that was signed in chunks, after `verify`. @throws PlatformError `SignatureInvalid`. */
  decode(signature: Signature, secret: string, body: Buffer): Buffer;
}

/** Whether the body comes in chunks that are signed one by one. */
export function isChunked({ declaredBodyHash }: Pick<Signature, "declaredBodyHash">): boolean {
  return declaredBodyHash === CHUNKED_PAYLOAD;
}

/** Verifiers keep the last few signing keys: one per key, day, region and service. */
export function newSignatureVerifier(): SignatureVerifier {
  const keys = new Map<string, { readonly secret: string; readonly key: Buffer }>();

  function signingKey(keyId: string, scope: string, secret: string): Buffer {
    const name = `${keyId}/${scope}`;
    const known = keys.get(name);
    if (known?.secret === secret) return known.key;
    let key: Buffer = Buffer.from(`AWS4${secret}`);
    for (const part of scope.split("/")) key = hmac(key, part);
    const oldest = keys.keys().next();
    if (keys.size >= SIGNING_KEYS_MAX && !oldest.done) keys.delete(oldest.value);
    keys.set(name, { secret, key });
    return key;
  }

  return {
    verify(request, signature, secret, bodySha256) {
      const { declaredBodyHash } = signature;
      const isProved = declaredBodyHash !== UNSIGNED && !isChunked(signature);
      if (declaredBodyHash && isProved && declaredBodyHash !== bodySha256) {
        throw invalid("The provided 'x-amz-content-sha256' header does not match what was computed.");
      }
      const canonical = canonicalRequest(request, signature, declaredBodyHash ?? bodySha256);
      const text = [ALGORITHM, signature.instant, signature.scope, sha256Hex(canonical)].join("\n");
      const expected = hmac(signingKey(signature.keyId, signature.scope, secret), text);
      if (!timingSafeEqual(expected, Buffer.from(signature.signature, "hex"))) throw invalid(MISMATCH);
    },
    decode(signature, secret, body) {
      const key = signingKey(signature.keyId, signature.scope, secret);
      return decodeSignedChunks(body, { ...signature, key });
    },
  };
}

const SIGNING_KEYS_MAX = 256;

function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** Hex, as signatures have it. */
export function sha256Hex(data: Uint8Array | string): string {
  return createHash("sha256").update(data).digest("hex");
}

function canonicalRequest(request: SignedRequest, signature: Signature, bodyHash: string): string {
  const headers = headerMap(request.rawHeaders);
  const [path = "/"] = request.target.split("?", 1);
  const lines = [request.method, path.split("/").map(encodeStrictly).join("/") || "/"];
  const pairs = queryPairs(request.target)
    .filter(([key]) => !(signature.isPresigned && key === "X-Amz-Signature"))
    .map(([key, value]): readonly [string, string] => [encodeStrictly(key), encodeStrictly(value)])
    .sort(([keyA, valueA], [keyB, valueB]) => compare(keyA, keyB) || compare(valueA, valueB));
  lines.push(pairs.map(([key, value]) => `${key}=${value}`).join("&"));
  for (const name of signature.signedHeaders) lines.push(`${name}:${headers.get(name) ?? ""}`);
  lines.push("", signature.signedHeaders.join(";"), bodyHash);
  return lines.join("\n");
}

function parseCredential(
  credential: string,
  services: readonly string[],
): { readonly keyId: string; readonly scope: string } {
  const [keyId = "", date = "", region = "", service = "", end, ...rest] = credential.split("/");
  if (!keyId || !/^\d{8}$/.test(date) || !region || end !== "aws4_request" || rest.length > 0) {
    throw invalid("Credential must be ID/YYYYMMDD/REGION/lambda/aws4_request");
  }
  if (!services.includes(service))
    throw invalid(`Credential should be scoped to correct service: '${services[0]}', not '${service}'`);
  return { keyId, scope: `${date}/${region}/${service}/${end}` };
}

function checkTime(signature: Signature, expires: string | undefined, now: number): void {
  const fields = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(signature.instant);
  if (!fields) throw invalid("X-Amz-Date must be given as YYYYMMDDTHHMMSSZ");
  const [, year, month, day, hour, minute, second] = fields;
  const signedAt = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(signedAt)) throw invalid(`X-Amz-Date is no date: ${signature.instant}`);
  if (!signature.scope.startsWith(`${year}${month}${day}/`)) {
    throw invalid("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP");
  }
  if (signedAt > now + CLOCK_SKEW_MS) {
    throw invalid(
      `Signature not yet current: ${signature.instant} is more than 15 minutes ahead of the daemon's clock`,
    );
  }
  let lifetimeMs = CLOCK_SKEW_MS;
  if (signature.isPresigned) {
    if (!/^\d{1,6}$/.test(expires ?? "") || Number(expires) < 1 || Number(expires) > PRESIGNED_SECONDS_MAX) {
      throw invalid(`X-Amz-Expires must be 1 to ${PRESIGNED_SECONDS_MAX} seconds`);
    }
    lifetimeMs = Number(expires) * 1000;
  }
  if (now > signedAt + lifetimeMs) {
    throw invalid(
      `Signature expired: ${signature.instant} is ${Math.round((now - signedAt) / 60_000)} minutes old`,
    );
  }
}

/** Lower-case names; values trimmed, runs of spaces made one; a repeated header joined by commas. */
function headerMap(rawHeaders: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? "").toLowerCase();
    const value = (rawHeaders[at + 1] ?? "").trim().replace(/ {2,}/g, " ");
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before},${value}`);
  }
  return headers;
}

/** Decoded, in the order received. */
function queryPairs(target: string): (readonly [string, string])[] {
  const start = target.indexOf("?");
  if (start < 0) return [];
  return target
    .slice(start + 1)
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const equals = pair.indexOf("=");
      return equals < 0
        ? [decode(pair), ""]
        : [decode(pair.slice(0, equals)), decode(pair.slice(equals + 1))];
    });
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new PlatformError("SignatureInvalid", `the query is not well encoded: ${JSON.stringify(text)}`, {
      cause,
    });
  }
}

/** RFC 3986: everything but letters, digits and `-._~`. */
function encodeStrictly(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

function invalid(message: string): PlatformError {
  return new PlatformError("SignatureInvalid", message);
}
