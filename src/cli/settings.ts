import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { CliError, usageError } from "./cli-error.ts";
import type { Host } from "./host.ts";

/**
 * Which server the CLI talks to and with which key. In rising order: default, user configuration file, environment,
 * option. Every value knows where it came from, because a wrong one is otherwise hard to find.
 */
export interface Settings {
  readonly server: Setting;
  /** Without a value: no key was found; `origin` says where it was looked for. */
  readonly key: Setting<string | undefined>;
  /** The user configuration file, and whether it is there. */
  readonly file: { readonly path: string; readonly exists: boolean };
}

export interface Setting<T = string> {
  readonly value: T;
  readonly origin: string;
}

const SERVER_DEFAULT = "http://127.0.0.1:8081";

/** The keys of the user configuration file. */
export const CONFIG_KEYS = ["server", "key"] as const;
export type ConfigKey = (typeof CONFIG_KEYS)[number];

export interface SettingOptions {
  readonly server: string | undefined;
  readonly key: string | undefined;
  readonly useConfig: string | undefined;
}

/** @throws CliError `ConfigurationInvalid` if the file cannot be understood, `Usage` for an unusable server or key. */
export async function readSettings(host: Host, options: SettingOptions): Promise<Settings> {
  const path = configPath(host, options.useConfig);
  const stored = await readConfigFile(path);
  if (stored === undefined && options.useConfig !== undefined) {
    throw CliError.local("FileUnusable", `--use-config: there is no ${path}`, "lambda config set writes one");
  }
  const given = (name: ConfigKey, option: string | undefined, variable: string): Setting | undefined => {
    if (option !== undefined) return { value: option, origin: `--${name}` };
    const fromEnv = host.env[variable];
    if (fromEnv) return { value: fromEnv, origin: variable };
    const fromFile = stored?.[name];
    return fromFile === undefined ? undefined : { value: fromFile, origin: path };
  };

  const server = given("server", options.server, "LAMBDA_SERVER") ?? {
    value: SERVER_DEFAULT,
    origin: "default",
  };
  const url = parseServer(server);
  const key = given("key", options.key, "LAMBDA_KEY") ?? (await findAdminKey(host, url));
  if (key.value !== undefined && !/^[\x21-\x7e]+$/.test(key.value)) {
    throw usageError(
      `key from ${key.origin}: expected ID.SECRET as lambda keys create prints it, got other characters`,
    );
  }
  return {
    server: { value: url.origin, origin: server.origin },
    key,
    file: { path, exists: stored !== undefined },
  };
}

export function configPath(host: Host, useConfig: string | undefined): string {
  if (useConfig !== undefined) return resolve(host.workingDir, useConfig);
  return join(host.env.XDG_CONFIG_HOME || join(host.homeDir, ".config"), "lambda", "config.yaml");
}

/** What the file says; undefined if there is none. @throws CliError `ConfigurationInvalid` with the place. */
export async function readConfigFile(path: string): Promise<Partial<Record<ConfigKey, string>> | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (isCode(error, "ENOENT") || isCode(error, "ENOTDIR")) return undefined;
    throw CliError.local("ConfigurationInvalid", `cannot read ${path}: ${messageOf(error)}`);
  }
  // Most users have no such file, and the parser costs as much as the rest of a command.
  const { parse } = await import("yaml");
  let content: unknown;
  try {
    content = parse(text);
  } catch (error) {
    throw CliError.local("ConfigurationInvalid", `${path}: ${messageOf(error)}`);
  }
  if (content === null || content === undefined) return {};
  if (typeof content !== "object" || Array.isArray(content)) {
    throw CliError.local(
      "ConfigurationInvalid",
      `${path}: expected lines like server: http://127.0.0.1:8081`,
    );
  }
  const config: Partial<Record<ConfigKey, string>> = {};
  for (const [name, value] of Object.entries(content)) {
    const known = CONFIG_KEYS.find((key) => key === name);
    if (known === undefined || typeof value !== "string") {
      throw CliError.local(
        "ConfigurationInvalid",
        known === undefined
          ? `${path}: unknown key ${JSON.stringify(name)}, expected ${CONFIG_KEYS.join(" or ")}`
          : `${path}: ${name} is not text`,
      );
    }
    config[known] = value;
  }
  return config;
}

/**
 * The key that a daemon on this machine wrote at its first start. It is offered to loopback only: it would be of no
 * use to another machine's daemon, and a stranger's server must not get it.
 */
async function findAdminKey(host: Host, server: URL): Promise<Setting<string | undefined>> {
  if (!/^(localhost|\[::1\]|127(\.\d{1,3}){3})$/.test(server.hostname)) {
    return { value: undefined, origin: "--key, LAMBDA_KEY and the configuration file" };
  }
  const files = dataDirs(host).map((dir) => join(dir, "admin.key"));
  const unreadable: string[] = [];
  for (const file of files) {
    try {
      return { value: (await readFile(file, "utf8")).trim(), origin: file };
    } catch (error) {
      if (isCode(error, "EACCES")) unreadable.push(file);
    }
  }
  const looked = files.map((file) =>
    unreadable.includes(file) ? `${file} (not readable by this user)` : file,
  );
  return { value: undefined, origin: `--key, LAMBDA_KEY, the configuration file and ${looked.join(", ")}` };
}

/** Where a daemon of this user or of the system keeps its data. */
export function dataDirs(host: Host): string[] {
  if (host.env.LAMBDAD_DATA) return [resolve(host.workingDir, host.env.LAMBDAD_DATA)];
  const system = "/var/lib/lambdad";
  const own = join(host.env.XDG_DATA_HOME || join(host.homeDir, ".local", "share"), "lambdad");
  return host.isRoot && !host.env.XDG_DATA_HOME ? [system, own] : [own, system];
}

function parseServer(server: Setting): URL {
  const text = server.value.includes("://") ? server.value : `http://${server.value}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (
    url !== undefined &&
    ["http:", "https:"].includes(url.protocol) &&
    url.hostname !== "" &&
    url.pathname === "/"
  ) {
    return url;
  }
  throw usageError(
    `server from ${server.origin}: expected a URL like ${SERVER_DEFAULT}, got ${JSON.stringify(server.value)}`,
  );
}

export function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
