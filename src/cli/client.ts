import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { isRecord } from "../core/is-record.ts";
import { CliError, type LocalCode } from "./cli-error.ts";
import { guessFunction, missingFunction } from "./function-guess.ts";
import { messageOf, type Settings } from "./settings.ts";

/**
 * The control API over HTTP (docs/api.md). Everything the CLI does goes through here, so that it can do nothing that
 * the API cannot. node:http and not fetch or undici: those take as long to load as the whole of `lambda list`.
 */
export interface ApiClient {
  readonly server: string;
  /** The token that calls are made with. @throws CliError `KeyMissing` */
  requireKey(): string;
  /** One JSON answer; undefined for 204. */
  json(method: Method, path: string, options?: CallOptions): Promise<unknown>;
  /** One object per line, as they come; ends with the answer. */
  lines(method: Method, path: string, options?: CallOptions): AsyncIterable<unknown>;
  /** The answer as it is, whatever its body. */
  raw(method: Method, path: string, options?: CallOptions): Promise<RawAnswer>;
}

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface CallOptions {
  /** Members that are undefined are left out. */
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly upload?: Uint8Array | Readable;
  readonly headers?: Readonly<Record<string, string>>;
  /** Longest silence of the server, ms; 0 is for ever. */
  readonly silenceMsMax?: number;
}

export interface RawAnswer {
  readonly headers: IncomingHttpHeaders;
  readonly body: AsyncIterable<Uint8Array>;
}

export interface ClientParts {
  readonly settings: Settings;
  readonly signal: AbortSignal;
  /** Told each request and answer when somebody wants to see them. */
  readonly onTraffic: ((line: string) => void) | undefined;
}

const SILENCE_MS_MAX = 60_000;
/** An error is read to its end to be shown; no error is this long. */
const ERROR_BYTES_MAX = 256 * 1024;
/** So many functions are looked at for one that may have been meant: what one answer holds. */
const GUESS_AMONG_MAX = 500;

export function newClient(parts: ClientParts): ApiClient {
  const { settings, signal } = parts;
  const server = settings.server.value;

  const requireKey = () => {
    if (settings.key.value !== undefined) return settings.key.value;
    throw CliError.local(
      "KeyMissing",
      `no key for ${server}: looked in ${settings.key.origin}`,
      "run as the user that runs lambdad, or pass a key that lambda keys create printed: LAMBDA_KEY=ID.SECRET",
    );
  };

  const send = (method: Method, path: string, options: CallOptions): Promise<IncomingMessage> => {
    const key = requireKey();
    const url = `${server}${path}${queryOf(options.query)}`;
    const body = options.body === undefined ? options.upload : Buffer.from(JSON.stringify(options.body));
    // Not by import: that reads every export, of which one loads all of undici, ten times the cost of the rest.
    const { request } = process.getBuiltinModule(server.startsWith("https:") ? "node:https" : "node:http");
    const startedAt = performance.now();
    parts.onTraffic?.(`> ${method} ${url}`);
    return new Promise((resolve, reject) => {
      const outgoing = request(url, {
        method,
        signal,
        // One command is one conversation: a kept connection would only keep the process.
        agent: false,
        headers: {
          authorization: `Bearer ${key}`,
          accept: "application/json, application/x-ndjson",
          ...(options.body !== undefined && { "content-type": "application/json" }),
          ...(body instanceof Uint8Array && { "content-length": String(body.byteLength) }),
          ...options.headers,
        },
      });
      outgoing.setTimeout(options.silenceMsMax ?? SILENCE_MS_MAX, () => {
        outgoing.destroy(
          CliError.local(
            "TimedOut",
            `${server} did not answer within ${(options.silenceMsMax ?? SILENCE_MS_MAX) / 1000} s`,
          ),
        );
      });
      let isAnswered = false;
      outgoing.on("response", (answer) => {
        isAnswered = true;
        const tookMs = Math.round(performance.now() - startedAt);
        parts.onTraffic?.(`< ${answer.statusCode} ${answer.statusMessage} after ${tookMs} ms`);
        resolve(answer);
      });
      outgoing.on("error", (error) => {
        // A server may refuse an upload before it has read all of it; then the answer counts, not the broken pipe.
        if (!isAnswered) reject(signal.aborted ? signal.reason : unreachable(server, error));
      });
      sendBody(outgoing, body, reject);
    });
  };

  const ok = async (method: Method, path: string, options: CallOptions): Promise<IncomingMessage> => {
    const answer = await send(method, path, options);
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return answer;
    const text = Buffer.concat(await collect(answer, ERROR_BYTES_MAX)).toString();
    const error = errorOf(server, status, answer.headers, text);
    throw status === 404 ? await withGuess(error) : error;
  };

  /** The same with the function that may have been meant as its hint, where one is like it. */
  const withGuess = async (error: CliError): Promise<CliError> => {
    const name = missingFunction(error.message);
    if (name === undefined) return error;
    try {
      const answer = await send("GET", "/v1/functions", { query: { limit: GUESS_AMONG_MAX } });
      const guess = guessFunction(name, JSON.parse(Buffer.concat(await collect(answer)).toString()));
      return guess === undefined ? error : error.withHint(guess);
    } catch {
      // The guess is a courtesy: what went wrong first is what is told.
      return error;
    }
  };

  const bodyOf = async function* (answer: IncomingMessage): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of answer) yield chunk;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw error instanceof CliError ? error : unreachable(server, error);
    }
  };

  return {
    server,
    requireKey,
    async json(method, path, options = {}) {
      const answer = await ok(method, path, options);
      const text = Buffer.concat(await collect(bodyOf(answer))).toString();
      return answer.statusCode === 204 ? undefined : parseJson(server, text);
    },
    async *lines(method, path, options = {}) {
      let rest = "";
      const decoder = new TextDecoder();
      for await (const chunk of bodyOf(await ok(method, path, options))) {
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) if (line.trim() !== "") yield parseJson(server, line);
      }
      if (rest.trim() !== "") yield parseJson(server, rest);
    },
    async raw(method, path, options = {}) {
      const answer = await ok(method, path, options);
      return { headers: answer.headers, body: bodyOf(answer) };
    },
  };
}

