/**
 * Takes secrets out of what is recorded: by the names of headers, members, fields and parameters, by places, by what looks
 * like a credential wherever it is, and the values of the function's own environment. Values of the environment leave a
 * placeholder behind, so that a replay can put them in again; everything else is gone for good.
 *
 * It looks into JSON, JSON in strings, base64 in bodies of events, forms and addresses. Bodies of other formats are
 * searched for values of the environment and credentials alone.
 */
import { isUtf8 } from "node:buffer";
import { type JsonVisitor, rewriteJson } from "./rewrite-json.ts";
import { leadsTo, type PathPattern, parsePattern, type Step } from "./value-path.ts";

export const REDACTED = "__redacted__";

/** Shorter values of the environment are left: `1`, `true`, `prod` are in everything. */
const SECRET_LENGTH_MIN = 6;

export interface RedactionRules {
  /** Names and places, besides the usual ones. */
  readonly redact: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Letters and digits that nobody can guess: tells our placeholders from text that looks like one. */
  readonly mark: string;
}

/** Names are compared in lower case without `-`, `_` and spaces. */
const NAMES: ReadonlySet<string> = new Set([
  "authorization",
  "proxyauthorization",
  "cookie",
  "cookies",
  "setcookie",
  "xapikey",
  "pwd",
  "cvc",
  "cvv",
  "sessionid",
  "xamzsignature",
  "xamzcredential",
]);

const ENDINGS = [
  "password",
  "passwd",
  "passphrase",
  "secret",
  "token",
  "apikey",
  "accesskey",
  "accesskeyid",
  "privatekey",
  "secretkey",
  "credentials",
];

/** Ends like a secret, and leads to the next page. */
const HARMLESS: ReadonlySet<string> = new Set([
  "nexttoken",
  "nextpagetoken",
  "pagetoken",
  "continuationtoken",
  "paginationtoken",
]);

