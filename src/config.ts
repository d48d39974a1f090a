import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { totalmem, userInfo } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import type * as Yaml from "yaml";
import { type Address, isLoopback, parseAddress, parseHttpOrigin } from "./core/address.ts";
import { PlatformError } from "./core/errors.ts";
import { type Fault, parseFault } from "./core/fault.ts";
import { IMAGE_KEYS, type ImageSettings, imageSettings } from "./core/image-settings.ts";
import { STREAMED_RESPONSE_MIB_DEFAULT } from "./core/limits.ts";
import type { LogLevel } from "./core/log.ts";
import { sourceUrl } from "./core/source-url.ts";

/**
 * The daemon's configuration: file, environment and flags, in rising order. Read once, at the top; every key stands in
 * `CONFIG_KEYS`, from which flags, environment names and docs/configuration.md follow. All problems are reported together.
 */
export interface Config extends ImageSettings {
  readonly gateway: Address;
  readonly control: Address;
  /** Absolute. */
  readonly dataDir: string;
  readonly allowUnsandboxed: boolean;
  /** Domains under which `NAME.DOMAIN` reaches function NAME. */
  readonly domains: readonly string[];
  /** Host names by which the control API may be called, besides the loopback ones. */
  readonly controlHosts: readonly string[];
  readonly showFunctionErrors: boolean;
  readonly accountId: string;
  readonly region: string;
  readonly instancesMax: number;
  readonly idleMsMax: number;
  /** What idle instances may take together. */
  readonly idleMibMax: number;
  /** Undefined freezes none. */
  readonly freezeAfterMs: number | undefined;
  /** What sandboxes kept ready may take together; 0 keeps none. */
  readonly readyMibMax: number;
  /** Of a response that is passed on while it is made. */
  readonly streamBytesMax: number;
  /** How many sets of modules Python functions are forked with; 0 forks all without. */
  readonly importSetsMax: number;
  readonly eventResultsMs: number;
  readonly deadLettersMs: number;
  readonly privateDestinations: boolean;
  /** Without a path; undefined: AWS's own. */
  readonly sqsEndpoint: string | undefined;
  readonly sqsAccessKeyId: string | undefined;
  /** Absolute. */
  readonly sqsSecretFile: string | undefined;
  readonly logLevel: LogLevel;
  /** From `LAMBDAD_FAULT`, which is no setting: tests of durability use it. */
  readonly fault: Fault | undefined;
  /** Calls at once over all functions; undefined is no limit. */
  readonly concurrencyMax: number | undefined;
  /** What reservations leave of it to functions without one. */
  readonly unreservedMin: number;
  /** Calls of AWS's operations in a second, but those that invoke; undefined is no limit. */
  readonly requestsPerSecondMax: number | undefined;
  readonly urlPermissions: "off" | "required" | "both";
}

interface ConfigKey {
  /** As in the file; `LAMBDAD_` and capitals in the environment, `--` and dashes as a flag. */
  readonly name: string;
  readonly kind: "text" | "switch";
  readonly value: string;
  readonly fallback: string;
  readonly meaning: string;
}

