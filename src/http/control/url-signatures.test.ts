import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { describe, it } from "node:test";
import { systemClock } from "../../core/clock.ts";
import { type ErrorCode, isPlatformError } from "../../core/errors.ts";
import { SETTINGS_DEFAULT } from "../../core/function-settings.ts";
import { newKeyId } from "../../core/ids.ts";
import type { Permission } from "../../core/permission.ts";
import type { Target } from "../../registry/target.ts";
import { sampleFunction } from "../../store/samples.fake.ts";
import type { KeyRecord } from "../../store/store.ts";
import type { UrlPermissions } from "../gateway/exchange.ts";
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

const ROOT = "arn:aws:iam::123456789012:root";

function checkOf(key: KeyRecord, urlPermissions: UrlPermissions = "off") {
  const findUsable = async (id: string) => (id === key.id ? { key, secret: SECRET } : undefined);
  return newUrlSignatureCheck({
    keys: { findUsable },
    account: "123456789012",
    urlPermissions,
    clock: systemClock,
  });
}

/** The function `sample`, whose policy allows these. */
function targetWith(...permissions: readonly Omit<Permission, "id">[]): Target {
  const policy = {
    qualifier: undefined,
    revisionId: "r",
    permissions: permissions.map((permission, at) => ({ ...permission, id: String(at) })),
  };
  const policies = permissions.length > 0 ? [policy] : [];
  const record = sampleFunction("sample", { settings: { ...SETTINGS_DEFAULT, policies } });
  return { record, version: record.latest, qualifier: undefined };
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
    target: targetWith(),
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

  it("refuses a key without the scope, or for other functions", async () => {
    for (const key of [keyOf({ scopes: ["deploy"] }), keyOf({ functions: "greet" })]) {
      await assert.rejects(checkOf(key)(signed(key.id, "")), fails("Forbidden"));
    }
    const key = keyOf({ functions: "sam*" });
    assert.equal((await checkOf(key)(signed(key.id, ""))).accessKey, key.id);
  });

  it("takes a key for other functions where the policy of the function allows it", async () => {
    const key = keyOf({ functions: "greet" });
    const byRoot = {
      action: "lambda:InvokeFunctionUrl",
      principal: { kind: "aws", arn: ROOT },
      conditions: { urlAuthType: "AWS_IAM" },
    } as const;
    const request = signed(key.id, "");
    await checkOf(key)({ ...request, target: targetWith(byRoot) });
    for (const wrong of [
      { ...byRoot, action: "lambda:InvokeFunction" },
      { ...byRoot, conditions: { urlAuthType: "NONE" as const } },
      { ...byRoot, conditions: { sourceAccount: "123456789012" } },
      { ...byRoot, principal: { kind: "aws" as const, arn: "arn:aws:iam::999999999999:root" } },
      { ...byRoot, principal: { kind: "service" as const, name: "s3.amazonaws.com" } },
    ]) {
      await assert.rejects(checkOf(key)({ ...request, target: targetWith(wrong) }), fails("Forbidden"));
    }
    const invokeOnly = keyOf({ scopes: ["read"], functions: "greet" });
    await assert.rejects(
      checkOf(invokeOnly)({ ...signed(invokeOnly.id, ""), target: targetWith(byRoot) }),
      fails("Forbidden"),
    );
  });

  it("asks for both statements where both are asked for", async () => {
    const key = keyOf({ functions: "greet" });
    const principal = { kind: "everybody" } as const;
    const byUrl = { action: "lambda:InvokeFunctionUrl", principal, conditions: {} };
    const direct = { action: "lambda:InvokeFunction", principal, conditions: { onlyByUrl: true } };
    const request = signed(key.id, "");
    const check = checkOf(key, "both");
    await assert.rejects(check({ ...request, target: targetWith(byUrl) }), fails("Forbidden"));
    await check({ ...request, target: targetWith(byUrl, direct) });
  });
});
