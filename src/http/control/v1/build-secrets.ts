/**
 * Secrets of a build that is about to be asked for: taken in a body, since the options of a build stand in its address. They
 * are kept in memory alone, for the key that brought them, until the build takes them.
 */
import { randomBytes } from "node:crypto";
import * as z from "zod";
import {
  BUILD_SECRET_BYTES_MAX,
  BUILD_SECRET_ID,
  BUILD_SECRET_RULE,
  BUILD_SECRETS_BYTES_MAX,
  BUILD_SECRETS_MAX,
} from "../../../core/build-inputs.ts";
import { PlatformError } from "../../../core/errors.ts";
import { type ControlRequest, jsonReply, type Reply } from "../route.ts";
import { parse } from "./wire.ts";

const KEPT_MS = 10 * 60_000;
const SETS_MAX = 64;

const Body = z.strictObject({
  secrets: z.record(
    z.string().regex(BUILD_SECRET_ID, `expected ${BUILD_SECRET_RULE}`),
    z.base64("expected base64"),
  ),
});

interface SecretSet {
  readonly key: string;
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  readonly endsAt: number;
}

export class BuildSecrets {
  readonly #now: () => number;
  readonly #sets = new Map<string, SecretSet>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** `POST /v1/build-secrets`. @throws PlatformError `InvalidRequest`. */
  async put({ json, caller }: ControlRequest): Promise<Reply> {
    const given = Object.entries(parse(Body, json, "body").secrets);
    if (given.length === 0 || given.length > BUILD_SECRETS_MAX)
      throw refusal(`secrets: expected 1 to ${BUILD_SECRETS_MAX} of them, got ${given.length}`);
    const secrets = new Map(given.map(([id, value]) => [id, new Uint8Array(Buffer.from(value, "base64"))]));
    let total = 0;
    for (const [id, { byteLength }] of secrets) {
      total += byteLength;
      if (byteLength > BUILD_SECRET_BYTES_MAX || total > BUILD_SECRETS_BYTES_MAX)
        throw refusal(
          `secrets.${id}: expected at most ${BUILD_SECRET_BYTES_MAX} bytes, and ${BUILD_SECRETS_BYTES_MAX} for all of them`,
        );
    }
    for (const [id, { endsAt }] of this.#sets) {
      if (endsAt > this.#now() && this.#sets.size < SETS_MAX) break;
      this.#sets.delete(id);
    }
    const id = `bs_${randomBytes(16).toString("hex")}`;
    const endsAt = this.#now() + KEPT_MS;
    this.#sets.set(id, { key: caller.key?.id ?? "", secrets, endsAt });
    return jsonReply(201, { id, expiresAt: endsAt });
  }

  /** They are gone from here then. @throws PlatformError `InvalidRequest` for what is not kept for that key. */
  take(id: string | undefined, { caller }: ControlRequest): ReadonlyMap<string, Uint8Array> | undefined {
    if (id === undefined) return undefined;
    const set = this.#sets.get(id);
    if (!set || set.endsAt <= this.#now() || set.key !== (caller.key?.id ?? ""))
      throw refusal(
        `buildSecrets: ${JSON.stringify(id)} is not kept (any more): send the secrets again, each build takes its own`,
      );
    this.#sets.delete(id);
    return set.secrets;
  }
}

function refusal(message: string): PlatformError {
  return new PlatformError("InvalidRequest", message);
}
