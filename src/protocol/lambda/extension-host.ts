import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleepFor } from "node:timers/promises";
import type { Version } from "../../core/function.ts";
import { type Call, describeExit, type SandboxExit } from "../../core/invocation.ts";
import type { Sandbox, SandboxLaunch, SandboxPlaces } from "../../sandbox/driver.ts";
import { type ChannelFailure, InitFailed, type ShutdownReason } from "../protocol.ts";
import { parseNotice, superviseExtensions } from "./extension-launch.ts";
import { EXTENSIONS_MAX, type Extension, Extensions } from "./extensions.ts";
import { platformError } from "./runtime-api-wire.ts";
import { Telemetry } from "./telemetry.ts";

/** What the end may take: with an internal extension, and with external ones (developer guide, "Shutdown phase"). */
const INTERNAL_MS = 500;
const EXTERNAL_MS = 2_000;
/** Of that, the runtime's share. */
const RUNTIME_SHARE = 0.3;

/**
 * The extensions of one sandbox, and what the channel that works there needs of them: when all are there, when all have
 * had enough of a call, whether one has failed, and a way to let them end.
 */
export class ExtensionHost implements AsyncDisposable {
  readonly extensions: Extensions;
  readonly telemetry: Telemetry;
  /** All that are started with the sandbox have registered: the runtime may begin. */
  readonly registered: Promise<void>;
  /** All are ready for the first call, and so is the runtime (`runtimeReady`). Rejects with `InitFailed`. */
  readonly ready: Promise<void>;
  readonly failed: Promise<ChannelFailure>;
  readonly #externals: readonly string[];
  readonly #mark = randomUUID();
  readonly #registered = Promise.withResolvers<void>();
  readonly #ready = Promise.withResolvers<void>();
  readonly #failed = Promise.withResolvers<ChannelFailure>();
  readonly #runtimeLeft = Promise.withResolvers<void>();
  #sandbox: Sandbox | undefined;
  #phase: "init" | "serving" | "ending" = "init";
  #isRuntimeReady = false;
  #waiting: (() => void)[] = [];

