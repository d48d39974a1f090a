import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, it } from "node:test";
import { systemClock } from "../../core/clock.ts";
import { type ErrorCode, isPlatformError } from "../../core/errors.ts";
import { newKeyId } from "../../core/ids.ts";
import type { KeyRecord } from "../../store/store.ts";
import { sha256Hex } from "./sigv4.ts";
import { newUrlSignatureCheck } from "./url-signatures.ts";

const SECRET = "a secret of forty characters, or nearly";

function keyOf(change: Partial<KeyRecord> = {}): KeyRecord {
  return {
    id: newKeyId(),
    description: "",
    scopes: ["invoke"],
    functions: "*",
    createdAt: 0,
    expiresAt: undefined,
    revokedAt: undefined,
    importedSecret: undefined,
    ...change,
  };
}

function checkOf(key: KeyRecord) {
  const findUsable = async (id: string) => (id === key.id ? { key, secret: SECRET } : undefined);
  return newUrlSignatureCheck({ keys: { findUsable }, account: "123456789012", clock: systemClock });
}

/** `POST /a%20b?x=1`, signed. */
function signed(keyId: string, body: string) {
  const instant = new Date().toISOString().replace(/[-:]|\.\d{3}/g, "");
  const scope = `${instant.slice(0, 8)}/eu-central-1/lambda/aws4_request`;
  const host = "id.lambda-url.eu-central-1.localhost:8080";
  const names = "host;x-amz-date";
  const canonical = [
    "POST",
    "/a%2520b",
    "x=1",
    `host:${host}`,
    `x-amz-date:${instant}`,
    "",
    names,
    sha256Hex(body),
  ];
  let key: Buffer = Buffer.from(`AWS4${SECRET}`);
  for (const part of scope.split("/")) key = createHmac("sha256", key).update(part).digest();
  const text = ["AWS4-HMAC-SHA256", instant, scope, sha256Hex(canonical.join("\n"))].join("\n");
  const signature = createHmac("sha256", key).update(text).digest("hex");
  const authorization = `AWS4-HMAC-SHA256 Credential=${keyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
  return {
    method: "POST",
    path: "/a%20b",
    query: "x=1",
    rawHeaders: ["Host", host, "X-Amz-Date", instant, "Authorization", authorization],
    body: Buffer.from(body),
  };
}

const fails = (code: ErrorCode) => (error: unknown) => isPlatformError(error, code);

describe("newUrlSignatureCheck", () => {
  it("tells who signed", async () => {
    const key = keyOf();
    assert.deepEqual(await checkOf(key)(signed(key.id, "hello")), {
      accessKey: key.id,
      accountId: "123456789012",
      userArn: `arn:aws:iam::123456789012:user/${key.id}`,
      userId: key.id,
    });
  });

  it("refuses no signature, an unknown key, and a changed body", async () => {
    const key = keyOf();
    const check = checkOf(key);
    const request = signed(key.id, "hello");
    await assert.rejects(check({ ...request, rawHeaders: ["Host", "h"] }), fails("Unauthenticated"));
    await assert.rejects(check(signed(newKeyId(), "hello")), fails("Unauthenticated"));
    await assert.rejects(check({ ...request, body: Buffer.from("hellO") }), fails("SignatureInvalid"));
  });

  it("refuses a key without the scope, or for some functions only", async () => {
    for (const key of [keyOf({ scopes: ["deploy"] }), keyOf({ functions: "greet" })]) {
      await assert.rejects(checkOf(key)(signed(key.id, "")), fails("Forbidden"));
    }
  });
});
