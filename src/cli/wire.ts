import { CliError } from "./cli-error.ts";

/**
 * What the control API answers (docs/api.md), read member by member: a server of another version gets a sentence that
 * names the member instead of a table full of `undefined`. Members that no command shows are not read.
 */

export interface FunctionView {
  readonly name: string;
  readonly url: string;
  readonly liveVersion: number | undefined;
  readonly versions: number;
  readonly aliases: readonly AliasView[];
  readonly concurrencyMax: number | undefined;
  readonly createdAt: number;
  readonly modifiedAt: number;
  readonly code: CodeView;
  readonly config: ConfigView;
  /** The latest, for `readCanary`. */
  readonly canary: unknown;
  /** The latest, for `readShadow`. */
  readonly shadow: unknown;
  /** For `recordingLine`. */
  readonly recording: unknown;
  readonly instances: { readonly idle: number; readonly busy: number; readonly starting: number };
}

export interface CodeView {
  readonly archiveSha256: string;
  readonly archiveBytes: number;
  readonly treeBytes: number;
}

export interface ConfigView {
  readonly runtime: string;
  readonly kind: string;
  /** What it runs: handler, module or command line. */
  readonly entry: string;
  readonly description: string;
  readonly memoryMib: number;
  readonly cpus: number | undefined;
  readonly timeoutMs: number;
  readonly tmpMib: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly network: string;
  readonly slotsPerInstance: number;
}

export interface AliasView {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly split: { readonly version: string; readonly weight: number } | undefined;
}

export interface VersionView {
  readonly number: number;
  readonly publishedAt: number;
  readonly description: string;
  readonly isLive: boolean;
  readonly aliases: readonly string[];
  readonly changed: readonly string[];
  /** `main@0123456`: the commit that a push brought it from. */
  readonly commit: string | undefined;
}

export interface KeyView {
  readonly id: string;
  readonly description: string;
  readonly scopes: readonly string[];
  readonly functions: string;
  readonly createdAt: number;
  readonly expiresAt: number | undefined;
  readonly revokedAt: number | undefined;
}

export interface NewKeyView {
  readonly key: KeyView;
  readonly secret: string;
  readonly token: string;
}

export interface LogLineView {
  readonly at: number;
  /** The number that was live if it was `$LATEST`. */
  readonly version: string;
  readonly invocationId: string | undefined;
  readonly stream: string;
  readonly text: string;
}

export interface RuntimeView {
  readonly name: string;
  readonly isHere: boolean;
  readonly path: string | undefined;
  readonly version: string | undefined;
  readonly remedy: string | undefined;
}

export interface StatusView {
  readonly version: string;
  readonly nodeVersion: string;
  readonly startedAt: number;
  readonly gateway: string;
  readonly control: string;
  readonly region: string;
  readonly dataDir: string;
  readonly isIsolated: boolean;
  readonly gaps: readonly string[];
}

export type DeployEvent =
  | {
      readonly type: "step";
      readonly step: number;
      readonly of: number;
      readonly title: string;
      readonly detail: string | undefined;
    }
  | { readonly type: "output"; readonly text: string }
  | {
      readonly type: "done";
      readonly version: number;
      readonly readyMs: number | undefined;
      /** Why it is live and yet does not start. */
      readonly readyError: string | undefined;
      readonly url: string;
      /** Set if only a share of the calls goes to it, for `readCanary`. */
      readonly canary: unknown;
      /** Set if only copies of calls go to it, for `readShadow`. */
      readonly shadow: unknown;
    }
  | {
      readonly type: "error";
      readonly code: string;
      readonly message: string;
      readonly hint: string | undefined;
    };

