/**
 * The Runtime API beside a managed runtime: for extensions, and for a program that a wrapper has put in the runtime's
 * place (Lambda Web Adapter does so), which then takes the calls over.
 */
import type { Duplex } from "node:stream";
import type { Version } from "../../core/function.ts";
import type { Call, InvocationOutcome } from "../../core/invocation.ts";
import type { Sandbox } from "../../sandbox/driver.ts";
import { untilAborted } from "../until-aborted.ts";
import { ExtensionHost } from "./extension-host.ts";
import { RuntimeApiServer } from "./runtime-api-server.ts";
import { RuntimeApiSession } from "./runtime-api-session.ts";

export class ManagedApi implements AsyncDisposable {
  readonly extensions: ExtensionHost;
  /** Resolves when the program asks the Runtime API for events, ready for the first. Rejects with `InitFailed`. */
  readonly tookOver: Promise<void>;
  hasTakenOver = false;
  readonly #session: RuntimeApiSession;
  readonly #server: RuntimeApiServer;

  constructor(parts: {
    readonly version: Version;
    readonly accountId: string;
    readonly externals: readonly string[];
  }) {
    this.extensions = new ExtensionHost(parts);
    const asked = Promise.withResolvers<void>();
    this.#session = new RuntimeApiSession({
      ready: () => {
        this.hasTakenOver = true;
        this.extensions.runtimeReady();
        asked.resolve();
      },
      initFailed: asked.reject,
    });
    this.tookOver = asked.promise.then(() => this.extensions.ready);
    this.tookOver.catch(() => undefined);
    this.#server = new RuntimeApiServer(this.#session, this.extensions);
  }

  accept(socket: Duplex): void {
    this.#server.accept(socket);
  }

  attach(sandbox: Sandbox): void {
    this.#session.watchExit(sandbox.exited);
    this.extensions.attach(sandbox);
  }

  async invoke(call: Call, signal: AbortSignal): Promise<InvocationOutcome> {
    this.extensions.invoke(call);
    return untilAborted(this.#session.hand(call, signal), signal);
  }

  /** Resolves when whoever serves is idle, `managed` being our runtime, and all extensions are. */
  async idle(managed: Promise<void>): Promise<void> {
    await (this.hasTakenOver ? this.#session.idle() : managed);
    await this.extensions.idle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.extensions[Symbol.asyncDispose]();
    await this.#server[Symbol.asyncDispose]();
  }
}