export const CONFIG_KEYS = [
  key(
    "gateway",
    "HOST:PORT",
    "127.0.0.1:8080",
    "Where functions are called. Port 0 to 65535; 0 lets the system choose.",
  ),
  flag("public", "Opens the gateway to the network: its host becomes 0.0.0.0."),
  key("control", "HOST:PORT", "127.0.0.1:8081", "Where the AWS API, our own API and the console are served."),
  flag(
    "remote-control",
    "Lets control listen on an address that is not loopback. There is no TLS: put a proxy in front.",
  ),
  key(
    "data",
    "DIR",
    "$XDG_DATA_HOME/lambdad (root: /var/lib/lambdad)",
    "Folder with all state; made with mode 0700.",
  ),
  key("config", "FILE", "(none)", "A YAML file with these keys."),
  flag(
    "allow-unsandboxed",
    "Where the host cannot isolate, runs functions as plain processes instead of refusing.",
  ),
  key(
    "domains",
    "LIST",
    "localhost",
    "Comma-separated domains under which NAME.DOMAIN reaches function NAME.",
  ),
  key(
    "control-hosts",
    "LIST",
    "(none)",
    "Comma-separated host names by which control may be called, besides loopback ones.",
  ),
  key(
    "function-errors",
    "shown|hidden|auto",
    "auto",
    "Whether the gateway tells callers what a function's error says; auto: only on loopback.",
  ),
  key("account", "DIGITS", "000000000000", "The account id in ARNs: 12 digits."),
  key("region", "NAME", "us-east-1", "The region in ARNs and in the environment of functions."),
  key(
    "instances-max",
    "N",
    "1000",
    "Instances on this host in all, 1 to 100000; the one idle longest makes room.",
  ),
  key("idle-timeout", "SECONDS", "600", "An instance without work for this long is stopped; 1 to 86400."),
  key(
    "idle-memory",
    "MIB",
    "25 % of the memory",
    "What idle instances may take together, 1 to 16777216; those that are worth least make room.",
  ),
  key(
    "freeze-after",
    "SECONDS",
    "5",
    "Handlers without work for this long stand still until the next call, up to 86400; 0 freezes none.",
  ),
  key(
    "ready-memory",
    "MIB",
    "1 % of the memory, at least 64",
    "What sandboxes that are kept ready for any function may take together, up to 65536; 0 keeps none.",
  ),
  key(
    "python-imports",
    "COUNT",
    "4",
    "How many sets of Python modules are kept loaded for functions whose starts import them, up to 16; 0 keeps none.",
  ),
  key(
    "event-results",
    "HOURS",
    "24",
    "How long events that are done are kept, with their results; 1 to 8760.",
  ),
  key(
    "dead-letters",
    "DAYS",
    "14",
    "How long events that failed or expired are kept to be tried again; 1 to 3650.",
  ),
  flag(
    "private-destinations",
    "Lets destinations of events be on this machine and inside its networks; otherwise only public addresses are told.",
  ),
  key(
    "sqs-endpoint",
    "URL",
    "(AWS's own)",
    "Where the queues of event source mappings are that name none of their own, such as http://127.0.0.1:9324.",
  ),
  key(
    "sqs-access-key-id",
    "ID",
    "(none)",
    "With which requests to SQS are signed, together with sqs-secret-file.",
  ),
  key("sqs-secret-file", "FILE", "(none)", "A file with the secret of sqs-access-key-id, and nothing else."),
  key("log-level", "LEVEL", "info", "debug, info, warn or error."),
  key(
    "concurrency-max",
    "N",
    "0",
    "Calls at once over all functions, up to 1000000; 0 sets no limit. AWS gives an account 1000.",
  ),
  key(
    "unreserved-min",
    "N",
    "0",
    "How much of concurrency-max reservations must leave to functions without one. AWS keeps 100.",
  ),
  key(
    "request-rate",
    "N",
    "0",
    "Calls of the AWS API in a second, but those that invoke, up to 100000; 0 sets no limit. AWS allows about 15.",
  ),
  key(
    "stream-max",
    "MIB",
    "200",
    "How large a response may be that a handler streams, 1 to 1048576. AWS allows 200.",
  ),
  key(
    "url-permissions",
    "off|required|both",
    "off",
    "What a function's policy must allow for calls by its URL: nothing, InvokeFunctionUrl, or InvokeFunction too (AWS since October 2025).",
  ),
  ...IMAGE_KEYS,
] as const;

export type ConfigRead =
  | { readonly kind: "config"; readonly config: Config }
  | { readonly kind: "help" | "version" };

/**
 * @throws PlatformError `ConfigurationInvalid` with every problem on a line of its own: key, value and what was expected.
 */
