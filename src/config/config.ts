import { totalmem, userInfo } from "node:os";
import { join, resolve } from "node:path";
import { type Address, isLoopback, parseAddress, parseHttpOrigin } from "../core/address.ts";
import { PlatformError } from "../core/errors.ts";
import { type Fault, parseFault } from "../core/fault.ts";
import { type ImageSettings, imageSettings } from "../core/image-settings.ts";
import { STREAMED_RESPONSE_MIB_DEFAULT } from "../core/limits.ts";
import type { LogLevel } from "../core/log.ts";
import { readEnvironment, readFile, readFlags, type Values } from "./given-values.ts";

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
function defaultDataDir(env: Readonly<Record<string, string | undefined>>): string {
  if (env.XDG_DATA_HOME) return join(env.XDG_DATA_HOME, "lambdad");
  const user = userInfo();
  return user.uid === 0 ? "/var/lib/lambdad" : join(env.HOME ?? user.homedir, ".local/share/lambdad");
}