/** In text of any kind. Each piece is looked at again before it is taken out. */
const SCHEME = /\b(Bearer|Basic)(\s+)([\w.~+/-]{6,}=*)/g;
const TOKEN = /[\w.-]{20,}/g;
const ADDRESS_PASSWORD = /(?<=:\/\/[^\s/:@"']{0,64}:)[^\s/@"']+(?=@)/g;

const PAIR = /(^|[?&;])([^=&?;#\s"]{1,128})=([^&;#\s"]+)/g;
const LATER_PAIR = /([?&])([^=&?#\s"]{1,128})=([^&#\s"]+)/g;
const FORM = /^[^\s=&{}[\]"]+=[^\s&]*(?:&[^\s=&]+=[^\s&]*)*$/;
const BASE64 = /^[A-Za-z0-9+/]{8,}={0,2}$/;

/** Members of events that may be a form, or base64 of the real thing. */
const RAW_MEMBERS: ReadonlySet<string> = new Set(["body", "data", "rawQueryString"]);

/** Changes texts and bytes of any kind piece by piece; what is done with a piece is the subclass's. */
/** A place, and not a name that may be anywhere. */
function isPlace(text: string): boolean {
  return /^(body|headers)(?=[.[]|$)/.test(text);
}

/** The grammar in words, for error messages. */
export const REDACTABLE_RULE =
  "the name of a header or JSON member, like ssn, or a place like body.card.number or headers.x-internal";

/** Whether it names something that can be redacted. */
export function isRedactable(text: string): boolean {
  const isName = /^[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*$/.test(text) && !isPlace(text);
  const place = isPlace(text) ? parsePattern(text) : undefined;
  return isName || text === "body" || (place !== undefined && place.steps.length > 1);
}

abstract class Walk implements JsonVisitor {
  readonly removed = REDACTED;
  abstract removes(path: readonly Step[]): boolean;
  abstract name(value: string): string;
  /** A piece of text that is nothing in particular. */
  protected abstract plain(value: string): string;
  /** The value of a parameter or a field, percent-encoded or not. */
  protected abstract field(name: string, value: string): string;

  text(path: readonly Step[], value: string): string {
    const step = path.at(-1);
    const isRaw = typeof step === "string" && RAW_MEMBERS.has(step);
    const decoded = isRaw ? decodeBase64(value) : undefined;
    if (decoded === undefined) return this.#inner(path, value, isRaw);
    const changed = this.#inner(path, decoded, true);
    return changed === decoded ? value : Buffer.from(changed).toString("base64");
  }

  #inner(path: readonly Step[], value: string, isRaw: boolean): string {
    const json = /^\s*[[{]/.test(value) ? rewriteJson(value, path, this) : undefined;
    return json ?? this.#pairs(value, isRaw && FORM.test(value) ? PAIR : LATER_PAIR);
  }

  address(value: string): string {
    return this.#pairs(value, LATER_PAIR);
  }

  /** The same bytes if nothing is changed. */
  bytes(bytes: Uint8Array): Uint8Array {
    if (this.removes(["body"])) return Buffer.from(this.removed);
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (!isUtf8(buffer)) {
      const before = buffer.toString("latin1");
      const after = this.#parts(before);
      return after === before ? bytes : Buffer.from(after, "latin1");
    }
    const before = buffer.toString();
    const json = rewriteJson(before, ["body"], this);
    const after = json ?? (FORM.test(before) ? this.#pairs(before, PAIR) : this.#parts(before));
    return after === before ? bytes : Buffer.from(after);
  }

  headers(rawHeaders: readonly string[]): string[] {
    return rawHeaders.map((value, at) => {
      if (at % 2 === 0) return value;
      const name = (rawHeaders[at - 1] ?? "").toLowerCase();
      return this.removes(["headers", name]) ? this.removed : this.text(["headers", name], value);
    });
  }

  #pairs(value: string, pair: RegExp): string {
    if (!value.includes("=")) return this.plain(value);
    return this.plain(
      value.replace(pair, (_, before: string, name: string, given: string) => {
        return `${before}${name}=${this.field(name, given)}`;
      }),
    );
  }

  /** Fields of a form of several parts. */
  #parts(value: string): string {
    if (!/content-disposition:/i.test(value)) return this.plain(value);
    const parts = value.split("\r\n--").map((part) => {
      const end = part.indexOf("\r\n\r\n") + 4;
      const [, name] = /\bname="([^"]*)"/i.exec(part.slice(0, Math.min(end, PART_HEAD_LENGTH_MAX))) ?? [];
      return end < 4 || name === undefined ? part : part.slice(0, end) + this.field(name, part.slice(end));
    });
    return this.plain(parts.join("\r\n--"));
  }
}

const PART_HEAD_LENGTH_MAX = 1_024;

export class Redactor extends Walk {
  /** Values that were taken out for good. */
  removedCount = 0;
  /** Variables of the environment whose values were found. */
  readonly variables = new Set<string>();
  readonly #names: ReadonlySet<string>;
  readonly #places: readonly PathPattern[];
  readonly #secrets: readonly Secret[];
  readonly #anySecret: RegExp | undefined;

  constructor({ redact, environment, mark }: RedactionRules) {
    super();
    this.#names = new Set(redact.filter((text) => !isPlace(text)).map(spelling));
    this.#places = redact.filter(isPlace).flatMap((text) => parsePattern(text) ?? []);
    this.#secrets = secretsOf(environment, mark);
    // Longest first, so that a value that is part of another does not cut it.
    const values = this.#secrets.map(({ value }) => literal(value));
    this.#anySecret = values.length > 0 ? new RegExp(values.join("|"), "g") : undefined;
  }

  removes(path: readonly Step[]): boolean {
    const step = path.at(-1);
    const isSecret = path.length > 1 && typeof step === "string" && this.#isSecretName(step);
    if (!isSecret && !this.#places.some((place) => leadsTo(place, path))) return false;
    this.removedCount += 1;
    return true;
  }

  name(value: string): string {
    return this.plain(value);
  }

  protected plain(value: string): string {
    const without = this.#anySecret
      ? value.replace(this.#anySecret, (found) => this.#placeholderOf(found))
      : value;
    return without
      .replace(SCHEME, (found, scheme: string, space: string, given: string) => {
        return isCredential(scheme, given) ? `${scheme}${space}${this.#remove()}` : found;
      })
      .replace(TOKEN, (found) => (isWebToken(found) ? this.#remove() : found))
      .replace(ADDRESS_PASSWORD, (found) => (isOurs(found) ? found : this.#remove()));
  }

  #remove(): string {
    this.removedCount += 1;
    return REDACTED;
  }

  protected field(name: string, value: string): string {
    if (!this.#isSecretName(decodedOr(name)) || value === "") return value;
    return isOurs(value) ? value : this.#remove();
  }

  #isSecretName(name: string): boolean {
    const spelt = spelling(name);
    if (this.#names.has(spelt) || NAMES.has(spelt)) return true;
    return ENDINGS.some((ending) => spelt.endsWith(ending)) && !HARMLESS.has(spelt);
  }

  #placeholderOf(found: string): string {
    const secret = this.#secrets.find(({ value }) => value === found);
    if (!secret) return REDACTED;
    this.variables.add(secret.variable);
    return secret.placeholder;
  }
}

/** Puts values of an environment back where their placeholders are. */
export class Restorer extends Walk {
  /** Placeholders whose variable the environment does not have. */
  readonly missing = new Set<string>();
  readonly #environment: Readonly<Record<string, string>>;
  readonly #placeholder: RegExp;
  #isInAddress = false;

  constructor({ environment, mark }: Omit<RedactionRules, "redact">) {
    super();
    this.#environment = environment;
    this.#placeholder = new RegExp(`__env(uri|latin)?\\.([A-Za-z_]\\w*?)\\.${mark}__`, "g");
  }

  /** Whatever the value is by now, the address stays one. */
  override address(value: string): string {
    this.#isInAddress = true;
    const restored = super.address(value);
    this.#isInAddress = false;
    return restored;
  }

  /** The same for headers, which have no line ends. */
  override headers(rawHeaders: readonly string[]): string[] {
    return super.headers(rawHeaders).map((value) => value.replace(/[\r\n\0]/g, " "));
  }

  removes(): boolean {
    return false;
  }

  name(value: string): string {
    return this.plain(value);
  }

  protected plain(value: string): string {
    if (!value.includes("__env")) return value;
    return value.replace(this.#placeholder, (_, form: string | undefined, variable: string) => {
      const found = Object.hasOwn(this.#environment, variable) ? this.#environment[variable] : undefined;
      if (found === undefined) {
        this.missing.add(variable);
        return REDACTED;
      }
      if (form === "uri") return encodeURIComponent(found.toWellFormed());
      if (form === "latin") return latinOf(found);
      return this.#isInAddress ? encodeURI(found.toWellFormed()) : found;
    });
  }

  protected field(_name: string, value: string): string {
    return value;
  }
}

function isCredential(scheme: string, given: string): boolean {
  if (isOurs(given)) return false;
  return scheme === "Bearer" || (given.length % 4 === 0 && Buffer.from(given, "base64").includes(":"));
}

/** Two parts in a row of a JSON web token begin like base64 of `{"`. */
function isWebToken(found: string): boolean {
  return (
    found.includes("eyJ") && found.split(".").some((part, at, parts) => begins(part) && begins(parts[at + 1]))
  );
}

function begins(part: string | undefined): boolean {
  return part?.startsWith("eyJ") ?? false;
}

function isOurs(value: string): boolean {
  return value.startsWith("__env") || value === REDACTED;
}

interface Secret {
  readonly variable: string;
  readonly value: string;
  readonly placeholder: string;
}

/** Longest first. Values as they are, percent-encoded, and as bytes that were read as Latin-1. */
function secretsOf(environment: Readonly<Record<string, string>>, mark: string): Secret[] {
  const secrets = Object.entries(environment).flatMap(([variable, value]): Secret[] => {
    if (value.length < SECRET_LENGTH_MIN) return [];
    const forms: Secret[] = [{ variable, value, placeholder: `__env.${variable}.${mark}__` }];
    const encoded = encodeURIComponent(value.toWellFormed());
    if (encoded !== value)
      forms.push({ variable, value: encoded, placeholder: `__envuri.${variable}.${mark}__` });
    const latin = latinOf(value);
    if (latin !== value)
      forms.push({ variable, value: latin, placeholder: `__envlatin.${variable}.${mark}__` });
    return forms;
  });
  return secrets.sort((a, b) => b.value.length - a.value.length);
}

function literal(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}

function latinOf(value: string): string {
  return Buffer.from(value).toString("latin1");
}

function spelling(name: string): string {
  return name.toLowerCase().replace(/[-_\s]/g, "");
}

function decodedOr(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // It is compared as it is.
  }
}

/** The text that base64 stands for; undefined if it is not base64 of text. */
function decodeBase64(value: string): string | undefined {
  if (value.length % 4 !== 0 || !BASE64.test(value)) return undefined;
  const decoded = Buffer.from(value, "base64");
  return isUtf8(decoded) && decoded.toString("base64") === value ? decoded.toString() : undefined;
}