export function readConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): ConfigRead {
  const problems: string[] = [];
  const flags = readFlags(argv, problems);
  if (flags.help) return { kind: "help" };
  if (flags.version) return { kind: "version" };
  const environment = readEnvironment(env, problems);
  const file = readFile(flags.config ?? environment.config, problems);
  const given = { ...file.values, ...environment, ...flags };
  const config = toConfig(given, env, problems);
  if (problems.length > 0) throw new PlatformError("ConfigurationInvalid", problems.join("\n"));
  return { kind: "config", config };
}

export function configHelp(): string {
  const width = Math.max(...CONFIG_KEYS.map((key) => left(key).length));
  const lines = CONFIG_KEYS.map((key) => {
    const fallback = key.kind === "text" ? ` [${key.fallback}]` : "";
    return `  ${left(key).padEnd(width)}  ${key.meaning}${fallback}`;
  });
  return [
    "lambdad: runs functions on this machine",
    "",
    "Usage: lambdad [flags]",
    "",
    ...lines,
    `  ${"--help".padEnd(width)}  Shows this.`,
    `  ${"--version".padEnd(width)}  Shows the version.`,
    "",
    "Each flag is also an environment variable (--idle-timeout: LAMBDAD_IDLE_TIMEOUT) and a key of the",
    "configuration file (idle-timeout); flags win over the environment, the environment over the file.",
    "",
  ].join("\n");
}

function left(key: ConfigKey): string {
  return key.kind === "switch" ? `--${key.name}` : `--${key.name} ${key.value}`;
}

function key(name: string, value: string, fallback: string, meaning: string): ConfigKey {
  return { name, kind: "text", value, fallback, meaning };
}

function flag(name: string, meaning: string): ConfigKey {
  return { name, kind: "switch", value: "true|false", fallback: "false", meaning };
}

/** Where a value came from is part of it, so that a complaint can name the place. */
interface Given {
  readonly text: string;
  readonly from: string;
}

type Values = Readonly<Record<string, Given>>;

function readFlags(
  argv: readonly string[],
  problems: string[],
): Record<string, Given> & { help?: Given; version?: Given } {
  const options: Record<string, { type: "string" | "boolean" }> = {
    help: { type: "boolean" },
    version: { type: "boolean" },
  };
  for (const key of CONFIG_KEYS) options[key.name] = { type: key.kind === "switch" ? "boolean" : "string" };
  try {
    const { values } = parseArgs({ args: [...argv], options, strict: true, allowPositionals: false });
    return Object.fromEntries(
      Object.entries(values).map(([name, value]) => [name, { text: String(value), from: `--${name}` }]),
    );
  } catch (error) {
    problems.push(`${error instanceof Error ? error.message : error} (see lambdad --help)`);
    return {};
  }
}

function readEnvironment(env: Readonly<Record<string, string | undefined>>, problems: string[]): Values {
  const values: Record<string, Given> = {};
  const known = new Map<string, string>(CONFIG_KEYS.map((key) => [environmentName(key.name), key.name]));
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith("LAMBDAD_") || text === undefined) continue;
    const name = known.get(variable);
    if (name) values[name] = { text, from: variable };
    else if (!OUR_OWN_VARIABLES.has(variable)) {
      problems.push(`${variable}: no such setting; known are ${[...known.keys()].join(", ")}`);
    }
  }
  return values;
}

export function environmentName(keyName: string): string {
  return `LAMBDAD_${keyName.toUpperCase().replaceAll("-", "_")}`;
}

/** Set by our own start scripts for their children; no settings. */
const OUR_OWN_VARIABLES: ReadonlySet<string> = new Set(["LAMBDAD_FAULT", "LAMBDAD_WRAPPED"]);

function readFile(path: Given | undefined, problems: string[]): { readonly values: Values } {
  if (!path) return { values: {} };
  let text: string;
  try {
    text = readFileSync(path.text, "utf8");
  } catch (error) {
    problems.push(
      `${path.from}: cannot read "${path.text}": ${error instanceof Error ? error.message : error}`,
    );
    return { values: {} };
  }
  return { values: parseFile(text, path.text, problems) };
}

