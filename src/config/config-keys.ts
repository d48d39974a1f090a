/** Every setting of the daemon, once: flags, environment names, the help and docs/configuration.md follow from this table. */
import { IMAGE_KEYS } from "../core/image-settings.ts";

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

export function environmentName(keyName: string): string {
  return `LAMBDAD_${keyName.toUpperCase().replaceAll("-", "_")}`;
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
