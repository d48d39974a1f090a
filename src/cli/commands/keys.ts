import { usageError } from "../cli-error.ts";
import type { Command } from "../command.ts";
import { readSecret } from "../stdin-secret.ts";
import { formatFacts, formatTable } from "../table.ts";
import { formatInstant, instantOption, parseSpan } from "../units.ts";
import { Fields, type KeyView, readKey, readNewKey } from "../wire.ts";

export interface KeyOptions {
  readonly id?: string;
  readonly secretFromStdin?: boolean;
  readonly scopes?: string;
  readonly functions?: string;
  readonly description?: string;
  readonly expires?: string;
}

const SCOPES: readonly string[] = ["invoke", "read", "replay", "deploy", "admin"];
const SECRET_EXAMPLE = 'printf %s "$AWS_SECRET_ACCESS_KEY" | lambda keys create --id ID --secret-from-stdin';

export async function listKeys({ output, client }: Command): Promise<void> {
  const answer = await (await client()).json("GET", "/v1/keys");
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const now = Date.now();
  const keys = new Fields("keys", answer).list("keys").map(readKey);
  await output.write(
    formatTable(
      ["ID", "SCOPES", "FUNCTIONS", "CREATED", "STATE", "DESCRIPTION"],
      keys.map((key) => [
        key.id,
        key.scopes.join(","),
        key.functions,
        formatInstant(key.createdAt),
        stateOf(key, now),
        key.description,
      ]),
    ),
  );
}

export async function createKey(command: Command, options: KeyOptions): Promise<void> {
  const { output } = command;
  if (options.secretFromStdin && options.id === undefined) {
    throw usageError("--secret-from-stdin takes over an existing pair: name its id with --id");
  }
  if (options.id !== undefined && !options.secretFromStdin) {
    throw usageError("--id takes over an existing pair: give its secret with --secret-from-stdin");
  }
  const body = {
    ...(options.scopes !== undefined && { scopes: parseScopes(options.scopes) }),
    ...(options.id !== undefined && { id: options.id }),
    ...(options.secretFromStdin && { secret: await readSecret(command, SECRET_EXAMPLE) }),
    ...(options.functions !== undefined && { functions: options.functions }),
    ...(options.description !== undefined && { description: options.description }),
    ...(options.expires !== undefined && { expiresAt: expiry(options.expires, Date.now()) }),
  };
  const answer = await (await command.client()).json("POST", "/v1/keys", { body });
  if (output.isJson) {
    await output.json(answer);
    return;
  }
  const made = readNewKey(answer);
  await output.write(
    formatFacts([
      ["Id", made.key.id],
      ["Secret", options.secretFromStdin ? "(the one you gave)" : made.secret],
      ["Token", options.secretFromStdin ? undefined : made.token],
      ["Scopes", made.key.scopes.join(",")],
      ["Functions", made.key.functions],
      ["Expires", made.key.expiresAt === undefined ? "never" : formatInstant(made.key.expiresAt)],
    ]),
  );
  if (!options.secretFromStdin) output.note("keep the secret: it is not shown again", "dim");
}

export async function revokeKey({ output, client }: Command, id: string): Promise<void> {
  if (!/^[A-Za-z0-9]+$/.test(id)) {
    throw usageError(
      `key id ${JSON.stringify(id)}: expected letters and digits, as lambda keys list shows them`,
    );
  }
  await (await client()).json("DELETE", `/v1/keys/${id}`);
  if (output.isJson) await output.json({ revoked: id });
  else output.note(`revoked ${id}`);
}

function stateOf(key: KeyView, now: number): string {
  if (key.revokedAt !== undefined) return `revoked ${formatInstant(key.revokedAt)}`;
  if (key.expiresAt === undefined) return "valid";
  return `${key.expiresAt <= now ? "expired" : "valid until"} ${formatInstant(key.expiresAt)}`;
}

function parseScopes(text: string): string[] {
  const scopes = text.split(",").map((scope) => scope.trim());
  const unknown = scopes.find((scope) => !SCOPES.includes(scope));
  if (unknown === undefined) return scopes;
  throw usageError(`--scopes: expected some of ${SCOPES.join(",")}, got ${JSON.stringify(unknown)}`);
}

/** Spans count forward here. */
function expiry(text: string, now: number): number {
  const spanMs = /[a-z]$/.test(text) ? parseSpan(text) : undefined;
  const at = spanMs === undefined ? instantOption("--expires", text, now) : now + spanMs;
  if (at > now) return at;
  throw usageError(`--expires: ${JSON.stringify(text)} is not in the future`);
}
