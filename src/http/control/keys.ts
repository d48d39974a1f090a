/**
 * API keys. A key is an id and a secret; the bearer token is `ID.SECRET`, SigV4 signs with the two.
 *
 * The store keeps no secret that could be used: the secret of a key is derived from the master key (a file of 32
 * random bytes, 0600) as base64 of HMAC-SHA256(master, id), cut to the 40 characters that AWS secrets have. A pair
 * that was brought along is encrypted under the same master. Whoever has the store alone has no key.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import { join } from "node:path";
import type { Clock } from "../../core/clock.ts";
import { PlatformError } from "../../core/errors.ts";
import { type KeyId, newKeyId, parseKeyId } from "../../core/ids.ts";
import type { ReleaseRef } from "../../core/project.ts";
import type { KeyRecord, KeyStore, Scope } from "../../store/store.ts";
import { isWritten, type Master, openMaster, placeFile } from "./key-files.ts";

export const SCOPES: readonly Scope[] = ["invoke", "read", "replay", "deploy", "admin"];

/** What each scope allows besides itself. */
const IMPLIES: Readonly<Record<Scope, readonly Scope[]>> = {
  invoke: ["invoke"],
  read: ["read"],
  replay: ["replay"],
  deploy: ["deploy", "read"],
  admin: ["admin", "deploy", "replay", "read", "invoke"],
};

export function allowsScope(key: Pick<KeyRecord, "scopes">, scope: Scope): boolean {
  return key.scopes.some((held) => IMPLIES[held].includes(scope));
}

/** `*` in a key's pattern stands for any characters, a comma stands between patterns; everything else for itself. */
export function allowsFunction(key: Pick<KeyRecord, "functions">, name: string): boolean {
  return key.functions.split(",").some((pattern) => fits(pattern, name));
}

/** Two pointers instead of a regular expression: a pattern like `*a*a*a*b` must not cost exponential time. */
function fits(pattern: string, name: string): boolean {
  let at = 0;
  let starAt = -1;
  let resumeAt = 0;
  for (let index = 0; index < name.length; ) {
    if (pattern[at] === "*") {
      starAt = at++;
      resumeAt = index;
    } else if (pattern[at] === name[index]) {
      at++;
      index++;
    } else if (starAt >= 0) {
      at = starAt + 1;
      index = ++resumeAt;
    } else {
      return false;
    }
  }
  while (pattern[at] === "*") at++;
  return at === pattern.length;
}

export interface NewKey {
  /** An id and secret that exist elsewhere already; both or neither. */
  readonly imported: { readonly id: KeyId; readonly secret: string } | undefined;
  readonly description: string;
  readonly scopes: readonly Scope[];
  /** Glob over function names. */
  readonly functions: string;
  readonly expiresAt: number | undefined;
}

/** A key as its owner gets it, once. */
export interface IssuedKey {
  readonly key: KeyRecord;
  readonly secret: string;
  readonly token: string;
}

/** What a signature is checked with. */
export interface UsableKey {
  readonly key: KeyRecord;
  readonly secret: string;
  /** That the signer must send; undefined where it may send any. */
  readonly sessionToken?: string | undefined;
  /** Of an instance in a release: what it calls stays in that. */
  readonly release?: ReleaseRef | undefined;
}

export interface TemporaryKey {
  readonly id: KeyId;
  readonly secret: string;
  readonly sessionToken: string;
  /** At once; safe to call twice. */
  revoke(): void;
}

/** All keys of this installation. Changes go through here alone, so a revoked key is refused from then on. */
export interface KeyRing {
  /** The key of a bearer token `ID.SECRET`; undefined if it is unknown, wrong, expired or revoked. */
  findByToken(token: string): Promise<KeyRecord | undefined>;
  /** A key that may be used now, with its secret, to check a signature. */
  findUsable(id: string): Promise<UsableKey | undefined>;
  /**
   * A key that lives in memory only, until it is revoked: it may `invoke` those functions and signs with a session token.
   * It never works as a bearer token.
   */
  issueTemporary(made: {
    readonly description: string;
    readonly functions: string;
    readonly release?: ReleaseRef | undefined;
  }): TemporaryKey;
  /** Keeps secrets of other things, each purpose under a key of its own. */
  sealerFor(purpose: string): Sealer;
  /** By age. Revoked and expired ones too. */
  list(): Promise<readonly KeyRecord[]>;
  /** @throws PlatformError `ResourceConflict` if the id exists, `InvalidRequest` beyond 1,000 keys in use. */
  create(made: NewKey): Promise<IssuedKey>;
  /** No error if it is revoked already. @throws PlatformError `ResourceNotFound`. */
  revoke(id: KeyId): Promise<void>;
}

