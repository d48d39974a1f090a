import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename, extname, join, resolve } from "node:path";
import { parseSecretOption, readBuildArgs, readSecrets, sendSecrets } from "../build-inputs.ts";
import { canaryLine, readCanary, readTrialOptions } from "../canary-view.ts";
import { CliError, usageError } from "../cli-error.ts";
import type { CallOptions } from "../client.ts";
import type { Command } from "../command.ts";
import type { DeployOptions } from "../deploy-options.ts";
import { DeployProgress } from "../deploy-progress.ts";
import { readEnvironment } from "../environment.ts";
import { functionName, functionPath, nameFromPath } from "../names.ts";
import { packageFolder } from "../package-folder.ts";
import { isCode, messageOf } from "../settings.ts";
import { readShadow, shadowLine } from "../shadow-view.ts";
import { countOption, cpusOption, formatBytes, mibOption, plural, spanOption } from "../units.ts";
import { type DeployEvent, readDeployEvent } from "../wire.ts";
import { splitWords } from "../words.ts";

/** Installing dependencies or compiling may take long without a word. */
const SILENCE_MS_MAX = 900_000;

/** Steps on stderr as they happen; at the end one line on stdout that says where the function is. */
export async function deploy(
  command: Command,
  path: string | undefined,
  options: DeployOptions,
): Promise<void> {
  const { host, output } = command;
  const folder = resolve(host.workingDir, path ?? ".");
  if (options.image === undefined && (await isProject(folder))) {
    const [{ deployProject }, { projectOptions }] = await Promise.all([
      import("../project/deploy-project.ts"),
      import("../project/deploy-options.ts"),
    ]);
    await deployProject(command, folder, projectOptions(options));
    return;
  }
  refuseProjectOptions(options);
  const { name, event, line } = await runDeploy(command, path, options);
  if (output.isJson) await output.json({ name, ...withoutType(line) });
  else if (event.shadow !== undefined)
    await output.write(`${name} at ${event.url}: ${shadowLine(readShadow(event.shadow))}\n`);
  else if (event.canary === undefined)
    await output.write(`${name} (version ${event.version}) is live at ${event.url}\n`);
  else await output.write(`${name} at ${event.url}: ${canaryLine(readCanary(event.canary))}\n`);
  // The server has said why; calls get the same error, and a function may wait for something else to come up.
  if (event.readyError !== undefined) {
    output.note(
      `it does not start: lambda logs ${name} says more, lambda rollback ${name} goes back`,
      "yellow",
    );
  }
}

async function isProject(folder: string): Promise<boolean> {
  return stat(join(folder, "lambda.yaml")).then(
    (facts) => facts.isFile(),
    () => false,
  );
}

function refuseProjectOptions(options: DeployOptions): void {
  const option = (["preview", "dryRun", "prune", "adopt", "rebuild"] as const).find((name) => options[name]);
  if (option === undefined) return;
  const name = option === "dryRun" ? "dry-run" : option;
  throw usageError(
    `--${name} is for projects, and there is no lambda.yaml here`,
    "lambda init FOLDER --template project makes one",
  );
}

export interface Deployed {
  readonly name: string;
  readonly event: Extract<DeployEvent, { readonly type: "done" }>;
  /** As the server sent it. */
  readonly line: unknown;
}

/** The deployment itself, with its steps on stderr. */
export async function runDeploy(
  command: Command,
  path: string | undefined,
  options: DeployOptions,
): Promise<Deployed> {
  const { host, output } = command;
  if (path !== undefined && options.image !== undefined)
    throw usageError(`--image ${options.image} and ${path}: deploy either an image or a path`);
  const source =
    options.image === undefined
      ? await openSource(resolve(host.workingDir, path ?? "."), path ?? ".")
      : openImage(options.image);
  const name = options.name === undefined ? nameFromPath(source.baseName) : functionName(options.name);
  const buildArgs = options.buildArg && readBuildArgs(options.buildArg, host.env);
  const secretSources = (options.buildSecret ?? []).map(parseSecretOption);
  const secrets = await readSecrets(secretSources, host.workingDir, host.env);
  const settings = {
    ...(await readDeploySettings(options, host.workingDir)),
    ...(buildArgs && { buildArgs }),
    ...(source.fileName !== undefined && { fileName: source.fileName }),
  };
  const api = await command.client();
  api.requireKey();

  const buildSecrets = await sendSecrets(api, secrets);

  const progress = new DeployProgress(output);
  progress.packaged(source.label, source.detail);
  const lines = api.lines("POST", functionPath(name, "/deploy"), {
    query: { options: JSON.stringify({ ...settings, ...(buildSecrets && { buildSecrets }) }) },
    upload: await source.open(),
    headers: { "content-type": "application/octet-stream", ...source.headers },
    silenceMsMax: SILENCE_MS_MAX,
  });
  try {
    for await (const line of lines) {
      const event = readDeployEvent(line);
      if (event?.type === "error") {
        throw CliError.fromServer(undefined, event.code, event.message, event.hint);
      }
      if (event?.type === "done") {
        progress.done(event.readyMs);
        return { name, event, line };
      }
      if (event !== undefined) progress.show(event);
    }
  } finally {
    progress.end();
  }
  throw CliError.local(
    "ServerUnreachable",
    `${api.server} ended the deployment of ${name} without saying how`,
    `lambda versions ${name} shows whether it went live; look into lambdad's own log`,
  );
}

