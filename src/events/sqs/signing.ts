/**
 * AWS Signature Version 4, the signing side, for one POST to `/` with a JSON body (AWS General Reference, "Signature
 * Version 4 signing process"; http/control/sigv4.ts has the other side).
 */
import { createHash, createHmac } from "node:crypto";

export interface SigningLogin {
  readonly accessKeyId: string;
  readonly secret: string;
}

/** The headers of the request, `authorization` among them. Names are in lower case. */
export function signedHeaders(
  headers: Readonly<Record<string, string>>,
  body: string,
  scope: { readonly region: string; readonly service: string },
  login: SigningLogin,
  now: number,
): Record<string, string> {
  const instant = new Date(now).toISOString().replace(/[-:]|\.\d{3}/g, "");
  const all: Record<string, string> = { ...headers, "x-amz-date": instant };
  const names = Object.keys(all).sort();
  const canonical = [
    "POST",
    "/",
    "",
    ...names.map((name) => `${name}:${all[name]?.trim()}`),
    "",
    names.join(";"),
    sha256(body),
  ].join("\n");
  const day = instant.slice(0, 8);
  const credential = `${day}/${scope.region}/${scope.service}/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", instant, credential, sha256(canonical)].join("\n");
  let key: Buffer = Buffer.from(`AWS4${login.secret}`);
  for (const part of credential.split("/")) key = hmac(key, part);
  const signature = hmac(key, text).toString("hex");
  return {
    ...all,
    authorization: `AWS4-HMAC-SHA256 Credential=${login.accessKeyId}/${credential}, SignedHeaders=${names.join(";")}, Signature=${signature}`,
  };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