/** One flat map; a list counts as its parts with commas between. */
function parseFile(text: string, file: string, problems: string[]): Values {
  // Loaded here, not at the top: most starts have no file, and every start is waited for.
  const { isMap, isScalar, isSeq, LineCounter, parseDocument } = createRequire(sourceUrl(""))(
    "yaml",
  ) as typeof Yaml;
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => `${file}:${lines.linePos(offset).line}`;
  for (const error of document.errors) problems.push(`${at(error.pos[0])}: ${error.message}`);
  const values: Record<string, Given> = {};
  if (document.errors.length > 0 || document.contents === null) return values;
  if (!isMap(document.contents)) {
    problems.push(`${file}: expected one "key: value" a line`);
    return values;
  }
  for (const { key, value } of document.contents.items) {
    if (!isScalar(key)) continue;
    const from = at(key.range?.[0] ?? 0);
    const name = String(key.value).replaceAll("_", "-");
    const parts = isSeq(value) ? value.items : [value];
    const texts = parts.flatMap((part) => (isScalar(part) ? [part.source ?? String(part.value)] : []));
    if (!CONFIG_KEYS.some((key) => key.name === name && key.name !== "config")) {
      problems.push(`${from}: no such setting "${key.value}"; known are ${fileKeys()}`);
    } else if (texts.length !== parts.length) {
      problems.push(`${from}: expected a plain value for "${key.value}"`);
    } else {
      values[name] = { text: texts.join(","), from };
    }
  }
  return values;
}

function fileKeys(): string {
  return CONFIG_KEYS.filter((key) => key.name !== "config")
    .map((key) => key.name)
    .join(", ");
}