export interface Source {
  /** For the progress line. */
  readonly label: string;
  readonly detail: string;
  /** What the function is named after. */
  readonly baseName: string;
  readonly fileName: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  open(): Promise<NonNullable<CallOptions["upload"]>>;
}

/** A folder, which is packed, or a file. @throws CliError `FileUnusable`, `Usage` */
export async function openSource(path: string, given: string): Promise<Source> {
  const facts = await stat(path).catch((error: unknown) => {
    const reason = isCode(error, "ENOENT")
      ? `there is no ${given}`
      : `cannot read ${given}: ${messageOf(error)}`;
    throw CliError.local("FileUnusable", reason, "lambda init FOLDER makes a function to start from");
  });
  const label = basename(path) || given;
  if (facts.isDirectory()) {
    const folder = await packageFolder(path);
    return {
      label,
      detail: `${plural(folder.files.length, "file")}, ${formatBytes(folder.bytes)}`,
      baseName: label,
      fileName: undefined,
      headers: {},
      open: folder.openZip,
    };
  }
  if (!facts.isFile()) throw usageError(`${given} is neither a folder nor a file`);
  if (facts.size === 0) throw usageError(`${given} is empty`);
  return {
    label,
    detail: formatBytes(facts.size),
    baseName: label.slice(0, label.length - extname(label).length).replace(/\.tar$/, "") || label,
    fileName: label,
    headers: { "content-length": String(facts.size) },
    open: async () => createReadStream(path),
  };
}

/** Nothing is sent: the server's engine has the image, or pulls it. */
function openImage(reference: string): Source {
  const last = reference.slice(reference.lastIndexOf("/") + 1);
  return {
    label: reference,
    detail: "image",
    baseName: last.split(/[:@]/)[0] ?? last,
    fileName: undefined,
    headers: { "content-length": "0" },
    open: async () => new Uint8Array(),
  };
}

/** Protocols by the kind of function that speaks them. */
const KIND_OF_PROTOCOL: Readonly<Record<string, string>> = {
  lambda: "handler",
  http: "server",
  stdio: "filter",
};

function kindOf({ kind, protocol }: DeployOptions): string | undefined {
  if (protocol === undefined) return kind;
  const spoken = KIND_OF_PROTOCOL[protocol];
  if (kind !== undefined && kind !== spoken)
    throw usageError(
      `--kind ${kind} and --protocol ${protocol}: a ${kind} does not speak that, give one of them`,
    );
  return spoken;
}

/** The members that docs/api.md calls settings; what was not given stays away, so that it keeps its value. */
export async function readDeploySettings(
  options: DeployOptions,
  workingDir: string,
): Promise<Record<string, unknown>> {
  const given = <T>(value: string | undefined, read: (text: string) => T): T | undefined =>
    value === undefined ? undefined : read(value);
  const hasEnvironment = options.env !== undefined || options.envFile !== undefined;
  const settings: Record<string, unknown> = {
    runtime: options.runtime,
    kind: kindOf(options),
    image: options.image,
    package: options.package,
    handler: options.handler,
    module: options.module,
    command: given(options.command, (text) => splitWords("--command", text)),
    memoryMib: given(options.memory, (text) => mibOption("--memory", text)),
    cpus: given(options.cpus, (text) => (text === "auto" ? null : cpusOption("--cpus", text))),
    timeoutMs: given(options.timeout, (text) => spanOption("--timeout", text)),
    tmpMib: given(options.tmp, (text) => mibOption("--tmp", text)),
    environment: hasEnvironment
      ? await readEnvironment(options.envFile ?? [], options.env ?? [], workingDir)
      : undefined,
    network: options.network,
    slotsPerInstance: given(options.slots, (text) => countOption("--slots", text, 1)),
    concurrencyMax: given(options.max, (text) => (text === "none" ? null : countOption("--max", text))),
    concurrencyMin: given(options.min, (text) => countOption("--min", text)),
    layers: options.layer?.includes("none") ? [] : options.layer,
    mayInvoke: options.allow && readAllowed(options.allow),
    description: options.description,
    allowScripts: options.allowScripts ? true : undefined,
    build: options.build ? undefined : false,
    ...readTrialOptions(options),
  };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** `invoke:PATTERN`, or `nothing` to take all away. */
function readAllowed(allowed: readonly string[]): readonly string[] {
  if (allowed.includes("nothing")) return [];
  return allowed.map((text) => {
    const pattern = /^invoke:([A-Za-z0-9_*-]{1,64})$/.exec(text)?.[1];
    if (pattern !== undefined) return pattern;
    throw usageError(`--allow ${text}: expected invoke:PATTERN, where * stands for anything, or nothing`);
  });
}

function withoutType(line: unknown): object {
  const { type: _type, ...rest } = Object.fromEntries(
    Object.entries(typeof line === "object" && line !== null ? line : {}),
  );
  return rest;
}
