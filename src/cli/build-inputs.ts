/** What the build of a Dockerfile is given, as options have it. Arguments stay in the image's history; secrets are sent apart. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import {
  BUILD_ARG_NAME,
  BUILD_ARG_RULE,
  BUILD_SECRET_BYTES_MAX,
  BUILD_SECRET_ID,
  BUILD_SECRET_RULE,
} from "../core/build-inputs.ts";
import { CliError, usageError } from "./cli-error.ts";
import type { ApiClient } from "./client.ts";
import { messageOf } from "./settings.ts";
import { Fields } from "./wire.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** `KEY=VALUE`, `KEY` of this environment, or `none` to take all away. */
export function readBuildArgs(given: readonly string[], env: Environment): Record<string, string> {
  if (given.length === 1 && given[0] === "none") return {};
  return Object.fromEntries(
    given.map((text) => {
      const [, name = "", value] = /^([^=]*)(?:=([\s\S]*))?$/.exec(text) ?? [];
      if (!BUILD_ARG_NAME.test(name))
        throw usageError(
          `--build-arg: expected KEY=VALUE, where KEY is ${BUILD_ARG_RULE}, got ${JSON.stringify(name)}${value === undefined ? "" : "=…"}`,
        );
      const taken = value ?? env[name];
      if (taken !== undefined) return [name, taken];
      throw usageError(
        `--build-arg ${name}: the environment has no ${name}`,
        `say --build-arg ${name}=VALUE, or set it`,
      );
    }),
  );
}

/** Where a secret comes from: a file of this machine, or a variable. */
export interface SecretSource {
  readonly id: string;
  readonly file?: string | undefined;
  readonly env?: string | undefined;
}

/** `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`, as docker build has it. @throws CliError `Usage`. */
export function parseSecretOption(text: string): SecretSource {
  const fields = new Map(
    text.split(",").map((part) => {
      const at = part.indexOf("=");
      return at === -1 ? ([part, ""] as const) : ([part.slice(0, at), part.slice(at + 1)] as const);
    }),
  );
  const known = ["id", "src", "source", "env", "type"];
  const odd = [...fields.keys()].find((name) => !known.includes(name));
  const id = fields.get("id") ?? "";
  const file = fields.get("src") ?? fields.get("source");
  const env = fields.get("env");
  // What was written in place of a field may be the secret itself.
  if (odd !== undefined || !BUILD_SECRET_ID.test(id) || (file === undefined) === (env === undefined))
    throw usageError(
      `--build-secret: expected id=NAME,src=FILE or id=NAME,env=VARIABLE, where NAME is ${BUILD_SECRET_RULE}; what it got is not shown`,
    );
  return { id, file, env };
}

/** @throws CliError `FileUnusable`, `Usage` naming the secret, not its value. */
export async function readSecrets(
  sources: readonly SecretSource[],
  workingDir: string,
  env: Environment,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const secrets = new Map<string, Uint8Array>();
  for (const source of sources) {
    if (secrets.has(source.id)) throw usageError(`build secret ${source.id} is given twice`);
    const value = await readSecret(source, workingDir, env);
    if (value.byteLength > BUILD_SECRET_BYTES_MAX)
      throw usageError(
        `build secret ${source.id} has ${value.byteLength} bytes, and may have ${BUILD_SECRET_BYTES_MAX}`,
      );
    secrets.set(source.id, value);
  }
  return secrets;
}

async function readSecret(
  { id, file, env: variable }: SecretSource,
  workingDir: string,
  env: Environment,
): Promise<Uint8Array> {
  if (file !== undefined) {
    const path = resolve(workingDir, file.replace(/^~(?=\/)/, env.HOME ?? "~"));
    return await readFile(path).catch((error: unknown) => {
      throw CliError.local("FileUnusable", `build secret ${id}: cannot read ${path}: ${messageOf(error)}`);
    });
  }
  const value = env[variable ?? ""];
  if (value !== undefined) return new TextEncoder().encode(value);
  throw usageError(`build secret ${id}: the environment has no ${variable}`);
}

/** Gives the server's name for them, which one build may use; undefined where there are none. */
export async function sendSecrets(
  api: ApiClient,
  secrets: ReadonlyMap<string, Uint8Array>,
): Promise<string | undefined> {
  if (secrets.size === 0) return undefined;
  const encoded = [...secrets].map(([id, value]) => [id, Buffer.from(value).toString("base64")]);
  const answer = await api.json("POST", "/v1/build-secrets", {
    body: { secrets: Object.fromEntries(encoded) },
  });
  return new Fields("build secrets", answer).text("id");
}