function toConfig(
  given: Values,
  env: Readonly<Record<string, string | undefined>>,
  problems: string[],
): Config {
  const complain = (name: string, expected: string) => {
    const value = given[name];
    problems.push(`${value?.from ?? name}: expected ${expected}, got "${value?.text}"`);
  };
  const text = (name: string, fallback: string) => given[name]?.text ?? fallback;
  const isOn = (name: string): boolean => {
    const value = text(name, "false").toLowerCase();
    if (!["true", "false", "1", "0", "yes", "no"].includes(value)) complain(name, "true or false");
    return ["true", "1", "yes"].includes(value);
  };
  const number = (name: string, fallback: number, min: number, max: number): number => {
    const value = Number(text(name, String(fallback)));
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    complain(name, `a whole number from ${min} to ${max}`);
    return fallback;
  };
  const oneOf = <T extends string>(name: string, values: readonly T[], fallback: T): T => {
    const value = values.find((value) => value === text(name, fallback));
    if (value === undefined) complain(name, `one of ${values.join(", ")}`);
    return value ?? fallback;
  };
  const address = (name: string, fallback: Address): Address => {
    const parsed = given[name] ? parseAddress(given[name].text) : fallback;
    if (!parsed) complain(name, "HOST:PORT with a port from 0 to 65535");
    return parsed ?? fallback;
  };
  const list = (name: string, fallback: string): string[] =>
    text(name, fallback)
      .split(",")
      .map((part) => part.trim().toLowerCase())
      .filter((part) => part !== "");
  const matching = (name: string, pattern: RegExp, expected: string, fallback: string): string => {
    const value = text(name, fallback);
    if (!pattern.test(value)) complain(name, expected);
    return value;
  };

  const sqsEndpoint = parseHttpOrigin(text("sqs-endpoint", ""));
  if (given["sqs-endpoint"] && !sqsEndpoint) complain("sqs-endpoint", "http://HOST:PORT or https://HOST");
  if (!given["sqs-access-key-id"] !== !given["sqs-secret-file"])
    problems.push("sqs-access-key-id and sqs-secret-file belong together: set both");
  const gateway = address("gateway", { host: "127.0.0.1", port: 8080 });
  const control = address("control", { host: "127.0.0.1", port: 8081 });
  if (!isLoopback(control.host) && !isOn("remote-control")) {
    problems.push(
      `${given.control?.from ?? "control"}: "${control.host}" is not a loopback address; keys would cross the network in clear. Use 127.0.0.1, or set remote-control and put TLS in front`,
    );
  }
  const opened = isOn("public") ? { ...gateway, host: "0.0.0.0" } : gateway;
  const errors = oneOf("function-errors", ["auto", "shown", "hidden"], "auto");
  const domains = list("domains", "localhost");
  for (const domain of domains)
    if (!/^[a-z0-9.-]+$/.test(domain)) complain("domains", "domain names separated by commas");
  return {
    gateway: opened,
    control,
    dataDir: resolve(text("data", defaultDataDir(env))),
    allowUnsandboxed: isOn("allow-unsandboxed"),
    domains,
    controlHosts: list("control-hosts", ""),
    showFunctionErrors: errors === "shown" || (errors === "auto" && isLoopback(opened.host)),
    accountId: matching("account", /^\d{12}$/, "12 digits", "000000000000"),
    region: matching("region", /^[a-z]{2}(-[a-z]+)+-\d$/, "a region such as eu-central-1", "us-east-1"),
    instancesMax: number("instances-max", 1_000, 1, 100_000),
    idleMsMax: number("idle-timeout", 600, 1, 86_400) * 1_000,
    idleMibMax: number("idle-memory", Math.round(totalmem() / MIB / 4), 1, 16_777_216),
    freezeAfterMs: number("freeze-after", 5, 0, 86_400) * 1_000 || undefined,
    readyMibMax: number("ready-memory", readyMibDefault(), 0, 65_536),
    importSetsMax: number("python-imports", 4, 0, 16),
    eventResultsMs: number("event-results", 24, 1, 8_760) * 3_600_000,
    deadLettersMs: number("dead-letters", 14, 1, 3_650) * 24 * 3_600_000,
    privateDestinations: isOn("private-destinations"),
    fault: faultIn(env, problems),
    sqsEndpoint,
    sqsAccessKeyId: given["sqs-access-key-id"]?.text,
    sqsSecretFile: given["sqs-secret-file"] && resolve(given["sqs-secret-file"].text),
    logLevel: oneOf("log-level", ["debug", "info", "warn", "error"], "info"),
    concurrencyMax: number("concurrency-max", 0, 0, 1_000_000) || undefined,
    unreservedMin: number("unreserved-min", 0, 0, 1_000_000),
    requestsPerSecondMax: number("request-rate", 0, 0, 100_000) || undefined,
    streamBytesMax: number("stream-max", STREAMED_RESPONSE_MIB_DEFAULT, 1, 1_048_576) * MIB,
    ...imageSettings({ given, complain, number, problems }),
    urlPermissions: oneOf("url-permissions", ["off", "required", "both"], "off"),
  };
}

function faultIn(env: Readonly<Record<string, string | undefined>>, problems: string[]): Fault | undefined {
  const text = env.LAMBDAD_FAULT;
  if (text === undefined) return undefined;
  const fault = parseFault(text);
  if (!fault)
    problems.push(`LAMBDAD_FAULT: expected die:POINT:N, acknowledge-early or time-out:…, got "${text}"`);
  return fault;
}

/** A small share: a ready sandbox takes some ten MiB. */
function readyMibDefault(): number {
  return Math.max(64, Math.round(totalmem() / MIB / 100));
}

const MIB = 2 ** 20;

/** `$XDG_DATA_HOME/lambdad`, for root `/var/lib/lambdad`. */
export function defaultDataDir(env: Readonly<Record<string, string | undefined>>): string {
  if (env.XDG_DATA_HOME) return join(env.XDG_DATA_HOME, "lambdad");
  const user = userInfo();
  return user.uid === 0 ? "/var/lib/lambdad" : join(env.HOME ?? user.homedir, ".local/share/lambdad");
}
