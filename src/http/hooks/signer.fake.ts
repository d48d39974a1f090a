import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHmac } from "node:crypto";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

/**
 * An HMAC in hex, made by another implementation than the one under test: `openssl dgst`. Where that is not installed
 * it is our own, which then proves less.
 */
export function macByOther(key: string | Buffer, text: string | Buffer, algorithm = "sha256"): string {
  if (!hasOpenssl) {
    assert.notEqual(process.env.REQUIRE_ALL, "1", "openssl is not installed");
    return createHmac(algorithm, key).update(text).digest("hex");
  }
  const keyOption = ["-mac", "HMAC", "-macopt", `hexkey:${Buffer.from(key).toString("hex")}`];
  const { stdout } = spawnSync("openssl", ["dgst", `-${algorithm}`, ...keyOption], { input: text });
  return stdout.toString().trim().split(" ").at(-1) ?? "";
}
