/**
 * The Docker Engine API as far as this driver needs it, over the engine's Unix socket:
 *
 *   GET  /version                                 which versions of the API there are; paths then begin with /v1.41
 *   POST /containers/create|{id}/start|{id}/wait  JSON in, JSON out
 *   POST /containers/{id}/attach                  101: from there on the connection is the program's stdin and output
 *   POST /build, /images/create, /images/…/push   JSON lines of progress, an error among them ends it
 *
 * Every request has a time limit, since an engine that hangs accepts connections all the same.
 * https://docs.docker.com/reference/api/engine/
 */
import {
  Agent,
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request,
} from "node:http";
import type { Duplex, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { assert } from "../../core/assert.ts";
import { PlatformError } from "../../core/errors.ts";
import { EngineRefusal, engineProblem, slowEngine } from "./engine-problem.ts";

type Method = "GET" | "POST" | "DELETE";

export interface EngineCall {
  readonly query?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly headers?: OutgoingHttpHeaders;
  /** Sent as it comes, instead of `body`. */
  readonly upload?: Readable;
  /** Until the answer begins. 0 is no limit, for calls that wait by nature. */
  readonly withinMs?: number;
  readonly signal?: AbortSignal;
}

/** What we speak at most; engines from 2020 on speak 1.40. */
const API_VERSION_MAX = [1, 47] as const;
const ANSWER_MS_MAX = 15_000;
const PING_MS_MAX = 5_000;
const CONNECTIONS_MAX = 64;

/** What `GET /version` tells. */
export interface EngineVersion {
  readonly engine: string;
  readonly apiVersion: string;
  /** Go's names: `amd64`, `arm64`. */
  readonly architecture: string;
  readonly runc: string | undefined;
  /** Podman behind its Docker-compatible socket. */
  readonly isPodman: boolean;
}

export class Engine implements Disposable {
  readonly socketPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS_MAX, scheduling: "lifo" });
  #prefix = "";
  #version: EngineVersion | undefined;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  /** Agrees on a version of the API. @throws PlatformError `EngineUnavailable`. */
  async negotiate(options: { readonly signal?: AbortSignal } = {}): Promise<EngineVersion> {
    this.#prefix = "";
    // One that hangs does not answer the least of all calls; Podman runs programs to tell its version, which may take its time.
    await this.json("GET", "/_ping", { withinMs: PING_MS_MAX, ...options });
    const said = objectOf(await this.json("GET", "/version", options));
    const [major = 1, minor = 0] = String(said.ApiVersion ?? "")
      .split(".")
      .map(Number);
    const chosen = Math.min(minor, API_VERSION_MAX[1]);
    if (major !== 1 || !Number.isInteger(chosen) || chosen < 40) {
      throw new PlatformError(
        "EngineUnavailable",
        `the container engine at ${this.socketPath} speaks API version ${String(said.ApiVersion)}, and 1.40 or later is needed: update it`,
      );
    }
    this.#prefix = `/v1.${chosen}`;
    const components = Array.isArray(said.Components) ? said.Components.map(objectOf) : [];
    this.#version = {
      engine: String(said.Version ?? "unknown"),
      apiVersion: `1.${chosen}`,
      architecture: String(said.Arch ?? ""),
      runc: runcOf(components),
      isPodman: components.some(({ Name }) => Name === "Podman Engine"),
    };
    return this.#version;
  }

  /** What it said when a version was agreed on. */
  get version(): EngineVersion {
    assert(this.#version, "an engine is negotiated with before it is used");
    return this.#version;
  }

  /**
   * A call with an answer of JSON (undefined where it is empty).
   *
   * @throws EngineRefusal with the engine's message for a status of 400 and more.
   * @throws PlatformError `EngineUnavailable` if it cannot be asked or does not answer in time.
   */
  async json(method: Method, path: string, call: EngineCall = {}): Promise<unknown> {
    const answer = await this.stream(method, path, call);
    const body = await this.#whole(answer, call);
    return body === "" ? undefined : parseJson(body);
  }

  /** The same for an answer that is read as it comes; the reader has to deal with its end. */
  async stream(method: Method, path: string, call: EngineCall = {}): Promise<IncomingMessage> {
    const answer = await this.#answer(method, path, call, {});
    const status = answer.statusCode ?? 0;
    if (status < 400) return answer;
    throw new EngineRefusal(status, refusalText(await this.#whole(answer, call)));
  }

  /** A connection that belongs to a container's streams from here on. */
  async hijack(path: string, call: EngineCall = {}): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      const headers = { Connection: "Upgrade", Upgrade: "tcp" };
      this.#answer("POST", path, call, headers, (socket, head) => {
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      }).then(async (answer) => {
        reject(new EngineRefusal(answer.statusCode ?? 0, refusalText(await this.#whole(answer, call))));
      }, reject);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  #answer(
    method: Method,
    path: string,
    call: EngineCall,
    headers: OutgoingHttpHeaders,
    upgraded?: (socket: Duplex, head: Buffer) => void,
  ): Promise<IncomingMessage> {
    const { withinMs = ANSWER_MS_MAX } = call;
    return new Promise((resolve, reject) => {
      const search = call.query ? `?${new URLSearchParams(call.query)}` : "";
      const asked = request({
        socketPath: this.socketPath,
        path: this.#prefix + path + search,
        method,
        // What waits or is taken over would keep others from a shared connection.
        agent: upgraded || withinMs === 0 ? false : this.#agent,
        headers: { Host: "engine", ...headersOf(call), ...headers },
        ...(call.signal && { signal: call.signal }),
      });
      const timer =
        withinMs > 0
          ? setTimeout(
              () => asked.destroy(slowEngine(this.socketPath, `${method} ${path}`, withinMs)),
              withinMs,
            )
          : undefined;
      asked.once("response", (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      asked.once("upgrade", (_answer, socket, head) => {
        clearTimeout(timer);
        upgraded?.(socket, head);
      });
      asked.on("error", (error) => {
        clearTimeout(timer);
        reject(this.#failure(error, call.signal));
      });
      send(asked, call);
    });
  }

  async #whole(answer: IncomingMessage, call: EngineCall): Promise<string> {
    const { withinMs = ANSWER_MS_MAX } = call;
    const timer =
      withinMs > 0
        ? setTimeout(() => answer.destroy(slowEngine(this.socketPath, "in full", withinMs)), withinMs)
        : undefined;
    try {
      return await text(answer);
    } catch (error) {
      throw this.#failure(error, call.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  #failure(error: unknown, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return signal.reason;
    return error instanceof PlatformError ? error : engineProblem(this.socketPath, error);
  }
}

/** Docker has it as a component, Podman as the text that it prints. */
function runcOf(components: readonly Readonly<Record<string, unknown>>[]): string | undefined {
  for (const { Name, Version } of components) {
    if (Name === "runc") return String(Version);
    if (Name === "OCI Runtime (runc)") return /^runc version (\S+)/.exec(String(Version))?.[1];
  }
  return undefined;
}

function headersOf({ body, headers }: EngineCall): OutgoingHttpHeaders {
  return { ...(body !== undefined && { "Content-Type": "application/json" }), ...headers };
}

function send(asked: ClientRequest, { body, upload }: EngineCall): void {
  if (upload) {
    upload.once("error", (error) => asked.destroy(error));
    upload.pipe(asked);
  } else if (body === undefined) asked.end();
  else asked.end(JSON.stringify(body));
}

/** What the engine says is another program's text: never believed to have a shape. */
export function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? Object.fromEntries(Object.entries(value)) : {};
}

export function listOf(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.map(objectOf) : [];
}

export function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusalText(body: string): string {
  const { message, cause } = objectOf(parseJson(body));
  const said = typeof message === "string" && message !== "" ? message : cause;
  return (typeof said === "string" ? said : body).trim() || "the engine gave no reason";
}