export function readFunction(value: unknown): FunctionView {
  const fields = new Fields("function", value);
  const latest = fields.object("latest");
  const instances = fields.optionalObject("instances");
  return {
    name: fields.text("name"),
    url: fields.text("url"),
    liveVersion: fields.optionalNumber("liveVersion"),
    versions: fields.number("versions"),
    aliases: fields.list("aliases").map(readAlias),
    concurrencyMax: fields.optionalNumber("concurrencyMax"),
    createdAt: fields.number("createdAt"),
    modifiedAt: latest.number("modifiedAt"),
    code: readCode(latest.object("code")),
    config: readConfig(latest.object("config")),
    canary: fields.value("canary"),
    shadow: fields.value("shadow"),
    recording: fields.value("recording"),
    instances: {
      idle: instances?.number("idle") ?? 0,
      busy: instances?.number("busy") ?? 0,
      starting: instances?.number("starting") ?? 0,
    },
  };
}

function readCode(fields: Fields): CodeView {
  return {
    archiveSha256: fields.text("archiveSha256"),
    archiveBytes: fields.number("archiveBytes"),
    treeBytes: fields.number("treeBytes"),
  };
}

function readConfig(fields: Fields): ConfigView {
  const entry = fields.object("entry");
  return {
    runtime: fields.text("runtime"),
    kind: entry.text("kind"),
    entry:
      entry.optionalText("handler") ??
      entry.optionalText("module") ??
      entry.list("command").map(String).join(" "),
    description: fields.text("description"),
    memoryMib: fields.number("memoryMib"),
    cpus: fields.optionalNumber("cpus"),
    timeoutMs: fields.number("timeoutMs"),
    tmpMib: fields.number("tmpMib"),
    environment: fields.object("environment").texts(),
    network: fields.text("network"),
    slotsPerInstance: fields.number("slotsPerInstance"),
  };
}

export function readAlias(value: unknown): AliasView {
  const fields = new Fields("alias", value);
  const split = fields.optionalObject("split");
  return {
    name: fields.text("name"),
    version: fields.label("version"),
    description: fields.optionalText("description") ?? "",
    split: split && { version: split.label("version"), weight: split.number("weight") },
  };
}

export function readVersion(value: unknown): VersionView {
  const fields = new Fields("version", value);
  const source = fields.optionalObject("code")?.optionalObject("source");
  return {
    number: fields.number("number"),
    publishedAt: fields.number("publishedAt"),
    description: fields.optionalText("description") ?? "",
    isLive: fields.truth("isLive"),
    aliases: fields.list("aliases").map(String),
    changed: fields.list("changed").map(String),
    commit: source && `${source.text("branch")}@${source.text("commit").slice(0, 7)}`,
  };
}

export function readKey(value: unknown): KeyView {
  const fields = new Fields("key", value);
  return {
    id: fields.text("id"),
    description: fields.optionalText("description") ?? "",
    scopes: fields.list("scopes").map(String),
    functions: fields.optionalText("functions") ?? "*",
    createdAt: fields.number("createdAt"),
    expiresAt: fields.optionalNumber("expiresAt"),
    revokedAt: fields.optionalNumber("revokedAt"),
  };
}

export function readNewKey(value: unknown): NewKeyView {
  const fields = new Fields("new key", value);
  return { key: readKey(fields.value("key")), secret: fields.text("secret"), token: fields.text("token") };
}

export function readLogLine(value: unknown): LogLineView {
  const fields = new Fields("log line", value);
  const liveVersion = fields.optionalNumber("liveVersion");
  return {
    at: fields.number("at"),
    version: liveVersion === undefined ? fields.label("version") : String(liveVersion),
    invocationId: fields.optionalText("invocationId"),
    stream: fields.text("stream"),
    text: fields.text("text"),
  };
}

export function readRuntime(value: unknown): RuntimeView {
  const fields = new Fields("runtime", value);
  return {
    name: fields.text("name"),
    isHere: fields.truth("isHere"),
    path: fields.optionalText("path"),
    version: fields.optionalText("version"),
    remedy: fields.optionalText("remedy"),
  };
}