/** Encrypts what may lie in the store, bound to the id of what it belongs to. */
export interface Sealer {
  seal(id: string, secret: string): string;
  /** Undefined if it was not sealed under this master for this id. */
  unseal(id: string, sealed: string): string | undefined;
}

/** Keys that are neither revoked nor expired. */
export const KEYS_MAX = 1_000;

/**
 * Opens the ring kept in `dir` (`master.key`, `admin.key`) and `keys`. At the first start it makes both files and the
 * admin key; later it reads one file and leaves the store alone until the first request.
 *
 * @throws PlatformError `ConfigurationInvalid` if `master.key` is not what it should be.
 */
export async function openKeyRing(parts: {
  readonly dir: string;
  /** The master key in `dir`, if it is being opened already. */
  readonly master?: Promise<Master> | undefined;
  readonly keys: KeyStore;
  readonly clock: Clock;
}): Promise<KeyRing> {
  const { dir, keys, clock } = parts;
  const { master, madeAt } = await (parts.master ?? openMaster(dir));
  const firstKey = adminKey(master, madeAt);
  const sealing = sealingKey(master, "imported secrets");
  const temporary = new Map<string, UsableKey>();
  let loaded: Promise<Map<KeyId, KeyRecord>> | undefined;

  /** All records, read once; a failed read is tried again by the next caller. */
  function records(): Promise<Map<KeyId, KeyRecord>> {
    loaded ??= keys
      .listKeys()
      .then((all) => new Map([firstKey, ...all].map((key) => [key.id, key])))
      .catch((error: unknown) => {
        loaded = undefined;
        throw error;
      });
    return loaded;
  }

  async function save(key: KeyRecord): Promise<void> {
    const known = await records();
    await keys.saveKey(key).catch((error: unknown) => {
      // It may be there all the same: the next who asks reads them anew.
      loaded = undefined;
      throw error;
    });
    known.set(key.id, key);
  }

  function isUsable(key: KeyRecord): boolean {
    return key.revokedAt === undefined && (key.expiresAt === undefined || key.expiresAt > clock.now());
  }

  function secretOf(key: KeyRecord): string | undefined {
    return key.importedSecret === undefined
      ? deriveSecret(master, key.id)
      : unseal(sealing, key.id, key.importedSecret);
  }

  async function findStored(id: string): Promise<{ key: KeyRecord; secret: string } | undefined> {
    const keyId = parseKeyId(id);
    const key = keyId && (await records()).get(keyId);
    if (!key || !isUsable(key)) return undefined;
    const secret = secretOf(key);
    return secret === undefined ? undefined : { key, secret };
  }

  const ring: KeyRing = {
    async findByToken(token) {
      const dot = token.indexOf(".");
      const given = token.slice(dot + 1);
      const found = await findStored(token.slice(0, Math.max(dot, 0)));
      // An unknown id costs the same comparison, so that time does not tell whether an id exists.
      const isRight = isSame(given, found?.secret ?? deriveSecret(master, "unknown"));
      return isRight ? found?.key : undefined;
    },
    async findUsable(id) {
      return temporary.get(id) ?? (await findStored(id));
    },
    issueTemporary({ description, functions, release }) {
      const id = newKeyId("LT");
      const secret = randomBytes(30).toString("base64");
      const sessionToken = randomBytes(48).toString("base64");
      const key: KeyRecord = {
        id,
        description,
        scopes: ["invoke"],
        functions,
        createdAt: clock.now(),
        expiresAt: undefined,
        revokedAt: undefined,
        importedSecret: undefined,
      };
      temporary.set(id, { key, secret, sessionToken, release });
      return { id, secret, sessionToken, revoke: () => temporary.delete(id) };
    },
    sealerFor(purpose) {
      const key = sealingKey(master, purpose);
      return { seal: (id, secret) => seal(key, id, secret), unseal: (id, sealed) => unseal(key, id, sealed) };
    },
    async list() {
      return [...(await records()).values()].sort((a, b) => a.createdAt - b.createdAt);
    },
    async create(made) {
      const known = await records();
      const id = made.imported?.id ?? newKeyId();
      if (known.has(id)) {
        throw new PlatformError(
          "ResourceConflict",
          `key ${id} exists already; ids are never used again, choose another`,
        );
      }
      if ([...known.values()].filter(isUsable).length >= KEYS_MAX) {
        throw new PlatformError("InvalidRequest", `there are ${KEYS_MAX} keys in use; revoke some first`);
      }
      const key: KeyRecord = {
        id,
        description: made.description,
        scopes: made.scopes,
        functions: made.functions,
        createdAt: clock.now(),
        expiresAt: made.expiresAt,
        revokedAt: undefined,
        importedSecret: made.imported && seal(sealing, id, made.imported.secret),
      };
      await save(key);
      const secret = made.imported?.secret ?? deriveSecret(master, id);
      return { key, secret, token: `${id}.${secret}` };
    },
    async revoke(id) {
      const key = (await records()).get(id);
      if (!key)
        throw new PlatformError("ResourceNotFound", `there is no key ${id}; lambda keys list shows them`);
      if (key.revokedAt === undefined) await save({ ...key, revokedAt: clock.now() });
    },
  };

  await ensureAdminFile();
  return ring;

  /** Writes the file of the admin key where there is none (or nothing in it), unless the key was revoked: it stays revoked then. */
  async function ensureAdminFile(): Promise<void> {
    const file = join(dir, "admin.key");
    if (isWritten(file)) return;
    const key = (await records()).get(firstKey.id);
    if (key && isUsable(key)) placeFile(file, `${key.id}.${deriveSecret(master, key.id)}\n`);
  }
}

