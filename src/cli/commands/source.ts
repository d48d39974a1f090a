import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { CliError, usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { functionName, qualifiedName } from "../names.ts";
import { nothingFound } from "../nothing-found.ts";
import { messageOf } from "../settings.ts";
import { queueOf, readSource, SOURCE_TITLES, sourceFacts, sourceRow } from "../source-view.ts";
import { readSecret } from "../stdin-secret.ts";
import { formatFacts, formatTable } from "../table.ts";
import { countOption, spanOption } from "../units.ts";
import { Fields } from "../wire.ts";

/** How a function is called; the same for making and changing. */
export interface SourceSettings {
  readonly batch?: string;
  readonly window?: string;
  readonly concurrency?: string;
  readonly partialFailures?: boolean;
  readonly filter?: readonly string[];
  readonly onFailure?: string;
}

export interface CreateSourceOptions extends SourceSettings {
  readonly queue?: string;
  readonly endpoint?: string;
  readonly accessKeyId?: string;
  readonly nats?: string;
  readonly stream?: string;
  readonly consumer?: string;
  readonly subject?: string;
  readonly from?: string;
  readonly attempts?: string;
  readonly user?: string;
  readonly credentialsFile?: string;
  readonly secretFromStdin?: boolean;
  readonly paused?: boolean;
}

export interface UpdateSourceOptions extends SourceSettings {
  readonly function?: string;
  readonly filters?: boolean;
}

export interface SourceListOptions {
  readonly function?: string;
}

const PAGE = 500;
const SECRET_EXAMPLE =
  'printf %s "$AWS_SECRET_ACCESS_KEY" | lambda source create FUNCTION --queue ARN --access-key-id ID --secret-from-stdin';

/** Prints the id alone, so that scripts can take it. */
export async function createSource(
  command: Command,
  target: string,
  options: CreateSourceOptions,
): Promise<void> {
  const { name, qualifier } = qualifiedName(target);
  const { queue, nats, endpoint, accessKeyId, stream, consumer, subject, from, user } = options;
  if ((queue === undefined) === (nats === undefined)) {
    throw usageError("expected one of --queue ARN and --nats nats://HOST:PORT");
  }
  if (accessKeyId !== undefined && !options.secretFromStdin) {
    throw usageError("--access-key-id: its secret comes with --secret-from-stdin");
  }
  const secret = await secretOf(command, options);
  const body = {
    function: name,
    ...(qualifier !== undefined && { qualifier }),
    from: queue ?? nats,
    ...(endpoint !== undefined && { endpoint }),
    ...(accessKeyId !== undefined && { accessKeyId }),
    ...(stream !== undefined && { stream }),
    ...(consumer !== undefined && { consumer }),
    ...(subject !== undefined && { subject }),
    ...(from !== undefined && { startsAt: from }),
    ...(options.attempts !== undefined && { attemptsMax: countOption("--attempts", options.attempts, 1) }),
    ...(user !== undefined && { user }),
    ...(secret !== undefined && { secret }),
    ...(options.paused === true && { isPaused: true }),
    ...settingsOf(options),
  };
  const { output, client } = command;
  const answer = await (await client()).json("POST", "/v1/sources", { body });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const source = readSource(answer);
  await output.write(`${source.id}\n`);
  output.note(`calls ${source.function} for ${queueOf(source)}`);
}

export async function listSources({ output, client }: Command, options: SourceListOptions): Promise<void> {
  const found = await allSources(await client(), options);
  if (output.isJson) {
    await output.json({ sources: found });
    return;
  }
  if (found.length === 0) {
    const narrowed = { function: options.function };
    output.note(nothingFound("sources", narrowed, "lambda source create FUNCTION --queue ARN"));
    return;
  }
  await output.write(formatTable(SOURCE_TITLES, found.map(readSource).map(sourceRow)));
}

export async function showSource(command: Command, source: string): Promise<void> {
  const { output, client } = command;
  const answer = await (await client()).json("GET", await sourcePath(command, source));
  if (output.isJson) await output.json(answer);
  else await output.write(formatFacts(sourceFacts(readSource(answer))));
}

export async function updateSource(
  command: Command,
  source: string,
  options: UpdateSourceOptions,
): Promise<void> {
  const target = options.function === undefined ? undefined : qualifiedName(options.function);
  const body = {
    ...(target && { function: target.name }),
    ...(target?.qualifier !== undefined && { qualifier: target.qualifier }),
    ...settingsOf(options),
    ...(options.filters === false && { filters: [] }),
  };
  if (Object.keys(body).length === 0) throw usageError("expected what is to change, such as --batch 100");
  const { output, client } = command;
  const answer = await (await client()).json("PATCH", await sourcePath(command, source), { body });
  if (output.isJson) await output.json(answer);
  else output.note(`changed source ${readSource(answer).id}`);
}

export async function setPaused(command: Command, source: string, isPaused: boolean): Promise<void> {
  const { output, client } = command;
  const path = await sourcePath(command, source, isPaused ? "/pause" : "/resume");
  const answer = await (await client()).json("POST", path, { body: {} });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const { id, state } = readSource(answer);
  output.note(`source ${id} is ${state}`);
}

export async function deleteSource(command: Command, source: string): Promise<void> {
  const { output, client } = command;
  const path = await sourcePath(command, source);
  await (await client()).json("DELETE", path);
  const id = path.split("/").at(-1);
  if (output.isJson) await output.json({ deleted: id });
  else output.note(`deleted source ${id}; what is in its queue stays there`);
}

async function allSources(
  api: Awaited<ReturnType<Command["client"]>>,
  options: SourceListOptions,
): Promise<unknown[]> {
  const query = { function: options.function === undefined ? undefined : functionName(options.function) };
  const found: unknown[] = [];
  let after: string | undefined;
  do {
    const fields = new Fields(
      "sources",
      await api.json("GET", "/v1/sources", { query: { ...query, after, limit: PAGE } }),
    );
    found.push(...fields.list("sources"));
    after = fields.optionalText("next");
  } while (after !== undefined);
  return found;
}

/** By the whole id, or by as much of its beginning as no other has. */
async function sourcePath({ client }: Command, text: string, rest = ""): Promise<string> {
  if (!/^[0-9a-fA-F][0-9a-fA-F-]{0,35}$/.test(text)) {
    throw usageError(
      `source ${JSON.stringify(text)}: expected an id or its beginning; lambda source list shows them`,
    );
  }
  if (text.length === 36) return `/v1/sources/${text}${rest}`;
  const ids = (await allSources(await client(), {})).map((source) => readSource(source).id);
  const matching = ids.filter((id) => id.startsWith(text.toLowerCase()));
  const [id, other] = matching;
  if (id !== undefined && other === undefined) return `/v1/sources/${id}${rest}`;
  throw usageError(
    id === undefined
      ? `there is no source that begins with ${JSON.stringify(text)}; lambda source list shows them`
      : `${matching.length} sources begin with ${JSON.stringify(text)}; give more of the id`,
  );
}

function settingsOf(options: SourceSettings): Record<string, unknown> {
  const { batch, window, concurrency, partialFailures, filter, onFailure } = options;
  return {
    ...(batch !== undefined && { batchSize: countOption("--batch", batch, 1) }),
    ...(window !== undefined && { windowMs: spanOption("--window", window) }),
    ...(concurrency !== undefined && {
      concurrencyMax: concurrency === "none" ? null : countOption("--concurrency", concurrency, 1),
    }),
    ...(partialFailures !== undefined && { partialFailures }),
    ...(filter !== undefined && { filters: filter.map(patternOf) }),
    ...(onFailure !== undefined && { onFailure: onFailure === "none" ? null : onFailure }),
  };
}

/** The server has the last word on what is inside. */
function patternOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw usageError(
      `--filter: expected JSON such as '{"body":{"kind":["order"]}}', got ${JSON.stringify(text)}`,
    );
  }
}

async function secretOf(command: Command, options: CreateSourceOptions): Promise<string | undefined> {
  const { credentialsFile, secretFromStdin } = options;
  if (credentialsFile === undefined) {
    return secretFromStdin ? await readSecret(command, SECRET_EXAMPLE) : undefined;
  }
  if (secretFromStdin) throw usageError("expected one of --credentials-file and --secret-from-stdin");
  const file = resolve(command.host.workingDir, credentialsFile);
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw CliError.local("FileUnusable", `--credentials-file: cannot read ${file}: ${messageOf(error)}`);
  }
}