function sendBody(
  outgoing: ClientRequest,
  body: Uint8Array | Readable | undefined,
  reject: (error: unknown) => void,
): void {
  if (body === undefined || body instanceof Uint8Array) {
    outgoing.end(body);
    return;
  }
  // Our own failure while packaging must not look like the end of the upload.
  body.on("error", (error) => {
    outgoing.destroy();
    reject(error);
  });
  outgoing.on("close", () => body.destroy());
  body.pipe(outgoing);
}

async function collect(
  stream: AsyncIterable<Uint8Array>,
  bytesMax = Number.POSITIVE_INFINITY,
): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    bytes += chunk.byteLength;
    if (bytes > bytesMax) break;
  }
  return chunks;
}

function queryOf(query: CallOptions["query"]): string {
  const pairs = Object.entries(query ?? {}).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
  );
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

/** Our own API says `{"error":{"code","message"}}`; the AWS API a message, with the type in a header. */
function errorOf(server: string, status: number, headers: IncomingHttpHeaders, text: string): CliError {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    // Whatever answered is not lambdad: said below, with its status.
  }
  const own = isRecord(body) && isRecord(body.error) ? body.error : undefined;
  if (typeof own?.code === "string" && typeof own.message === "string") {
    return CliError.fromServer(
      status,
      own.code,
      own.message,
      typeof own.hint === "string" ? own.hint : undefined,
    );
  }
  const type = headers["x-amzn-errortype"];
  const message = isRecord(body) ? (body.message ?? body.Message) : undefined;
  if (typeof type === "string" && typeof message === "string") {
    return CliError.fromServer(status, type.split(":")[0] ?? type, message);
  }
  return unexpected(
    server,
    `status ${status} and ${text === "" ? "nothing" : JSON.stringify(text.slice(0, 80))}`,
  );
}

/** What the server said is no answer of lambdad's. */
export function unexpected(server: string, what: string): CliError {
  return CliError.local(
    "UnexpectedAnswer",
    `${server} does not answer as lambdad does: ${what}`,
    "check --server (the control port, 8081 by default) and that lambdad is of the same version",
  );
}

function unreachable(server: string, error: unknown): CliError {
  if (error instanceof CliError) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const local: LocalCode = code === "ETIMEDOUT" ? "TimedOut" : "ServerUnreachable";
  const words: Readonly<Record<string, string>> = {
    ECONNREFUSED: "nothing listens there",
    ENOTFOUND: "that host is not known",
    ECONNRESET: "the connection was cut",
  };
  return CliError.local(
    local,
    `cannot reach lambdad at ${server}: ${words[code] ?? (messageOf(error) || code)}`,
    "start it with: lambdad   (or name another with --server or LAMBDA_SERVER)",
  );
}

function parseJson(server: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw unexpected(server, `no JSON: ${JSON.stringify(text.slice(0, 80))}`);
  }
}