/**
 * The key that every installation begins with. Its id follows from the master, so that it need not be stored to exist:
 * the first start waits for no write, and a start after a crash finds what the one before has made. Only a change of it
 * (that it was revoked) is stored, and then counts instead of this.
 */
function adminKey(master: Buffer, createdAt: number): KeyRecord {
  return {
    id: adminKeyId(master),
    description: "admin key of the first start",
    scopes: ["admin"],
    functions: "*",
    createdAt,
    expiresAt: undefined,
    revokedAt: undefined,
    importedSecret: undefined,
  };
}

function deriveSecret(master: Buffer, id: string): string {
  return createHmac("sha256", master).update(id).digest("base64").slice(0, 40);
}

const ADMIN_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

function adminKeyId(master: Buffer): KeyId {
  const bytes = createHmac("sha256", master).update("admin key id").digest();
  let id = "LK";
  for (const byte of bytes.subarray(0, 18)) id += ADMIN_LETTERS[byte % ADMIN_LETTERS.length];
  const parsed = parseKeyId(id);
  if (!parsed) throw new Error("the admin key's id does not follow the grammar of key ids");
  return parsed;
}

function sealingKey(master: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync("sha256", master, "", `lambdad ${purpose}`, 32));
}

/** 12 bytes nonce, ciphertext, 16 bytes tag; the id is bound to it, so that sealed secrets cannot be swapped. */
function seal(sealing: Buffer, id: string, secret: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", sealing, nonce).setAAD(Buffer.from(id));
  return Buffer.concat([nonce, cipher.update(secret, "utf8"), cipher.final(), cipher.getAuthTag()]).toString(
    "base64",
  );
}

/** Undefined if it was not sealed under this master for this id. */
function unseal(sealing: Buffer, id: string, sealed: string): string | undefined {
  const bytes = Buffer.from(sealed, "base64");
  if (bytes.length < 28) return undefined;
  const decipher = createDecipheriv("aes-256-gcm", sealing, bytes.subarray(0, 12))
    .setAAD(Buffer.from(id))
    .setAuthTag(bytes.subarray(-16));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]).toString("utf8");
  } catch {
    // GCM says only that it does not fit: another master, or a damaged record. The key is unusable either way.
    return undefined;
  }
}

/** Compares digests, so that neither content nor length shows in the time. */
function isSame(a: string, b: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