export function readStatus(value: unknown): StatusView {
  const fields = new Fields("status", value);
  const isolation = fields.object("isolation");
  return {
    version: fields.text("version"),
    nodeVersion: fields.text("nodeVersion"),
    startedAt: fields.number("startedAt"),
    gateway: fields.text("gateway"),
    control: fields.text("control"),
    region: fields.text("region"),
    dataDir: fields.text("dataDir"),
    isIsolated: isolation.truth("isIsolated"),
    gaps: isolation.list("gaps").map(String),
  };
}

/** Undefined for a type that this version does not know: a newer server may say more. */
export function readDeployEvent(value: unknown): DeployEvent | undefined {
  const fields = new Fields("deploy progress", value);
  switch (fields.text("type")) {
    case "step":
      return {
        type: "step",
        step: fields.number("step"),
        of: fields.number("of"),
        title: fields.text("title"),
        detail: fields.optionalText("detail"),
      };
    case "output":
      return { type: "output", text: fields.text("text") };
    case "done":
      return {
        type: "done",
        version: fields.number("version"),
        readyMs: fields.optionalNumber("readyMs"),
        readyError: fields.optionalText("readyError"),
        url: fields.text("url"),
        canary: fields.value("canary"),
        shadow: fields.value("shadow"),
      };
    case "error": {
      const error = fields.object("error");
      return {
        type: "error",
        code: error.text("code"),
        message: error.text("message"),
        hint: error.optionalText("hint"),
      };
    }
    default:
      return undefined;
  }
}

/** The members of one JSON object. A member that is null counts as left out. */
export class Fields {
  readonly #name: string;
  readonly #members: ReadonlyMap<string, unknown>;

  /** `name` stands in complaints. @throws CliError `UnexpectedAnswer` if `value` is no object, as do all readers. */
  constructor(name: string, value: unknown) {
    this.#name = name;
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw complaint(name, "an object", value);
    this.#members = new Map(Object.entries(value));
  }

  value(member: string): unknown {
    return this.#members.get(member) ?? undefined;
  }

  text(member: string): string {
    return this.optionalText(member) ?? this.#missing(member, "text");
  }

  optionalText(member: string): string | undefined {
    const value = this.value(member);
    if (value === undefined || typeof value === "string") return value;
    return this.#missing(member, "text");
  }

  /** A number of a version or `$LATEST`, as text. */
  label(member: string): string {
    const value = this.value(member);
    return typeof value === "number" ? String(value) : this.text(member);
  }

  number(member: string): number {
    return this.optionalNumber(member) ?? this.#missing(member, "a number");
  }

  optionalNumber(member: string): number | undefined {
    const value = this.value(member);
    if (value === undefined || typeof value === "number") return value;
    return this.#missing(member, "a number");
  }

  truth(member: string): boolean {
    const value = this.value(member);
    return typeof value === "boolean" ? value : this.#missing(member, "true or false");
  }

  list(member: string): readonly unknown[] {
    const value = this.value(member);
    return Array.isArray(value) ? value : this.#missing(member, "a list");
  }

  object(member: string): Fields {
    return new Fields(`${this.#name}.${member}`, this.value(member));
  }

  optionalObject(member: string): Fields | undefined {
    return this.value(member) === undefined ? undefined : this.object(member);
  }

  /** The whole object as a map of texts. */
  texts(): Record<string, string> {
    return Object.fromEntries([...this.#members.keys()].map((member) => [member, this.text(member)]));
  }

  #missing(member: string, expected: string): never {
    throw complaint(`${this.#name}.${member}`, expected, this.value(member));
  }
}

function complaint(path: string, expected: string, value: unknown): CliError {
  const got = value === undefined ? "nothing" : JSON.stringify(value).slice(0, 60);
  return CliError.local(
    "UnexpectedAnswer",
    `the server's answer is not understood: ${path} should be ${expected}, is ${got}`,
    "lambda and lambdad should be of the same version: compare lambda --version with lambda doctor",
  );
}
