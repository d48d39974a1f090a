import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { assert } from "../../core/assert.ts";
import type { Call, InvocationOutcome, RequestInput } from "../../core/invocation.ts";
import type { Sandbox, SandboxLaunch, SandboxPlaces } from "../../sandbox/driver.ts";
import type { Channel, InitFailed, TunnelRequest } from "../protocol.ts";
import { untilAborted } from "../until-aborted.ts";
import { type Connection, Connections } from "./connections.ts";
import { type ExchangeResult, exchange } from "./exchange.ts";
import { passThrough } from "./tunnel.ts";

const POLL_MS_MIN = 1;
const POLL_MS_MAX = 25;
/** A program that dies closes its connections first; its exit says more than they do. */
const EXIT_GRACE_MS = 100;
/** Methods whose request may be sent a second time when a connection broke (RFC 9110, section 9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]);

/** What differs between the programs that speak HTTP: how each is started, reached and asked whether it is ready. */
export interface HttpProgram {
  readonly hasPort: boolean;
  /** Whether an idle connection may be closed by the program at any time. */
  readonly closesIdleConnections: boolean;
  launch(places: SandboxPlaces, environment: Readonly<Record<string, string>>): SandboxLaunch;
  /** The way to the program, once its sandbox was started. */
  open(sandbox: Sandbox): ProgramLink;
  /**
   * The request that tells whether a program that can be connected to is ready; undefined if that is enough.
   * `judge` gets the answer.
   */
  readonly probe:
    | { readonly request: RequestInput; judge(outcome: InvocationOutcome): InitFailed | undefined }
    | undefined;
  /** The request as the program gets it. */
  address(call: Call, input: RequestInput): RequestInput;
}

export interface ProgramLink extends AsyncDisposable {
  /** Rejects, or waits, while the program takes no connection. */
  connect(): Promise<Duplex>;
}

/** Passes requests through to a program that speaks HTTP, and its responses back. */
export class HttpChannel implements Channel {
  readonly hasInput = false;
  readonly hasPort: boolean;
  readonly isReusable = true;
  readonly onRuntimeApiConnection = undefined;
  readonly ready: Promise<void>;
  readonly #program: HttpProgram;
  readonly #connections: Connections;
  readonly #tunnels = new Set<Duplex>();
  readonly #closed = new AbortController();
  readonly #setReady: PromiseWithResolvers<void>;
  #exited: Promise<unknown> = new Promise(() => undefined);
  #link: ProgramLink | undefined;

  constructor(program: HttpProgram) {
    this.#program = program;
    this.#connections = new Connections(() => this.#connect(), program);
    this.hasPort = program.hasPort;
    this.#setReady = Promise.withResolvers<void>();
    this.ready = this.#setReady.promise;
    // Whoever awaits it sees the failure; if nobody does, it must not end the daemon.
    this.ready.catch(() => undefined);
  }

  launch(places: SandboxPlaces, environment: Readonly<Record<string, string>>): SandboxLaunch {
    return this.#program.launch(places, environment);
  }

  attach(sandbox: Sandbox): void {
    this.#exited = sandbox.exited;
    this.#link = this.#program.open(sandbox);
    const gone = new AbortController();
    void sandbox.exited.then(() => gone.abort());
    void this.#awaitReady(AbortSignal.any([this.#closed.signal, gone.signal]));
  }

  async invoke(call: Call, { signal }: { readonly signal: AbortSignal }): Promise<InvocationOutcome> {
    assert(call.input.kind === "request", "a program that speaks HTTP is invoked with a request");
    signal.throwIfAborted();
    const input = this.#program.address(call, call.input);
    const hasBytes = input.body === undefined || input.body instanceof Uint8Array;
    const isRepeatable = hasBytes && IDEMPOTENT.has(input.method);
    const connection = this.#connections.take({ isRepeatable });
    const wasReused = connection.isReused();
    let result = await this.#exchange(connection, call, input, signal);
    if (result.kind === "broken" && !result.hasBegun && wasReused && isRepeatable) {
      // The program has most likely closed an idle connection while our request was on its way.
      result = await this.#exchange(this.#connections.takeFresh(), call, input, signal);
    }
    return result.kind === "answered" ? result.outcome : untilAborted(this.#broken(result), signal);
  }

  idle(): undefined {
    // There is nothing to wait for: a program that speaks HTTP takes requests at any time.
  }

  async tunnel(head: Uint8Array, client: Duplex, request: TunnelRequest): Promise<void> {
    this.#tunnels.add(client);
    try {
      await passThrough(() => this.#connect(), { head, client, request });
    } finally {
      this.#tunnels.delete(client);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    for (const client of this.#tunnels) client.destroy();
    await this.#link?.[Symbol.asyncDispose]();
    await this.#connections[Symbol.asyncDispose]();
  }

  #connect(): Promise<Duplex> {
    assert(this.#link, "the channel is attached before it is used");
    return this.#link.connect();
  }

  /** Tries until the program listens. That it takes too long is for its owner to say. */
  async #awaitReady(signal: AbortSignal): Promise<void> {
    for (let pauseMs = POLL_MS_MIN; !signal.aborted; pauseMs = Math.min(pauseMs * 2, POLL_MS_MAX)) {
      try {
        const socket = await this.#connect();
        // A server that serves one connection at a time would wait for ever for a request on this one.
        this.#connections.adopt(socket);
        const failure = await this.#probe(signal);
        if (failure) this.#setReady.reject(failure);
        else this.#setReady.resolve();
        return;
      } catch {
        // Nothing listens yet, or the program has gone; the loop tells them apart.
        await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #probe(signal: AbortSignal): Promise<InitFailed | undefined> {
    const { probe } = this.#program;
    if (!probe) return undefined;
    const connection = this.#connections.takeFresh();
    const result = await this.#exchange(connection, { sink: undefined }, probe.request, signal);
    if (result.kind === "broken") throw new Error(result.reason);
    return probe.judge(result.outcome);
  }

  async #exchange(
    connection: Connection,
    call: Pick<Call, "sink">,
    input: RequestInput,
    signal: AbortSignal,
  ): Promise<ExchangeResult> {
    let isSound = false;
    try {
      const result = await exchange(connection, call, input, { signal });
      isSound = result.kind === "answered" && result.outcome.kind === "returned";
      return result;
    } finally {
      if (isSound) this.#connections.giveBack(connection);
      else this.#connections.discard(connection);
    }
  }

  /** What a broken exchange means while the program lives. Stays pending if the program has gone. */
  async #broken(result: ExchangeResult & { readonly kind: "broken" }): Promise<InvocationOutcome> {
    const grace = Promise.withResolvers<"alive">();
    const timer = setTimeout(grace.resolve, EXIT_GRACE_MS, "alive");
    const end = await Promise.race([this.#exited, grace.promise]);
    clearTimeout(timer);
    if (end !== "alive") return new Promise(() => undefined);
    const errorType = "Function.InvalidResponse";
    const errorMessage = `the program did not give a whole HTTP response: ${result.reason}`;
    const payload = Buffer.from(JSON.stringify({ errorType, errorMessage }));
    return { kind: "threw", payload, errorType, isStreamed: result.isStreamed };
  }
}
