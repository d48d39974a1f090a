import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PlatformError } from "../core/errors.ts";

const SECRET = /^whsec_[A-Za-z0-9+/]{43}=$/;
const KEY_BYTES = 32;

/**
 * What results that are sent to addresses are signed with: `webhook.secret` in the data folder, made on first use, for
 * its owner alone. Whoever receives them is given it.
 *
 * @throws PlatformError `StoreUnavailable` if the file is not what we wrote, or cannot be written.
 */
export function openWebhookSecret(dir: string): string {
  const file = join(dir, "webhook.secret");
  try {
    const made = `whsec_${randomBytes(KEY_BYTES).toString("base64")}`;
    writeFileSync(file, `${made}\n`, { mode: 0o600, flag: "wx", flush: true });
    return made;
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) {
      throw new PlatformError("StoreUnavailable", `cannot write ${file}`, { cause: error });
    }
  }
  const secret = readFileSync(file, "utf8").trim();
  if (SECRET.test(secret)) return secret;
  throw new PlatformError(
    "StoreUnavailable",
    `${file} holds no secret of ours (whsec_ and 44 characters); restore it, or remove it for a new one`,
  );
}