  constructor(parts: {
    readonly version: Version;
    readonly accountId: string;
    readonly externals: readonly string[];
  }) {
    this.#externals = parts.externals;
    this.extensions = new Extensions({
      ...parts,
      events: {
        changed: () => this.#changed(),
        registered: (extension) => this.#tellState(extension, "Registered"),
        failed: (extension, failure) => this.#extensionFailed(extension, failure),
      },
    });
    this.telemetry = new Telemetry((port) => this.#connect(port));
    this.registered = this.#registered.promise;
    this.ready = this.#ready.promise;
    // Whoever awaits it sees the failure; if nobody does, it must not end the daemon.
    this.ready.catch(() => undefined);
    this.failed = this.#failed.promise;
    if (parts.externals.length === 0) this.#registered.resolve();
  }

  /** Whether the sandbox needs an input, by which the runtime is let go. */
  get hasInput(): boolean {
    return this.#externals.length > 0;
  }

  /** The runtime's launch, with the extensions around it. @throws InitFailed if there are too many of them. */
  launch(places: SandboxPlaces, runtime: SandboxLaunch): SandboxLaunch {
    if (this.#externals.length === 0) return runtime;
    // On Lambda ten are started, the next one fails the initialisation, and all are killed.
    if (this.#externals.length > EXTENSIONS_MAX) {
      throw initFailed("Extension.LaunchError", tooMany(this.#externals.length));
    }
    return superviseExtensions(runtime, {
      mark: this.#mark,
      folder: `${places.optDir ?? "/opt"}/extensions`,
    });
  }

  attach(sandbox: Sandbox): void {
    this.#sandbox = sandbox;
    void sandbox.exited.then(() => this.#runtimeLeft.resolve());
    if (this.hasInput) void this.registered.then(() => sandbox.stdin?.write("go\n"));
  }

  /** The runtime has asked for its first event. */
  runtimeReady(): void {
    this.#isRuntimeReady = true;
    this.#changed();
  }

  invoke(call: Call): void {
    this.extensions.invoke(call);
  }

  /** Resolves when all that were told of the call have asked for the next. */
  async idle(): Promise<void> {
    while (!this.extensions.areReady("invoke")) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  sort(line: string): { readonly source: "function" | "extension"; readonly text: string } | undefined {
    if (this.#externals.length === 0) return { source: "function", text: line };
    const notice = parseNotice(line, this.#mark);
    switch (notice?.kind) {
      case undefined:
        return { source: "function", text: line };
      case "line":
        return { source: "extension", text: notice.text };
      case "exit":
        this.#extensionLeft(notice.name, notice.status);
        return undefined;
      case "runtime":
        this.#runtimeExited(notice.status);
        return undefined;
    }
  }

  async shutDown(reason: ShutdownReason): Promise<void> {
    const { all } = this.extensions;
    this.#phase = "ending";
    const sandbox = this.#sandbox;
    if (!sandbox || all.every(({ state }) => state === "Started")) return;
    const allMs = all.some(({ isExternal }) => isExternal) ? EXTERNAL_MS : INTERNAL_MS;
    const deadlineAt = Date.now() + allMs;
    const enough = new AbortController();
    try {
      sandbox.terminate?.();
      await Promise.race([this.#runtimeLeft.promise, pause(allMs * RUNTIME_SHARE, enough.signal)]);
      if (this.#externals.length === 0) return;
      // The second one kills a runtime that is still there; the extensions go on.
      sandbox.terminate?.();
      await Promise.race([this.telemetry.flush(), pause(FLUSH_MS, enough.signal)]);
      this.extensions.shutDown(reason, deadlineAt);
      await Promise.race([this.#allLeft(), sandbox.exited, pause(deadlineAt - Date.now(), enough.signal)]);
    } finally {
      enough.abort();
    }
  }

  /** False if the path is none of theirs. */
  route(request: IncomingMessage, response: ServerResponse, path: string): boolean {
    switch (`${request.method} ${path}`) {
      case "POST /2020-01-01/extension/register":
        void this.extensions.register(request, response);
        return true;
      case "GET /2020-01-01/extension/event/next":
        this.extensions.next(request, response);
        return true;
      case "POST /2020-01-01/extension/init/error":
        void this.extensions.fail("init", request, response);
        return true;
      case "POST /2020-01-01/extension/exit/error":
        void this.extensions.fail("exit", request, response);
        return true;
      case "PUT /2022-07-01/telemetry":
        this.#subscribe("telemetry", request, response);
        return true;
      case "PUT /2020-08-15/logs":
        this.#subscribe("logs", request, response);
        return true;
      default:
        return false;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.telemetry[Symbol.dispose]();
  }

  #subscribe(api: "telemetry" | "logs", request: IncomingMessage, response: ServerResponse): void {
    const extension = this.extensions.find(request, response);
    if (extension) void this.telemetry.subscribe(api, extension.name, request, response);
    else request.resume();
  }

  async #connect(port: number) {
    if (!this.#sandbox) throw new Error("the sandbox has not started");
    return this.#sandbox.connect(port);
  }

  #changed(): void {
    if (this.extensions.areRegistered) this.#registered.resolve();
    if (this.#phase === "init" && this.#isRuntimeReady && this.extensions.areReady("init")) {
      this.#phase = "serving";
      this.extensions.close();
      this.telemetry.close();
      this.#ready.resolve();
    }
    for (const look of this.#waiting.splice(0)) look();
  }

  #extensionLeft(name: string, status: number): void {
    const extension = this.extensions.exited(name);
    if (extension && this.#phase !== "ending") {
      const message = describeStatus(status, `extension ${name}`);
      this.#fail({ errorType: "Extension.Crash", message });
    }
    this.#changed();
  }

  #extensionFailed(
    extension: Extension,
    { errorType, reason }: { readonly errorType: string; readonly reason: string },
  ): void {
    this.#tellState(extension, errorType === "Extension.InitError" ? "InitError" : "ExitError", errorType);
    if (this.#phase !== "ending")
      this.#fail({ errorType, message: `extension ${extension.name}: ${reason}` });
  }

  #runtimeExited(status: number): void {
    this.#runtimeLeft.resolve();
    if (this.#phase === "ending") return;
    this.#fail({ errorType: "Runtime.ExitError", message: describeExit(exitOf(status)) });
  }

  #fail(failure: ChannelFailure): void {
    const { errorType, message } = failure;
    this.#failed.resolve(failure);
    this.#ready.reject(initFailed(errorType, message));
  }

  #tellState(extension: Extension, state: string, errorType?: string): void {
    this.telemetry.take({
      at: Date.now(),
      type: "platform.extension",
      record: {
        name: extension.name,
        state,
        events: [...extension.events],
        ...(errorType !== undefined && { errorType }),
      },
    });
  }

  async #allLeft(): Promise<void> {
    const wantsToKnow = ({ isExternal, events }: Extension) => isExternal && events.has("SHUTDOWN");
    while (this.extensions.all.some((each) => wantsToKnow(each) && each.state !== "Exited")) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

function initFailed(errorType: string, message: string): InitFailed {
  return new InitFailed(platformError(errorType, `Error: ${message}`), errorType);
}

/** Begins with the service's own word for it. */
function tooMany(count: number): string {
  return `ErrTooManyExtensions: /opt/extensions has ${count} programs, and at most ${EXTENSIONS_MAX} are started; take layers away, or put several into one program`;
}

/** What is left in buffers must not eat up the extensions' time to send it on. */
const FLUSH_MS = 250;

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleepFor(Math.max(0, ms), undefined, { signal }).catch(() => undefined);
}

/** A shell's status: above 128 it is a signal. */
function exitOf(status: number): SandboxExit {
  const signal = status > 128 ? SIGNALS[status - 128] : undefined;
  return { exitCode: signal === undefined ? status : null, signal: signal ?? null, outOfMemory: false };
}

function describeStatus(status: number, who: string): string {
  const { exitCode, signal } = exitOf(status);
  return signal === null ? `${who}: exit status ${exitCode}` : `${who}: signal: ${signal}`;
}

const SIGNALS: Readonly<Record<number, string>> = {
  1: "SIGHUP",
  6: "SIGABRT",
  7: "SIGBUS",
  9: "SIGKILL",
  11: "SIGSEGV",
  15: "SIGTERM",
  31: "SIGSYS",
};
