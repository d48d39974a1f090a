import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { CliError, usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import {
  DELIVERY_TITLES,
  deliveryFacts,
  deliveryRow,
  HOOK_TITLES,
  hookFacts,
  hookRow,
  readDelivery,
  readHook,
} from "../hook-view.ts";
import { functionName, qualifiedName } from "../names.ts";
import { nothingFound } from "../nothing-found.ts";
import { messageOf } from "../settings.ts";
import { readSecret } from "../stdin-secret.ts";
import { formatFacts, formatTable } from "../table.ts";
import { countOption, formatInstant, spanOption } from "../units.ts";
import { visibleLines } from "../visible.ts";
import { Fields } from "../wire.ts";

export interface HookOptions {
  readonly provider: string;
  readonly function?: string;
  readonly secretFromStdin?: boolean;
  readonly signatureHeader?: string;
  readonly algorithm?: string;
  readonly idHeader?: string;
  readonly timestampHeader?: string;
  readonly deploy?: boolean;
  readonly repo?: string;
  readonly branch?: string;
  readonly path?: string;
  readonly tokenFile?: string;
  readonly tokenUser?: string;
  readonly sshKeyFile?: string;
  readonly knownHostsFile?: string;
  readonly paused?: boolean;
  readonly description?: string;
}

export interface HookListOptions {
  readonly function?: string;
}

export interface DeliveryOptions {
  readonly last?: string;
}

export interface RotateOptions {
  readonly secretFromStdin?: boolean;
  readonly overlap?: string;
}

const PAGE = 500;
const DELIVERIES_DEFAULT = 20;
/** Stripe and Slack make their secrets themselves. */
const SECRET_EXAMPLE = 'printf %s "$SECRET" | lambda hook rotate NAME --secret-from-stdin';

/** Prints the address first, so that scripts can take that line. */
export async function createHook(command: Command, name: string, options: HookOptions): Promise<void> {
  const { provider, description } = options;
  if (!options.deploy && options.function === undefined) {
    throw usageError("expected --function FUNCTION[:QUALIFIER], which the hook calls, or --deploy");
  }
  const target = qualifiedName(options.function ?? name);
  const deploy = await deployOf(command, options);
  const signature = signatureOf(options);
  const body = {
    name,
    provider,
    function: target.name,
    ...(target.qualifier !== undefined && { qualifier: target.qualifier }),
    ...(options.secretFromStdin && { secret: await secretFrom(command) }),
    ...(signature && { signature }),
    ...(deploy && { deploy }),
    ...(options.paused === true && { isPaused: true }),
    ...(description !== undefined && { description }),
  };
  const { output, client } = command;
  const answer = await (await client()).json("POST", "/v1/hooks", { body });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const fields = new Fields("answer", answer);
  const hook = readHook(fields.value("hook"));
  await output.write(`${hook.url}\n`);
  const secret = fields.optionalText("secret");
  if (secret !== undefined) {
    await output.write(formatFacts([["Secret", secret]]));
    output.note("give both to the sender, and keep the secret: it is not shown again", "dim");
  } else if (hook.state === "without secret") {
    output.note(
      `everything is refused until ${provider}'s secret is here: ${SECRET_EXAMPLE.replace("NAME", name)}`,
    );
  }
}

export async function listHooks({ output, client }: Command, options: HookListOptions): Promise<void> {
  const query = { function: options.function === undefined ? undefined : functionName(options.function) };
  const api = await client();
  const found: unknown[] = [];
  let after: string | undefined;
  do {
    const answer = await api.json("GET", "/v1/hooks", { query: { ...query, after, limit: PAGE } });
    const fields = new Fields("hooks", answer);
    found.push(...fields.list("hooks"));
    after = fields.optionalText("next");
  } while (after !== undefined);
  if (output.isJson) {
    await output.json({ hooks: found });
    return;
  }
  if (found.length === 0) {
    output.note(
      nothingFound("hooks", query, "lambda hook create NAME --provider github --function FUNCTION"),
    );
    return;
  }
  await output.write(formatTable(HOOK_TITLES, found.map(readHook).map(hookRow)));
}

export async function showHook({ output, client }: Command, name: string): Promise<void> {
  const answer = await (await client()).json("GET", hookPath(name));
  if (output.isJson) await output.json(answer);
  else await output.write(formatFacts(hookFacts(readHook(answer))));
}

/** With the id of one, all that is known of that, and the log of its build. */
export async function showDeliveries(
  { output, client }: Command,
  name: string,
  id: string | undefined,
  options: DeliveryOptions,
): Promise<void> {
  const api = await client();
  if (id !== undefined) {
    const answer = await api.json("GET", hookPath(name, `/deliveries/${deliveryId(id)}`));
    if (output.isJson) {
      await output.json(answer);
      return;
    }
    await output.write(formatFacts(deliveryFacts(readDelivery(answer))));
    const log = new Fields("delivery", answer).optionalText("log");
    if (log) await output.write(`\n${visibleLines(log)}\n`);
    return;
  }
  const limit = options.last === undefined ? DELIVERIES_DEFAULT : countOption("--last", options.last, 1);
  const answer = await api.json("GET", hookPath(name, "/deliveries"), { query: { limit } });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const deliveries = new Fields("deliveries", answer).list("deliveries");
  if (deliveries.length === 0) output.note(`nothing has come to ${name} yet`);
  else await output.write(formatTable(DELIVERY_TITLES, deliveries.map(readDelivery).map(deliveryRow)));
}

export async function redeliver({ output, client }: Command, name: string, id: string): Promise<void> {
  const path = hookPath(name, `/deliveries/${deliveryId(id)}/redeliver`);
  const answer = await (await client()).json("POST", path, { body: {} });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const made = readDelivery(answer);
  await output.write(
    `${made.id} ${made.eventId === undefined ? made.outcome : `accepted as ${made.eventId}`}\n`,
  );
}

export async function rotateHook(command: Command, name: string, options: RotateOptions): Promise<void> {
  const { output, client } = command;
  const body = {
    ...(options.secretFromStdin && { secret: await secretFrom(command) }),
    ...(options.overlap !== undefined && { overlapMs: spanOption("--overlap", options.overlap) }),
  };
  const answer = await (await client()).json("POST", hookPath(name, "/rotate"), { body });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const fields = new Fields("answer", answer);
  const secret = fields.optionalText("secret");
  if (secret !== undefined) await output.write(formatFacts([["Secret", secret]]));
  const old = readHook(fields.value("hook")).secrets[1]?.expiresAt;
  const rest = old === undefined ? ", and no other" : `; the old one is good until ${formatInstant(old)}`;
  output.note(`${name} takes the new secret now${rest}`);
}

export async function setPaused({ output, client }: Command, name: string, isPaused: boolean): Promise<void> {
  const answer = await (await client()).json("POST", hookPath(name, isPaused ? "/pause" : "/resume"), {
    body: {},
  });
  if (output.isJson) await output.json(answer);
  else output.note(`${name} is ${readHook(answer).state}`);
}

export async function deleteHook({ output, client }: Command, name: string): Promise<void> {
  await (await client()).json("DELETE", hookPath(name));
  if (output.isJson) await output.json({ deleted: name });
  else output.note(`deleted hook ${name}`);
}

async function secretFrom(command: Command): Promise<string> {
  return await readSecret(command, SECRET_EXAMPLE);
}

function signatureOf(options: HookOptions): Record<string, string> | undefined {
  const { signatureHeader, algorithm, idHeader, timestampHeader } = options;
  const given = {
    ...(signatureHeader !== undefined && { header: signatureHeader }),
    ...(algorithm !== undefined && { algorithm }),
    ...(idHeader !== undefined && { idHeader }),
    ...(timestampHeader !== undefined && { timestampHeader }),
  };
  return Object.keys(given).length === 0 ? undefined : given;
}

async function deployOf(command: Command, options: HookOptions): Promise<Record<string, string> | undefined> {
  const { repo, branch, path, tokenFile, tokenUser, sshKeyFile, knownHostsFile } = options;
  if (!options.deploy) {
    const stray = Object.entries({
      repo,
      branch,
      path,
      tokenFile,
      tokenUser,
      sshKeyFile,
      knownHostsFile,
    }).find(([, value]) => value !== undefined);
    if (stray === undefined) return undefined;
    throw usageError(
      `--${stray[0].replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}: only with --deploy`,
    );
  }
  if (repo === undefined) throw usageError("--deploy: expected --repo, where git reads the code from");
  return {
    repo,
    ...(branch !== undefined && { branch }),
    ...(path !== undefined && { path }),
    ...(tokenFile !== undefined && { token: (await fileOption(command, "--token-file", tokenFile)).trim() }),
    ...(tokenUser !== undefined && { user: tokenUser }),
    ...(sshKeyFile !== undefined && { sshKey: await fileOption(command, "--ssh-key-file", sshKeyFile) }),
    ...(knownHostsFile !== undefined && {
      knownHosts: await fileOption(command, "--known-hosts-file", knownHostsFile),
    }),
  };
}

async function fileOption({ host }: Command, option: string, name: string): Promise<string> {
  const file = resolve(host.workingDir, name);
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw CliError.local("FileUnusable", `${option}: cannot read ${file}: ${messageOf(error)}`);
  }
}

function hookPath(name: string, rest = ""): string {
  if (/^[0-9A-Za-z_.-]{1,64}$/.test(name) && /[0-9A-Za-z]/.test(name)) return `/v1/hooks/${name}${rest}`;
  throw usageError(
    `hook ${JSON.stringify(name)}: expected 1 to 64 characters of A-Z, a-z, 0-9, -, _ and .; lambda hook list shows what there is`,
  );
}

function deliveryId(text: string): string {
  if (/^dlv_[0-9a-z]{1,20}$/.test(text)) return text;
  throw usageError(
    `delivery ${JSON.stringify(text)}: expected an id such as dlv_0abc123def4; lambda hook deliveries NAME shows them`,
  );
}
